"""Requests to a zone of any size: background churn of blocks, another stream for each state."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int32

from secretjax.ageing.boot import booted
from secretjax.cases import StartState
from secretjax.machine.pages import free_blocks
from secretjax.mm.words import PAGEBLOCK_PAGES, Migratetype

CHUNK = 32  # pages that are in use or free together at the start
FREE_CHUNKS, FREE_PAIRS = 0.15, 0.08  # shares: of chunks, and of pairs of pageblocks as a whole
KINDS = (Migratetype.MOVABLE, Migratetype.UNMOVABLE, Migratetype.RECLAIMABLE)
SHARES = (0.8, 0.16, 0.04)
ORDERS, ORDER_SHARES = (0, 1, 2, 3), (0.86, 0.08, 0.04, 0.02)
AWAY = 1 / 4  # of the blocks given back, the first ones: pages of the start


def start(pages: int, seed: int = 1) -> StartState:
    """A zone of so many pages that has been in use: a fifth is free, most of it in pieces."""
    rng = np.random.default_rng([seed, pages])
    base = booted(pages)
    pairs = pages // PAGEBLOCK_PAGES // 2
    empty = rng.random(pairs) < FREE_PAIRS
    free = np.repeat(rng.random(pages // CHUNK) < FREE_CHUNKS, CHUNK)
    free |= np.repeat(empty, 2 * PAGEBLOCK_PAGES)
    end = base.zone["end_pfn"] - pages // 64  # the memory map
    free[0] = free[end:] = False
    kind = rng.choice(np.array(KINDS), 2 * pairs, p=SHARES)
    kind[np.repeat(empty, 2)] = Migratetype.MOVABLE
    pfn, order = free_blocks(free, 0)
    placed = rng.permutation(len(pfn))
    names = base.page_classes
    used = np.where(np.repeat(kind, PAGEBLOCK_PAGES) == Migratetype.MOVABLE, "anon_lru", "slab")
    page_class = np.array([names.index(name) for name in used], np.uint8)
    page_class[free] = names.index("free_buddy")
    page_class[end:], page_class[0] = names.index("reserved"), names.index("outside_zone")
    return replace(
        base,
        name=f"churn_{pages}",
        list_pfn=pfn[placed],
        list_order=order[placed],
        list_mt=kind[pfn[placed] // PAGEBLOCK_PAGES].astype(np.int64),
        list_kind=np.zeros(len(pfn), np.int64),
        block_mt=kind.astype(np.int64),
        page_class=page_class,
    )


def requests(
    start: StartState, events: int, number: int, seed: int = 1
) -> Int32[np.ndarray, "events 5"]:
    """Blocks given back and handed out in turn, in the form of a replay case, for one state.

    First pages of the start go, then in random order, within a window, what was handed out.
    """
    rng = np.random.default_rng([seed, number])
    half = events // 2
    first = max(int(half * AWAY), 1)
    classes = np.array(start.page_classes)[start.page_class]
    there = np.flatnonzero((classes == "anon_lru") | (classes == "slab"))
    rows = np.zeros((half, 2, 5), np.int32)
    order = rng.choice(np.array(ORDERS), half, p=ORDER_SHARES)
    rows[:, 1] = np.stack(
        [0 * order, order, rng.choice(np.array(KINDS), half, p=SHARES), np.arange(half),
         np.arange(half)], 1
    )  # fmt: skip
    gone = np.concatenate([
        rng.permutation(np.arange(k, min(k + first, half - first)))
        for k in range(0, half - first, first)
    ])  # fmt: skip
    rows[:first, 0] = [1, 0, -1, -1, 0]
    rows[:first, 0, 4] = rng.choice(there, first, replace=False)
    given = rows[first:, 0]
    given[:, 0], given[:, 1], given[:, 2], given[:, 3] = 1, order[gone], -1, gone
    return rows.reshape(-1, 5)
