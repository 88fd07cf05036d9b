"""Which entries of the direct map are of which size: drawn so that meminfo's DirectMap* hold.

The counts are of the whole machine (arch/x86/mm/pat/set_memory.c: arch_report_meminfo). At boot a
GiB that is all memory gets one entry of 1 GiB, except the first; other memory entries of 2 MiB;
the first 2 MiB and cut ones entries of 4 KiB (arch/x86/mm/init.c: split_mem_range). Memory is
mapped in steps from its end downwards (memory_map_top_down), and a step that meets an entry of
1 GiB that an earlier one made counts it again (arch/x86/mm/init_64.c: phys_pud_init): by so many
GiBs the counts cover more than there is memory. Other splits than of those were before boot ended,
when vmstat does not count them yet (split_page_count).

Then the kernel's own image is protected, which splits entries that hold reserved pages; splits of
the image's other mapping are counted too (__split_large_page asks for the address, not the
mapping), so there may be fewer than the count. vmstat counts the splits since boot: of modules and
of secret memory, whose pages are UNMOVABLE. What is split by a page that is then freed stays split,
and those that ask for the next such page get what was freed. So an entry split since boot is taken
to lie in a pageblock of that type, the likelier the more pages in it are free or are secret
(unevictable there), and a split GiB to be one with many of these.
"""

import numpy as np
from jaxtyping import Int64

from secretjax.cases import CLASSES
from secretjax.machine.capture import ENTRY_KB, GIGABYTE_PAGES
from secretjax.machine.seen import Capture, ZoneSeen
from secretjax.mm.words import GIGABYTE_BLOCKS, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Migratetype

# In zones whose types are not drawn: where such pages are.
CHANGED = ("kernel_other", "unevictable", "compound_other", "pgtable")
ABSENT = ("nopage", "outside_zone")
NO_WEIGHT = 1e-9


def draw(
    rng: np.random.Generator,
    seen: Capture,
    zone: ZoneSeen,
    start: int,
    block_mt: Int64[np.ndarray, " pageblocks"],
) -> Int64[np.ndarray, " regions"]:
    """Level of each 2 MiB region from pfn 0 to the zone's end, with its first page at `start`.

    block_mt: type of each of the zone's pageblocks.
    1: entries of 4 KiB, 2: one of 2 MiB, 3: part of one of 1 GiB. Exact where debugfs showed it.
    Regions before the zone count as whole.
    """
    before = start >> PAGEBLOCK_ORDER
    if zone.dm_level is not None:
        own = np.where(zone.dm_level == 0, 2, zone.dm_level).astype(np.int64)
        return np.concatenate([np.full(before, 2), own])
    own = drawn_level(rng, seen, zone, block_mt == Migratetype.UNMOVABLE)
    return np.concatenate([np.full(before, 2), own])


def drawn_level(rng, seen: Capture, zone: ZoneSeen, unmovable: np.ndarray) -> np.ndarray:
    """Levels of the zone's own regions, out of a draw for the whole machine."""
    shown = [z for z in seen.zones if z.page_class is not None]
    parts = [_regions(k, z, unmovable if z is zone else None) for k, z in enumerate(shown)]
    memory, cut, image, freed, gib = (np.concatenate(column) for column in zip(*parts, strict=True))
    level = np.where(memory, 2, 0)
    level[giants(rng, memory & ~cut, freed, gib, seen)] = 3
    small = round(seen.direct_map["4k"] / PAGEBLOCK_PAGES)
    forced = np.flatnonzero(memory & cut & (level == 2))
    level[forced[:small]] = 1
    left = small - min(small, len(forced))
    later = min(left, splits(seen, 2))
    for count, likely in ((left - later, image), (later, freed)):
        rest = np.flatnonzero(memory & (level == 2))
        level[rest[np.argsort(waits(rng, likely[rest]), kind="stable")][:count]] = 1
    level[level == 0] = 2
    at = sum(z.regions for z in shown[: next(k for k, z in enumerate(shown) if z is zone)])
    return level[at : at + zone.regions]


def waits(rng, weight: np.ndarray) -> np.ndarray:
    """A number each, so that the least of them are a draw by weight; last those that weigh none."""
    return rng.exponential(size=len(weight)) / np.maximum(weight, NO_WEIGHT)


def splits(seen: Capture, level: int) -> int:
    """Entries of 2 MiB (level 2) or 1 GiB (3) split since boot and not made whole again."""
    name = f"direct_map_level{level}"
    made, undone = (seen.counters.get(f"{name}_{what}", 0) for what in ("splits", "collapses"))
    return max(made - undone, 0)


def _regions(place: int, zone: ZoneSeen, unmovable: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """Of each region: has it memory, is it cut, holds it reserved pages; what was freed in it.

    The latter as a weight: pages in UNMOVABLE pageblocks that are free or secret. And the number of
    its GiB. unmovable: which pageblocks are; None where that is not drawn.
    """
    per = zone.per_region(*(name for name in CLASSES if name not in ABSENT))
    if unmovable is None:
        unmovable = zone.per_region(*CHANGED) > 0
    freed = unmovable * (zone.per_region("free_buddy", "unevictable") + 1 / PAGEBLOCK_PAGES)
    number = zone.first_region + np.arange(zone.regions)
    cut = (per < PAGEBLOCK_PAGES) | (number == 0)
    # zones begin on GiBs of their own, but for the lowest, which has no entry of 1 GiB anyway
    gib = (place << 40) + number // GIGABYTE_BLOCKS
    return per > 0, cut, zone.per_region("reserved") > 0, freed, gib


def giants(rng, memory, freed, gib, seen: Capture) -> np.ndarray:
    """Which regions lie in an entry of 1 GiB: of GiBs that are all memory, as many as there are.

    The others have been split; a GiB with more memory that was freed is the likelier to have been.
    """
    _, inverse = np.unique(gib, return_inverse=True)
    whole = np.flatnonzero(np.bincount(inverse, weights=memory) == GIGABYTE_BLOCKS)
    count = min(seen.direct_map["1G"] - repeated(seen), len(whole) - splits(seen, 3))
    held = np.bincount(inverse, weights=freed)[whole]
    last = np.argsort(-waits(rng, held), kind="stable")
    return np.isin(inverse, whole[last][: max(count, 0)])


def repeated(seen: Capture) -> int:
    """Entries of 1 GiB that were counted again at boot."""
    mapped = sum(seen.direct_map[level] * kb for level, kb in ENTRY_KB.items()) // 4
    beyond = mapped - sum(zone.present for zone in seen.zones)
    return max(beyond, 0) // GIGABYTE_PAGES
