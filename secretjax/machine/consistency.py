"""What the kernel said twice must agree, as far as a running system lets it.

The files are read one after the other while memory comes and goes. How much came and went is seen:
buddyinfo is read first and last, and what differs by as much, or by 1 % of the free pages, is
drift.
"""

from dataclasses import dataclass

import numpy as np

from secretjax.cases import CLASSES
from secretjax.machine import pages
from secretjax.machine.capture import ENTRY_KB
from secretjax.machine.proc import MOST_COUNTED
from secretjax.machine.seen import Capture, ZoneSeen
from secretjax.mm.words import NR_PAGE_ORDERS, PAGEBLOCK_PAGES

SHARE = 0.01
BUSY = (
    "memory came and went while it was read (capture again when the machine is quieter), or this "
    "kernel counts differently"
)


@dataclass(frozen=True)
class Finding:
    """One comparison in words, and whether it agrees."""

    agrees: bool
    sentence: str


def report(seen: Capture) -> list[Finding]:
    """Every comparison that this capture allows."""
    found = [finding for zone in seen.zones for finding in of_zone(zone)]
    return [*found, *of_machine(seen)]


def disagreements(seen: Capture) -> list[str]:
    """What does not agree, a sentence each; none if all is well."""
    return [finding.sentence for finding in report(seen) if not finding.agrees]


def of_zone(zone: ZoneSeen) -> list[Finding]:
    """The free memory of one zone, from up to four files."""
    size = 1 << np.arange(NR_PAGE_ORDERS)
    said = int((zone.buddy_free * size).sum())
    drift = int((np.abs(zone.buddy_after - zone.buddy_free) * size).sum())
    bound = max(drift, int(SHARE * said))
    found = [compared(f"{zone.title}: free pages", "buddyinfo", said, "zoneinfo", zone.free, bound)]
    if zone.type_free is not None:
        found.append(by_type(zone, bound))
    if zone.page_class is not None:
        found += of_pages(zone, bound)
    return found


def by_type(zone: ZoneSeen, bound: int) -> Finding:
    """Free blocks by type and order against those by order."""
    assert zone.type_free is not None
    capped = (zone.type_free >= MOST_COUNTED).any(0)
    apart = zone.type_free.sum(0) - zone.buddy_free
    apart = np.abs(np.where(capped, np.maximum(apart, 0), apart))
    lost = int((apart << np.arange(NR_PAGE_ORDERS)).sum())
    end = f"; orders {np.flatnonzero(capped).tolist()} were not counted to the end"
    return Finding(
        lost <= bound,
        f"{zone.title}: pagetypeinfo and buddyinfo differ by {apart.sum()} free blocks ({lost} "
        f"pages, drift up to {bound}){end if capped.any() else ''}",
    )


def of_pages(zone: ZoneSeen, bound: int) -> list[Finding]:
    """The page map against the totals."""
    assert zone.page_class is not None
    rebuilt = pages.free_counts(zone.page_class, zone.fields["start_pfn"])
    size = 1 << np.arange(NR_PAGE_ORDERS)
    near = min((zone.buddy_free, zone.buddy_after), key=lambda b: np.abs(rebuilt - b).sum())
    apart = int((np.abs(rebuilt - near) * size).sum())
    found = [
        Finding(
            apart <= bound,
            f"{zone.title}: free blocks rebuilt from the page map and buddyinfo differ by "
            f"{np.abs(rebuilt - near).sum()} of {near.sum()} blocks ({apart} pages, drift up to "
            f"{bound})",
        )
    ]
    if zone.type_blocks is not None:
        blocks = int(zone.type_blocks.sum())
        most = zone.regions
        holes = int((zone.page_class == CLASSES.index("nopage")).sum())
        used = (len(zone.page_class) - holes) / PAGEBLOCK_PAGES
        found.append(
            Finding(
                zone.fields["managed"] // PAGEBLOCK_PAGES <= blocks <= most,
                f"{zone.title}: pagetypeinfo counts {blocks} pageblocks, the page map has pages "
                f"for {used:.0f} and the kernel manages "
                f"{zone.fields['managed'] / PAGEBLOCK_PAGES:.0f}",
            )
        )
    return found


def of_machine(seen: Capture) -> list[Finding]:
    """Sums over zones, and the direct map."""
    found, counters = [], seen.counters
    total = sum(zone.free for zone in seen.zones)
    moved = sum(
        int((np.abs(z.buddy_after - z.buddy_free) << np.arange(NR_PAGE_ORDERS)).sum())
        for z in seen.zones
    )
    bound = max(moved, int(SHARE * total))
    for name, pages_ in (
        ("vmstat nr_free_pages", counters.get("nr_free_pages")),
        ("meminfo MemFree", counters["MemFree"] // 4 if "MemFree" in counters else None),
    ):
        if pages_ is not None:
            found.append(compared("all zones: free pages", name, pages_, "zoneinfo", total, bound))
    mapped = sum(seen.direct_map[level] * ENTRY_KB[level] for level in ENTRY_KB) // 4
    present = sum(zone.present for zone in seen.zones)
    if mapped:
        found.append(
            Finding(
                mapped >= present * (1 - SHARE),
                f"direct map: DirectMap* of meminfo cover {mapped} pages, zoneinfo has {present} "
                "present (what is mapped beyond them is reserved, or counted twice at boot)",
            )
        )
    return found


def compared(what: str, one: str, a: int, other: str, b: int, bound: int) -> Finding:
    """Two numbers of pages that should be equal."""
    good = abs(a - b) <= bound
    end = f"within the drift of {bound}" if good else f"more than the drift of {bound}; {BUSY}"
    if a == b:
        end = "equal"
    return Finding(good, f"{what}: {one} says {a}, {other} {b}: {end}")
