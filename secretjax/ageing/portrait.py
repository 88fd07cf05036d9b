"""What a start state looks like: by pageblock, and in the kernel's indices. Captured or aged."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int64

from secretjax.cases import StartState
from secretjax.metrics.free_memory import fragmentation_index, unusable_index
from secretjax.mm.words import NR_PAGE_ORDERS, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES

ABSENT = ("reserved", "nopage", "outside_zone")


@dataclass(frozen=True, eq=False)
class Portrait:
    """One start state.

    free, stays, movable   pages of each pageblock: on the buddy lists; in use and on no LRU list;
                           in use and on one. The kernel's reserved pages are none of these
    label                  migratetype of each pageblock
    numbers                {name: value}, see `numbers`
    """

    free: Int64[np.ndarray, " pageblocks"]
    stays: Int64[np.ndarray, " pageblocks"]
    movable: Int64[np.ndarray, " pageblocks"]
    label: Int64[np.ndarray, " pageblocks"]
    numbers: dict[str, int]


def portrait(start: StartState) -> Portrait:
    """Reads a start state."""
    first, end = start.zone["start_pfn"], start.zone["end_pfn"]
    absent = np.isin(np.array(start.page_classes)[start.page_class], ABSENT)
    absent[:first] = True
    listed, movable = start.listed(start.list_kind >= 0), start.movable_pages()
    blocks = -(-end // PAGEBLOCK_PAGES)

    def by_block(pages: np.ndarray) -> np.ndarray:
        padded = np.zeros(blocks * PAGEBLOCK_PAGES, np.int64)
        padded[:end] = pages
        return padded.reshape(blocks, PAGEBLOCK_PAGES).sum(1)

    label = np.zeros(blocks, np.int64)
    label[start.block_pfn >> PAGEBLOCK_ORDER] = start.block_mt
    maps = {
        "free": by_block(start.free_pages()),
        "stays": by_block(~absent & ~listed & ~movable),
        "movable": by_block(movable),
    }
    present = by_block(~absent) > 0
    return Portrait(**maps, label=label, numbers=numbers(start, maps, int(present.sum())))


def numbers(start: StartState, maps: dict[str, np.ndarray], blocks: int) -> dict[str, int]:
    """pages            managed by the buddy
    free_pages       on its lists
    free_2m          of them in blocks of order 9 and 10, in pageblocks
    huge_free        the share of free memory that these are, of 1,000
    unusable_index_9, fragmentation_index_9   of the kernel, order 9
    unmovable        share of managed pages in use that are on no LRU list, of 1,000
    unmovable_blocks share of pageblocks with such a page, of 1,000
    """
    order = start.list_order[start.list_kind == 0]
    nr_free = np.bincount(order, minlength=NR_PAGE_ORDERS)
    huge = int((nr_free[PAGEBLOCK_ORDER:] << np.arange(2)).sum())
    free, stays = int(maps["free"].sum()), int(maps["stays"].sum())
    indices = jnp.asarray(nr_free, jnp.int32)
    return {
        "pages": start.zone["managed"],
        "free_pages": free,
        "free_2m": huge,
        "huge_free": 1000 * huge * PAGEBLOCK_PAGES // max(free, 1),
        "unusable_index_9": int(unusable_index(indices, PAGEBLOCK_ORDER)),
        "fragmentation_index_9": int(fragmentation_index(indices, PAGEBLOCK_ORDER)),
        "unmovable": 1000 * stays // start.zone["managed"],
        "unmovable_blocks": 1000 * int((maps["stays"] > 0).sum()) // max(blocks, 1),
    }
