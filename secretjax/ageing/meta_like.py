"""A server as Meta's fleet has them: little unmovable memory, in many pageblocks."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from secretjax.ageing.base import Plan, Recipe, Slots, cut, slots
from secretjax.ageing.boot import MEMMAP
from secretjax.mm.words import Migratetype

# Unmovable memory: migratetype, class, % of all of it, % of its pages by order. Networking has
# 73 % (Contiguitas, ISCA 2023): buffers of a page and page fragments of order 3
# (net/core/sock.c: SKB_FRAG_PAGE_ORDER). The rest in equal parts, slab as SLUB asks for it.
BY_ORDER = {0: 25, 1: 25, 2: 25, 3: 25}
UNMOVABLE = (
    (Migratetype.UNMOVABLE, "kernel_other", 73, {0: 50, 3: 50}),
    (Migratetype.UNMOVABLE, "pgtable", 9, {0: 100}),
    (Migratetype.UNMOVABLE, "slab", 9, BY_ORDER),
    (Migratetype.RECLAIMABLE, "slab", 9, BY_ORDER),
)
FILE, ANON, SLAB = 5, 4, 1  # parts of what comes and goes; no source


@dataclass
class Group:
    """Slots of one kind: the first, their pages each, which hold a block, blocks wanted."""

    first: int
    size: int
    holds: np.ndarray = field(repr=False)

    def turn(self, level: int, moved: int, rng) -> tuple[np.ndarray, np.ndarray]:
        """Slots that give back and slots that ask, so that `level` blocks are held afterwards.

        `moved` blocks come and go besides. None gives back what it asks for in the same turn.
        """
        held, empty = np.flatnonzero(self.holds), np.flatnonzero(~self.holds)
        gone = min(moved + max(len(held) - level, 0), len(held))
        new = min(max(level - len(held) + gone, 0), len(empty))
        out, come = rng.permutation(held)[:gone], rng.permutation(empty)[:new]
        self.holds[out], self.holds[come] = False, True
        return self.first + out, self.first + come


@dataclass(frozen=True)
class MetaLike(Recipe):
    """File cache, anonymous memory, slab and network buffers; memory is full but for `free`.

    In each epoch a share of memory comes and goes at random. In the first ones network buffers
    swell besides, by 80 to 100 % of `burst` (drawn for each state and epoch), while the file cache
    gives way; then they are back at their level for some calm epochs. What stays behind lies where
    the bursts found room, and the kernel's fallbacks decide in how many pageblocks. `burst` and
    `calm` are what was calibrated, once and without secret memory: 7 % of memory unmovable (put
    in) was to lie in 34 % of the pageblocks (found; 64 states of 2^17 pages). Unmovable is here
    what is on no LRU list, reclaimable slab too.

    Not modelled: huge pages, swap, reclaim, and unless `percpu` kcompactd.
    """

    name = "meta_like"
    label = "a server in Meta's fleet"
    source = (
        "Johannes Weiner, linux-mm, 18 April 2023: unmovable memory less than 7 % on average, in "
        "34 % of 2 MiB blocks; networking 73 % of unmovable pages: Contiguitas, ISCA 2023"
    )
    bursts: int = 4  # epochs
    calm: int = 6  # epochs after them
    unmovable: int = 70  # of 1,000 pages
    anon: int = 400  # of 1,000 pages
    free: int = 80  # of 1,000 pages
    turnover: int = 250  # of 1,000 pages, an epoch
    burst: int = 290  # % of the network's level, at most
    percpu: bool = False

    def plan(self, pages: int, rng: np.random.Generator) -> Plan:
        managed = pages - pages // MEMMAP
        part = lambda share: managed * share // 1000  # noqa: E731
        kinds, wanted, most = [], [], []
        for mt, name, percent, orders in UNMOVABLE:
            for order, of_it in orders.items():
                level = part(self.unmovable) * percent * of_it // 10_000 >> order
                bursts = 100 + (self.burst if percent == 73 else 0)
                kinds.append((2 * level * bursts // 100, order, mt, name))
                wanted.append(level)
                most.append(bursts)
        file = managed - part(self.unmovable + self.anon + self.free)
        moved = part(self.turnover) // (FILE + ANON + SLAB)
        kinds.append((part(self.anon) + ANON * moved, 0, Migratetype.MOVABLE, "anon_lru"))
        kinds.append((file + FILE * moved, 0, Migratetype.MOVABLE, "file_lru"))
        own = slots(kinds, self.percpu)
        swing = self.unmovable * self.burst // 100  # the network's, and the file cache's against it
        longest = rounded_up(part(2 * (self.turnover + swing)))
        levels = np.array([*wanted, part(self.anon), file])
        pieces = self._pieces(own, kinds, levels, np.array(most), moved, longest, rng)
        return Plan(own, longest, pieces)

    def _pieces(
        self, own: Slots, kinds, levels, most, moved, longest, rng
    ) -> Iterator[tuple[str, np.ndarray]]:
        firsts = np.cumsum([0] + [kind[0] for kind in kinds])
        groups = [
            Group(int(first), 1 << kind[1], np.zeros(kind[0], bool))
            for first, kind in zip(firsts, kinds, strict=False)
        ]
        size = np.array([g.size for g in groups])
        unmovable = levels[:-2] * size[:-2]
        share = unmovable / unmovable.sum()
        goes = np.append(SLAB * moved * share / size[:-2], [ANON * moved, FILE * moved]).astype(int)
        for epoch in range(1 + self.bursts + self.calm):
            now = levels.copy()
            swell = rng.uniform(0.8, 1) if 0 < epoch <= self.bursts else 0.0
            now[:-2] += (levels[:-2] * (most - 100) * swell / 100).astype(int)
            now[-1] -= ((now - levels)[:-2] * size[:-2]).sum()
            turns = [
                g.turn(int(level), int(moves), rng)
                for g, level, moves in zip(groups, now, goes * (epoch > 0), strict=True)
            ]
            out, come = (np.concatenate([turn[k] for turn in turns]) for k in (0, 1))
            order = rng.permutation(len(out) + len(come))
            gives = order < len(out)
            rows = own.rows(np.concatenate([out, come])[order], gives)
            *others, (_, last) = cut(rows, longest)  # but the first epoch, one piece
            yield from others
            yield str(epoch), last


def rounded_up(size: int) -> int:
    """To a multiple of 4,096 rows."""
    return -(-size // 4096) * 4096
