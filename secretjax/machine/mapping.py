"""Which entries of the direct map are of which size: drawn so that meminfo's DirectMap* hold.

The counts are of the whole machine (arch/x86/mm/pat/set_memory.c: arch_report_meminfo). At boot a
GiB that is all memory gets one entry of 1 GiB, except the first; other memory entries of 2 MiB;
the first 2 MiB and cut ones entries of 4 KiB (arch/x86/mm/init.c: split_mem_range). Then the
kernel's own image is protected, which splits entries that hold reserved pages; splits of the
image's other mapping are counted too (__split_large_page asks for the address, not the mapping), so
there may be fewer than the count. vmstat counts the splits since boot: of modules and of secret
memory, whose pages are UNMOVABLE, so they are taken to lie in pageblocks of that type, and split
GiBs to be those with many of them. Where secret memory was freed, new one is put there again.
"""

import numpy as np
from jaxtyping import Int64

from secretjax.machine.seen import Capture, ZoneSeen
from secretjax.mm.words import GIGABYTE_BLOCKS, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Migratetype

# In zones whose types are not drawn: where such pages are.
CHANGED = ("kernel_other", "unevictable", "compound_other", "pgtable")


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
    parts = [_regions(k, z) for k, z in enumerate(shown)]
    memory, cut, image, odd, gib = (np.concatenate(column) for column in zip(*parts, strict=True))
    at = sum(z.regions for z in shown[: next(k for k, z in enumerate(shown) if z is zone)])
    own = slice(at, at + zone.regions)
    odd[own] = unmovable
    level = np.where(memory, 2, 0)
    level[giants(rng, memory & ~cut, odd, gib, seen.direct_map["1G"])] = 3
    small = round(seen.direct_map["4k"] / PAGEBLOCK_PAGES)
    forced = np.flatnonzero(memory & cut & (level == 2))
    level[forced[:small]] = 1
    left = small - min(small, len(forced))
    later = min(left, seen.counters.get("direct_map_level2_splits", 0))
    for count, likely in ((left - later, image), (later, odd)):
        rest = rng.permutation(np.flatnonzero(memory & (level == 2)))
        level[rest[np.argsort(~likely[rest], kind="stable")][:count]] = 1
    level[level == 0] = 2
    return level[own]


def _regions(place: int, zone: ZoneSeen) -> tuple[np.ndarray, ...]:
    """Of each region: has it memory, is it cut, holds it reserved or other pages of the kernel.

    And the number of its GiB.
    """
    before = zone.fields["start_pfn"] % PAGEBLOCK_PAGES
    there = np.zeros(zone.regions * PAGEBLOCK_PAGES, bool)
    image, changed = there.copy(), there.copy()
    span = slice(before, before + len(zone.page_class))
    there[span] = ~zone.in_class("nopage", "outside_zone")
    image[span], changed[span] = zone.in_class("reserved"), zone.in_class(*CHANGED)
    per, image, changed = (x.reshape(-1, PAGEBLOCK_PAGES).sum(1) for x in (there, image, changed))
    number = zone.first_region + np.arange(zone.regions)
    cut = (per < PAGEBLOCK_PAGES) | (number == 0)
    # zones begin on GiBs of their own, but for the lowest, which has no entry of 1 GiB anyway
    gib = (place << 40) + number // GIGABYTE_BLOCKS
    return per > 0, cut, image > 0, changed > 0, gib


def giants(rng, memory, odd, gib, count: int) -> np.ndarray:
    """Which regions lie in an entry of 1 GiB: `count` GiBs that are all memory.

    The others have been split; a GiB with more odd regions is the likelier to have been.
    """
    _, inverse = np.unique(gib, return_inverse=True)
    whole = np.flatnonzero(np.bincount(inverse, weights=memory) == GIGABYTE_BLOCKS)
    held = np.bincount(inverse, weights=odd)[whole]
    first = rng.exponential(size=len(whole)) / (held + 1 / GIGABYTE_BLOCKS)
    return np.isin(inverse, whole[np.argsort(-first, kind="stable")][:count])
