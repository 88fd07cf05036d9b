"""The control of LLFree's benchmark: an allocator in the manner of LLFree. **Not the kernel.**

A buddy allocator keeps the share of free memory that is in huge frames, and any that hands out
its smallest blocks first would. So the benchmark says something only beside an allocator that
repairs fragmentation. This one keeps nothing but counts: memory is frames of 512 pages, TREE of
them a tree; the CPU reserves a tree, fills its frames, the fullest first, and then reserves the
fullest tree that has at least a sixteenth of its pages free, a wholly free one last. One CPU.

Source of the idea: luhsra/llfree-rs, core/src/trees.rs (search_best, MIN_FREE) and the paper
(Wrenger et al., USENIX ATC 2023). Not a port: LLFree looks near the last tree first, takes frames
by a bit field, and moves a CPU to where it frees much.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from secretjax.ageing.boot import MEMMAP
from secretjax.ageing.llfree import LLFree
from secretjax.engine import generator
from secretjax.mm.words import PAGEBLOCK_PAGES

TREE = 32  # frames
MIN_FREE = TREE * PAGEBLOCK_PAGES // 16
# Huge frames that are free after so many iterations of the published run, of 17.363 M pages
# (luhsra/llfree-bench, frag/latest-ll and latest-bu, out.csv).
PUBLISHED_FREE = 17_363_000
PUBLISHED = {0: 5024, 30: 4928, 40: 5999, 50: 13779, 60: 23331, 75: 30013, 99: 31967}
PUBLISHED_BUDDY = {0: 5108, 99: 5107}


@dataclass
class Memory:
    """free: pages of each frame; reserved: the tree in use, -1 none."""

    free: Int64[np.ndarray, " frames"]
    reserved: int = -1

    def take(self, pages: int) -> Int64[np.ndarray, " taken"]:
        """The frame of each page handed out."""
        parts, left = [], pages
        while left:
            if self.reserved < 0:
                self.reserved = self._best()
            frames = self._order(self.reserved)
            room = np.cumsum(self.free[frames])
            given = np.diff(np.minimum(room, left), prepend=0)
            self.free[frames] -= given
            parts.append(np.repeat(frames, given))
            left -= int(given.sum())
            if left:
                self.reserved = -1
        return np.concatenate(parts)

    def _order(self, tree: int) -> Int64[np.ndarray, " frames"]:
        """The frames of a tree, the fullest first."""
        frames = np.arange(tree * TREE, min((tree + 1) * TREE, len(self.free)))
        return frames[np.argsort(self.free[frames], kind="stable")]

    def _best(self) -> int:
        """The tree to reserve."""
        trees = -(-len(self.free) // TREE)
        free = np.zeros(trees * TREE, np.int64)
        free[: len(self.free)] = self.free
        free = free.reshape(trees, TREE).sum(1)
        free += np.where(free < MIN_FREE, 1 << 30, 0) + np.where(free == 0, 1 << 40, 0)
        return int(free.argmin())


def run(
    recipe: LLFree, pages: int, seed: int, state: int = 0
) -> tuple[Int64[np.ndarray, " looks"], Int64[np.ndarray, " looks"]]:
    """Free pages and free huge frames after 0 to `recipe.iterations` iterations.

    The requests of `recipe`, on a zone that begins as `boot.booted` does. The randomness of a
    state depends on (seed, state) only.
    """
    rng = generator(seed, state)
    frames = pages // PAGEBLOCK_PAGES
    memory = Memory(np.full(frames, PAGEBLOCK_PAGES))
    gone = pages // MEMMAP
    memory.free[frames - gone // PAGEBLOCK_PAGES :] = 0
    memory.take(pages * recipe.system // 10_000)
    taken = pages * recipe.share // 100 // 2 * 2
    slot = rng.permutation(memory.take(taken))
    memory.free += np.bincount(slot[taken // 2 :], minlength=frames)
    slot = slot[: taken // 2]
    moved = len(slot) * recipe.again // 100
    free, huge = [], []
    for k in range(recipe.iterations + 1):
        if k:
            chosen = rng.choice(len(slot), moved, replace=False)
            memory.free += np.bincount(slot[chosen], minlength=frames)
            slot[chosen] = memory.take(moved)
        free.append(memory.free.sum())
        huge.append((memory.free == PAGEBLOCK_PAGES).sum())
    return np.array(free), np.array(huge)
