"""A capture in a few sentences, for whoever took it."""

import numpy as np

from secretjax.machine import consistency
from secretjax.machine.capture import ENTRY_KB
from secretjax.machine.seen import Capture, ZoneSeen
from secretjax.mm.words import NR_PAGE_ORDERS, PAGEBLOCK_ORDER

WITHOUT = {
    "proc/kpageflags": "what each page is used for",
    "proc/pagetypeinfo": "the types of pageblocks and free lists",
}


def lines(seen: Capture) -> list[str]:
    """All that is to be said of a capture: `facts`, and what does not agree."""
    return facts(seen) + agreement(seen)


def facts(seen: Capture) -> list[str]:
    """The machine, its zones, its direct map, what is missing."""
    told = [f"Linux {seen.kernel}, {len(seen.zones)} zones, memfd_secret {seen.secretmem}"]
    told += [of_zone(zone) for zone in seen.zones]
    told.append(direct_map(seen))
    if seen.missing:
        lost = " and ".join(WITHOUT.get(name, name) for name in seen.missing)
        files = ", ".join(f"/{name}" for name in seen.missing)
        told.append(
            f"missing: {lost} ({files}), which only root may read, if this kernel has them; "
            "without them nothing can be predicted from this capture: run it as root"
        )
    return told


def of_zone(zone: ZoneSeen) -> str:
    """Free memory of a zone, and how much of it is in blocks that a pool could take at once."""
    orders = np.arange(NR_PAGE_ORDERS)
    free = int((zone.buddy_free << orders).sum())
    large = int((zone.buddy_free[PAGEBLOCK_ORDER:] << np.arange(2)).sum())
    share = round(100 * (large << PAGEBLOCK_ORDER) / free) if free else 0
    return (
        f"{zone.title}: {free} of {zone.fields['managed']} pages free, {share} % of them in "
        f"{large} blocks of 2 MiB"
    )


def direct_map(seen: Capture) -> str:
    """The entries of the direct map and how many were split since boot."""
    have = seen.direct_map
    total = sum(have[level] * ENTRY_KB[level] for level in ENTRY_KB)
    if not total:
        return "direct map: this kernel does not count its entries"
    shares = ", ".join(
        f"{100 * have[level] * ENTRY_KB[level] / total:.1f} % by {name}"
        for level, name in (("1G", "1 GiB"), ("2M", "2 MiB"), ("4k", "4 KiB"))
    )
    splits = [seen.counters.get(f"direct_map_level{n}_splits", 0) for n in (3, 2)]
    again = "; new secret memory may use them again" if any(splits) else ""
    return (
        f"direct map: {shares}; since boot {splits[0]} entries of 1 GiB and {splits[1]} of "
        f"2 MiB were split{again}"
    )


def agreement(seen: Capture) -> list[str]:
    """What the kernel said twice: all that does not agree, or that all does."""
    found = consistency.report(seen)
    wrong = [f"does not agree: {finding.sentence}" for finding in found if not finding.agrees]
    return wrong or [f"what the kernel said twice agrees ({len(found)} comparisons)"]
