"""A zone that is too large to be modelled, in small: some of its GiBs, all totals in proportion.

How many pages a zone may have is said by the width of a list's links (`mm.layout.MAX_PAGES`). No
block of free memory crosses a GiB, so GiBs can be put side by side. Those of the part are drawn for
each state, evenly among all by how much memory of the kernel's they hold; a demand is as much
smaller as the part is, and what it did is as much more in the whole.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from secretjax.machine import mapping, pages
from secretjax.machine.capture import GIGABYTE_PAGES, base
from secretjax.machine.proc import CPU_FIELDS
from secretjax.machine.seen import Capture, ZoneSeen
from secretjax.mm.layout import MAX_PAGES
from secretjax.mm.load import zone_pages
from secretjax.mm.words import GIGABYTE_BLOCKS, NR_PAGE_ORDERS, PAGEBLOCK_ORDER

GIBS = MAX_PAGES // GIGABYTE_PAGES - 1  # of a part; one more lies before its first page
MARKS = ("managed", "min", "low", "high", "boost", "highatomic")
PER_CPU = [CPU_FIELDS.index(name) for name in ("count", "high", "high_min", "high_max")]
KERNEL = ("kernel_other", "slab", "pgtable", "compound_other")


def too_large(zone: ZoneSeen) -> bool:
    """Whether the zone has more pages than can be modelled."""
    return zone_pages(zone.fields["end_pfn"] - base(zone.fields["start_pfn"])) > MAX_PAGES


def share(zone: ZoneSeen) -> Fraction:
    """How much of the zone is modelled."""
    gibs = len(whole_gibs(zone))
    return Fraction(min(GIBS, gibs), gibs) if too_large(zone) else Fraction(1)


def note(zone: ZoneSeen) -> str:
    """What is to be said of a prediction for this zone; nothing where all of it is modelled."""
    if not too_large(zone):
        return ""
    gibs = len(whole_gibs(zone))
    return (
        f"{zone.title} is too large to be modelled whole: {min(GIBS, gibs)} of its {gibs} GiB, "
        "drawn for each state, stand for it with all totals and the demand in proportion; counts "
        "are scaled up again, huge pages are those asked for within the part"
    )


def whole_gibs(zone: ZoneSeen) -> np.ndarray:
    """Place of the first 2 MiB region of each GiB that the zone spans wholly."""
    first = -(-zone.fields["start_pfn"] // GIGABYTE_PAGES)
    gibs = np.arange(first, zone.fields["end_pfn"] // GIGABYTE_PAGES)
    return gibs * GIGABYTE_BLOCKS - zone.first_region


def of(rng: np.random.Generator, seen: Capture, zone: ZoneSeen) -> tuple[Capture, ZoneSeen]:
    """A machine whose only zone is the part, which begins at 1 GiB. The page map must be known."""
    at = chosen(rng, zone)
    small = cut(zone, (at[:, None] + np.arange(GIGABYTE_BLOCKS)).ravel())
    scale = share(zone) * Fraction(zone.present, sum(z.present for z in seen.zones))
    once = seen.direct_map | {"1G": seen.direct_map["1G"] - mapping.repeated(seen)}
    entries = {level: round(n * scale) for level, n in once.items()}
    splits = {n: round(k * scale) for n, k in seen.counters.items() if n.startswith("direct_map_")}
    counters = seen.counters | splits
    return replace(seen, zones=(small,), direct_map=entries, counters=counters), small


def chosen(rng: np.random.Generator, zone: ZoneSeen) -> np.ndarray:
    """Those of `whole_gibs` that the part has: evenly among all, by how much is the kernel's."""
    gibs = whole_gibs(zone)
    held = zone.per_region(*KERNEL) * zone.counted()
    per_gib = held[gibs[:, None] + np.arange(GIGABYTE_BLOCKS)].sum(1)
    by_kernel = np.lexsort((rng.permutation(len(gibs)), per_gib))
    count = min(GIBS, len(gibs))
    place = (rng.random() + np.arange(count)) * len(gibs) / count
    return np.sort(gibs[by_kernel[place.astype(int)]])


def cut(zone: ZoneSeen, regions: np.ndarray) -> ZoneSeen:
    """These 2 MiB regions as a zone, with the zone's totals in proportion."""
    assert zone.page_class is not None
    assert zone.type_free is not None and zone.type_blocks is not None
    type_free = zone.type_free
    size, before = 1 << PAGEBLOCK_ORDER, zone.fields["start_pfn"] % (1 << PAGEBLOCK_ORDER)
    pages_of = (regions * size - before)[:, None] + np.arange(size)
    classes = zone.page_class[pages_of].ravel()
    scale, start = share(zone), GIGABYTE_PAGES
    fields = zone.fields | {n: round(max(zone.fields[n], 0) * scale) for n in MARKS}
    cpus = zone.cpus.copy()
    cpus[:, PER_CPU] = np.where(cpus[:, PER_CPU] < 0, -1, cpus[:, PER_CPU] * float(scale))
    free = pages.free_counts(classes, start)
    by_type = np.stack([dealt(int(free[o]), type_free[:, o]) for o in range(NR_PAGE_ORDERS)], 1)
    return replace(
        zone,
        fields=fields | {"start_pfn": start, "end_pfn": start + len(classes)},
        cpus=cpus,
        free=int((free << np.arange(NR_PAGE_ORDERS)).sum()),
        present=round(zone.present * scale),
        buddy_free=free,
        buddy_after=free,
        type_free=by_type,
        type_blocks=dealt(int(zone.counted()[regions].sum()), zone.type_blocks),
        page_class=classes,
        dm_level=None if zone.dm_level is None else zone.dm_level[regions],
    )


def dealt(count: int, weights: np.ndarray) -> np.ndarray:
    """So many in proportion to the weights: whole numbers, the largest remainders rounded up."""
    if not weights.sum():
        return np.zeros_like(weights)
    exact = count * weights / weights.sum()
    found = np.floor(exact).astype(np.int64)
    found[np.argsort(found - exact, kind="stable")[: count - int(found.sum())]] += 1
    return found


def whole(values: dict, asked: np.ndarray, scale: Fraction) -> dict:
    """What a part did, {metric: [states, steps]}, as counts of the whole zone.

    asked: secret pages that the whole zone is asked for, by step. Pages refused are scaled, so that
    none stay none.
    """
    if scale == 1:
        return values
    found = {
        name: np.rint(counts / float(scale)).astype(np.int64) for name, counts in values.items()
    }
    refused = demanded(asked, scale) - values["granted"]
    found["granted"] = asked - np.rint(refused / float(scale)).astype(np.int64)
    return found | {"huge_ok": values["huge_ok"]}


def demanded(asked, scale: Fraction) -> np.ndarray:
    """Pages that the part is asked for where the whole is asked for so many; one at least."""
    return np.maximum(np.rint(np.asarray(asked) * float(scale)).astype(np.int64), 1)
