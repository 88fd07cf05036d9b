"""The free lists of one zone in plain Python: what `tests.oracle.kernel` works on.

One ordered dict for each free list, one flag for each page.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Self

import numpy as np

MAX_ORDER = 10
BLOCK_ORDER = 9
BLOCK_PAGES = 1 << BLOCK_ORDER
UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, CMA, ISOLATE = range(6)
TYPES = 6
FALLBACKS = {
    UNMOVABLE: (RECLAIMABLE, MOVABLE),
    MOVABLE: (RECLAIMABLE, UNMOVABLE),
    RECLAIMABLE: (UNMOVABLE, MOVABLE),
}
MERGEABLE = (UNMOVABLE, MOVABLE, RECLAIMABLE)
MOVABLE_CLASSES = ("thp", "unevictable", "anon_lru", "file_lru")
K511, K610, K612Y = "K511", "K610", "K612y"


class Lists:
    """One zone. `free_list[order][mt]`, head first, is an ordered dict whose keys are pfns.

    `fallback`: whose rules it follows, see `tests.oracle.kernel`. In K511 the list that holds a
    block may be of another type than the block's pageblock (`block_mt`).
    """

    def __init__(self, start_pfn: int, end_pfn: int, block_mt: list[int], fallback: str = K612Y):
        assert fallback in (K511, K610, K612Y)
        self.fallback = fallback
        self.start_pfn, self.end_pfn = start_pfn, end_pfn
        self.block_mt = list(block_mt)
        self.free_list = [[OrderedDict() for _ in range(TYPES)] for _ in range(MAX_ORDER + 1)]
        self.order_of = {}  # first pfn of each free block -> its order
        self.list_of = {}  # and the type of the list that holds it
        self.in_use = bytearray(end_pfn)
        self.movable = bytearray(end_pfn)  # PageLRU or __PageMovable
        self.counts = Counter()
        self._free_pages = [0] * TYPES

    @classmethod
    def from_start(cls, start) -> Self:
        """The zone of a `secretjax.cases.StartState` (or of anything with the same fields)."""
        block_mt = [UNMOVABLE] * -(-start.zone["end_pfn"] // BLOCK_PAGES)
        for pfn, mt in zip(start.block_pfn.tolist(), start.block_mt.tolist(), strict=True):
            block_mt[pfn >> BLOCK_ORDER] = mt
        pfns = start.zone["start_pfn"], start.zone["end_pfn"]
        zone = cls(*pfns, block_mt, start.settings["fallback"])
        zone.in_use[zone.start_pfn :] = b"\1" * (zone.end_pfn - zone.start_pfn)
        for i, name in enumerate(start.page_classes):
            if name in MOVABLE_CLASSES:
                for pfn in np.nonzero(start.page_class == i)[0].tolist():
                    zone.movable[pfn] = 1
        columns = (start.list_pfn, start.list_order, start.list_mt, start.list_kind)
        for pfn, order, mt, kind in zip(*(c.tolist() for c in columns), strict=True):
            pages = slice(pfn, pfn + (1 << order))
            zone.movable[pages] = bytes(1 << order)
            if kind == 0:
                zone.in_use[pages] = bytes(1 << order)
                zone._add(pfn, order, mt, tail=True)
        return zone

    # The lists

    def _add(self, pfn: int, order: int, mt: int, tail: bool = False) -> None:
        self.free_list[order][mt][pfn] = None
        if not tail:
            self.free_list[order][mt].move_to_end(pfn, last=False)
        self.order_of[pfn] = order
        self.list_of[pfn] = mt
        self._free_pages[mt] += 1 << order

    def _remove(self, pfn: int, order: int, mt: int) -> None:
        del self.free_list[order][mt][pfn]
        del self.order_of[pfn], self.list_of[pfn]
        self._free_pages[mt] -= 1 << order

    def _move(self, pfn: int, mt: int) -> None:
        """move_to_free_list(): to the tail, also if it is on a list of this type already."""
        order = self.order_of[pfn]
        self._remove(pfn, order, self.list_of[pfn])
        self._add(pfn, order, mt, tail=True)

    def _head(self, order: int, mt: int) -> int | None:
        return next(iter(self.free_list[order][mt]), None)

    def _first(self, order: int, mt: int) -> int:
        """The head of a list that is not empty."""
        return next(iter(self.free_list[order][mt]))

    def _type(self, pfn: int) -> int:
        return self.block_mt[pfn >> BLOCK_ORDER]

    def _retype(self, pfn: int, order: int, mt: int) -> None:
        """change_pageblock_range()"""
        first = pfn >> BLOCK_ORDER
        for block in range(first, first + (1 << (order - BLOCK_ORDER))):
            self.block_mt[block] = mt

    def rows(self) -> Iterator[tuple[int, int, int]]:
        """Every free block as (pfn, order, mt): by order, then type, then place in the list."""
        for order, of_order in enumerate(self.free_list):
            for mt, of_type in enumerate(of_order):
                for pfn in of_type:
                    yield pfn, order, mt

    def lists(self) -> np.ndarray:
        """`rows` as int64[blocks, 3]."""
        return np.array(list(self.rows()), np.int64).reshape(-1, 3)

    # A pageblock

    def _census(self, first: int, end: int) -> tuple[int, int]:
        """(free, movable) pages from `first` on: prep_move_freepages_block(), move_freepages()."""
        free = movable = 0
        pfn = first
        while pfn < end:
            order = self.order_of.get(pfn)
            if order is None:
                movable += self.movable[pfn]
                pfn += 1
            else:
                free += 1 << order
                pfn += 1 << order
        return free, movable

    def _move_free_pages(self, first: int, end: int, mt: int) -> None:
        """move_freepages(): each free block to the tail of its list of type `mt`."""
        for pfn in range(first, end):
            if pfn in self.order_of:
                self._move(pfn, mt)

    def _enough(self, free: int, movable: int, label: int, mt: int) -> bool:
        """Is half of a pageblock of type `label` free or in use as a request of `mt` uses pages?"""
        if mt == MOVABLE:
            alike = movable
        elif label == MOVABLE:
            alike = BLOCK_PAGES - (free + movable)
        else:
            alike = 0
        return free + alike >= BLOCK_PAGES // 2
