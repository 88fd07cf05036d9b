"""Which pageblocks are of which type: drawn so that the totals of /proc/pagetypeinfo hold.

A stock kernel says how many pageblocks each type has, and how many free blocks each type has of
each order; since 6.10 a free block is on the list of its pageblock's type. A pageblock that is one
free block (order 9), or half of one (order 10), says nothing else of its type: the totals of that
order are dealt out. Of the others the pages in use speak: movable ones are in MOVABLE pageblocks
unless the kernel had to fall back. The draw prefers what the pages say, then pairs of pageblocks
are exchanged until the free blocks add up as well.
"""

import numpy as np
from jaxtyping import Float, Int64

from secretjax.mm.words import MAX_PAGE_ORDER, PAGEBLOCK_ORDER, Migratetype

TYPES = 6
KINDS = ("movable", "unmovable", "slab")
# Share of a type's pages in use that are of each kind: over the start states captured in the lab
# (a_*, b_*), with 1 % for what hardly occurred there. HIGHATOMIC serves the kernel as UNMOVABLE
# does, CMA and ISOLATE hold movable pages.
SHARES = np.array(
    [[0.01, 0.62, 0.37], [0.98, 0.01, 0.01], [0.01, 0.01, 0.98], [0.01, 0.62, 0.37],
     [0.98, 0.01, 0.01], [0.98, 0.01, 0.01]]
)  # fmt: skip
# Pages of a pageblock came there in runs, so they count less than one observation each. With runs
# of 8 two captures of one machine, minutes apart, agree best on which pageblocks are UNMOVABLE.
RUN = 8
PAIRS = 1024  # exchanges looked at in a round
WEIGHTS = (1, 0.1, 0.01)  # of what the pages in use say, in turn
LEAST = 1e-6  # that an exchange must gain
IDLE = 200  # rounds without a gain that end the search


def draw(
    rng: np.random.Generator,
    counts: Int64[np.ndarray, "blocks 3"],
    free: Int64[np.ndarray, "blocks 11"],
    type_blocks: Int64[np.ndarray, " 6"],
    type_free: Int64[np.ndarray, "6 11"],
) -> Int64[np.ndarray, " blocks"]:
    """The type of each pageblock.

    counts: pages in use of each of KINDS. free: free blocks of each order that begin in it; a
    block of order 10 counts in the first of its two pageblocks; the second has none of its own.
    type_blocks, type_free: the totals; those of free blocks are used as far as they go.
    """
    found = np.full(len(counts), -1, np.int64)
    left = type_blocks.copy()
    for order in (MAX_PAGE_ORDER, PAGEBLOCK_ORDER):
        size = 1 << (order - PAGEBLOCK_ORDER)
        first = np.flatnonzero(free[:, order] > 0)
        # pageblocks that the zone's edge or a hole cuts are not split further: left to the rest
        kinds = deal(rng, len(first), np.minimum(type_free[:, order], left // size))
        found[first] = kinds
        if size == 2:
            found[np.minimum(first + 1, len(found) - 1)] = kinds
        left = left - size * np.bincount(kinds, minlength=TYPES)
    rest = np.flatnonzero(found < 0)
    low, totals = free[rest, :PAGEBLOCK_ORDER], type_free[:, :PAGEBLOCK_ORDER]
    likely = counts[rest] @ np.log(SHARES).T / RUN
    found[rest] = assign(rng, likely, np.maximum(left, 0))
    found[rest] = exchange(rng, found[rest], likely, low, totals)
    return found


def deal(rng: np.random.Generator, blocks: int, totals: Int64[np.ndarray, " 6"]) -> np.ndarray:
    """Types for so many alike, as many of each as the totals say, in random order.

    Totals that do not add up (the kernel went on while they were read) are filled with MOVABLE,
    the type of nearly all large free blocks, or cut.
    """
    kinds = rng.permutation(np.repeat(np.arange(TYPES), np.maximum(totals, 0)))[:blocks]
    filling = np.full(blocks - len(kinds), int(Migratetype.MOVABLE))
    return rng.permutation(np.concatenate([kinds, filling]).astype(np.int64))


def assign(
    rng: np.random.Generator, likely: Float[np.ndarray, "blocks 6"], totals: Int64[np.ndarray, " 6"]
) -> Int64[np.ndarray, " blocks"]:
    """Types in the given numbers, the likely ones first; drawn where they are equally likely."""
    if not len(likely):
        return np.zeros(0, np.int64)
    totals = totals.copy()
    totals[Migratetype.MOVABLE] += len(likely) - totals.sum()
    score = np.where(totals > 0, likely + rng.gumbel(size=likely.shape), -np.inf)
    score[:, Migratetype.MOVABLE] = np.maximum(score[:, Migratetype.MOVABLE], -1e9)
    found = score.argmax(1)
    have = np.bincount(found, minlength=TYPES)
    while (have < totals).any():
        here = np.flatnonzero(have[found] > totals[found])
        if not len(here):
            break
        wanted = np.flatnonzero(have < totals)
        loss = score[here, found[here]][:, None] - score[np.ix_(here, wanted)]
        block, kind = np.unravel_index(loss.argmin(), loss.shape)
        have[found[here[block]]] -= 1
        have[wanted[kind]] += 1
        found[here[block]] = wanted[kind]
    return found


def exchange(
    rng: np.random.Generator,
    found: Int64[np.ndarray, " blocks"],
    likely: Float[np.ndarray, "blocks 6"],
    free: Int64[np.ndarray, "blocks 9"],
    totals: Int64[np.ndarray, "6 9"],
) -> Int64[np.ndarray, " blocks"]:
    """The types with pairs of pageblocks exchanged, so that free blocks add up to the totals.

    A pair is exchanged if that brings the totals nearer by more than the pages in use object, or
    away by less than they gain. What they say is likely, the totals are known: so their word counts
    less and less.
    """
    off = np.stack([free[found == t].sum(0) for t in range(TYPES)]) - totals
    for weight in WEIGHTS:
        found, off = _exchange(rng, found, likely * weight, free, off)
    return found


def _exchange(rng, found, likely, free, off):
    """Types and what their free blocks are off by, when no further pair is found."""
    found, off, idle = found.copy(), off.copy(), 0
    while np.abs(off).sum() and idle < IDLE and len(found) > 1:
        one, two = rng.integers(0, len(found), (2, PAIRS))
        a, b = found[one], found[two]
        change = free[two] - free[one]
        gain = (
            np.abs(off[a]).sum(1) - np.abs(off[a] + change).sum(1)
            + np.abs(off[b]).sum(1) - np.abs(off[b] - change).sum(1)
        )  # fmt: skip
        object_ = likely[one, a] + likely[two, b] - likely[one, b] - likely[two, a]
        better = np.where(a != b, gain - object_, -1)
        at = int(better.argmax())
        if better[at] <= LEAST:
            idle += 1
            continue
        idle = 0
        found[one[at]], found[two[at]] = b[at], a[at]
        off[a[at]] += change[at]
        off[b[at]] -= change[at]
    return found, off
