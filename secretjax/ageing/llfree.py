"""The fragmentation benchmark of LLFree: half of memory in single pages that come and go."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from secretjax.ageing.base import Plan, Recipe, Slots, cut, slots
from secretjax.mm.words import Migratetype

SEGMENTS = 10  # pieces in which memory is filled


@dataclass(frozen=True)
class LLFree(Recipe):
    """Single movable pages until 90 % of the zone is taken, shuffled, half of them given back;
    then in each of 100 iterations a tenth of those held is given back at random, and as many are
    taken in the same order.

    What the numbers mean. The published machine has 125 GiB in ZONE_NORMAL (32.77 M pages present)
    of which 2 % are in use before: the memory map of 128 GiB and the system. What 90 % leave, 8 %
    of the zone, was never handed out: 5,107 free huge frames, 15.06 % of the 17.363 M free pages:
    (0.98 - 0.90) / (0.98 - 0.45). The allocator keeps the share as long as it touches none of
    them and makes no new one. `system` is their 2 % less the memory map of a booted zone here.
    """

    name = "llfree"
    label = "LLFree's fragmentation benchmark"
    source = (
        "luhsra/linux-alloc-bench, alloc.c: init_frag(), frag(); luhsra/llfree-bench, frag/: "
        "5,107 of 17.363 M pages with the kernel's buddy, 31,967 with LLFree after 100 iterations"
    )
    iterations: int = 100
    share: int = 90  # % of the pages present
    again: int = 10  # % of the pages held, in each iteration
    system: int = 45  # in use before, of 10,000 pages present
    percpu: bool = False  # the benchmark is about the allocator's core

    def plan(self, pages: int, rng: np.random.Generator) -> Plan:
        taken, system = pages * self.share // 100 // 2 * 2, pages * self.system // 10_000
        held = taken // 2
        moved = held * self.again // 100
        own = slots(
            [
                (taken, 0, Migratetype.MOVABLE, "anon_lru"),
                (system, 0, Migratetype.UNMOVABLE, "kernel_other"),
            ],
            self.percpu,
        )
        longest = max(2 * moved, -(-taken // SEGMENTS), system)
        return Plan(own, longest, self._pieces(own, taken, system, moved, longest, rng))

    def _pieces(
        self, own: Slots, taken: int, system: int, moved: int, longest: int, rng
    ) -> Iterator[tuple[str, np.ndarray]]:
        asks, gives = (lambda n: np.zeros(n, bool)), (lambda n: np.ones(n, bool))
        yield "", own.rows(taken + np.arange(system), asks(system))
        yield from cut(own.rows(np.arange(taken), asks(taken)), longest)
        order = rng.permutation(taken)
        keeps, back = order[: taken // 2], order[taken // 2 :]
        *most, (_, last) = cut(own.rows(back, gives(len(back))), longest)
        yield from most
        yield "0", last
        for k in range(1, self.iterations + 1):
            chosen = rng.choice(keeps, moved, replace=False)
            out_and_in = np.concatenate([gives(moved), asks(moved)])
            yield str(k), own.rows(np.tile(chosen, 2), out_and_in)
