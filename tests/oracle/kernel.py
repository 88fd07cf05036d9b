"""A plain-Python buddy allocator of Linux 6.12.29 and later ("K612y"), to judge the JAX one by.

Written from mm/page_alloc.c and never from `secretjax.mm`: one function for each of the kernel's,
one ordered dict for each free list, one flag for each page. Slow and obvious on purpose. It shares
no representation and no code with what it judges.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator

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
NORMAL, TRY_CMA, CLAIM, STEAL = range(4)
REFUSED = -1


class ImpossibleFree(Exception):
    """A page was freed that is not in use."""


class Kernel:
    """One zone. `free_list[order][mt]`, head first, is an ordered dict whose keys are pfns."""

    def __init__(self, start_pfn: int, end_pfn: int, block_mt: list[int]):
        self.start_pfn, self.end_pfn = start_pfn, end_pfn
        self.block_mt = list(block_mt)
        self.free_list = [[OrderedDict() for _ in range(TYPES)] for _ in range(MAX_ORDER + 1)]
        self.order_of = {}  # first pfn of each free block -> its order
        self.in_use = bytearray(end_pfn)
        self.movable = bytearray(end_pfn)  # PageLRU or __PageMovable
        self.counts = Counter()
        self._mode, self._refill = NORMAL, None
        self._free_pages = [0] * TYPES

    @classmethod
    def from_start(cls, start) -> "Kernel":
        """The zone of a `secretjax.cases.StartState` (or of anything with the same fields)."""
        block_mt = [UNMOVABLE] * -(-start.zone["end_pfn"] // BLOCK_PAGES)
        for pfn, mt in zip(start.block_pfn.tolist(), start.block_mt.tolist(), strict=True):
            block_mt[pfn >> BLOCK_ORDER] = mt
        zone = cls(start.zone["start_pfn"], start.zone["end_pfn"], block_mt)
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
        self._free_pages[mt] += 1 << order

    def _remove(self, pfn: int, order: int, mt: int) -> None:
        del self.free_list[order][mt][pfn]
        del self.order_of[pfn]
        self._free_pages[mt] -= 1 << order

    def _head(self, order: int, mt: int) -> int | None:
        return next(iter(self.free_list[order][mt]), None)

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

    # Allocation

    def alloc(
        self, order: int, mt: int, movable: bool | None = None, refill: int | None = None
    ) -> int:
        """First pfn of the block, or REFUSED. Within one `refill` the mode that worked is kept.

        `movable` (default: mt is MOVABLE): whether the pages count as movable from now on.
        """
        if refill is None or refill != self._refill:
            self._mode = NORMAL
        self._refill = refill
        pfn = self._rmqueue(order, mt)
        if pfn is None:
            self.counts["refused"] += 1
            return REFUSED
        self.counts["allocated"] += 1
        pages = slice(pfn, pfn + (1 << order))
        self.in_use[pages] = b"\1" * (1 << order)
        is_movable = mt == MOVABLE if movable is None else movable
        self.movable[pages] = bytes([is_movable]) * (1 << order)
        return pfn

    def _rmqueue(self, order: int, mt: int) -> int | None:
        """__rmqueue(), without ALLOC_NOFRAGMENT; movable requests carry ALLOC_CMA."""
        may_use_cma = mt == MOVABLE
        if may_use_cma and self._free_pages[CMA] > sum(self._free_pages[:ISOLATE]) // 2:
            pfn = self._smallest(order, CMA)
            if pfn is not None:
                self.counts["cma_preferred"] += 1
                return pfn
        if self._mode == NORMAL:
            pfn = self._smallest(order, mt)
            if pfn is not None:
                return pfn
        if self._mode <= TRY_CMA and may_use_cma:
            pfn = self._smallest(order, CMA)
            if pfn is not None:
                self._mode = TRY_CMA
                self.counts["cma_before_fallback"] += 1
                return pfn
        if self._mode <= CLAIM:
            pfn = self._claim(order, mt)
            if pfn is not None:
                self._mode = NORMAL
                return pfn
        pfn = self._steal(order, mt)
        if pfn is not None:
            self.counts["stolen_in_steal_mode" if self._mode == STEAL else "stolen"] += 1
            self._mode = STEAL
        return pfn

    def _smallest(self, order: int, mt: int) -> int | None:
        """__rmqueue_smallest()"""
        for current in range(order, MAX_ORDER + 1):
            pfn = self._head(current, mt)
            if pfn is not None:
                self._remove(pfn, current, mt)
                self._expand(pfn, order, current, mt)
                return pfn
        return None

    def _expand(self, pfn: int, low: int, high: int, mt: int) -> None:
        """expand(): upper halves go to the heads of their lists, the lowest part is kept."""
        while high > low:
            high -= 1
            self._add(pfn + (1 << high), high, mt)

    def _fallback(self, order: int, mt: int) -> int | None:
        """find_suitable_fallback(): the first other type with a block of exactly this order."""
        for other in FALLBACKS.get(mt, ()):
            if self.free_list[order][other]:
                return other
        return None

    def _claim(self, order: int, mt: int) -> int | None:
        """__rmqueue_claim(): from the biggest blocks down."""
        for current in range(MAX_ORDER, order - 1, -1):
            other = self._fallback(current, mt)
            if other is None:
                continue
            if current < BLOCK_ORDER // 2 and mt == MOVABLE:  # can_steal_fallback()
                self.counts["claim_left_small"] += 1
                break
            pfn = self._try_to_claim(self._head(current, other), current, order, mt)
            if pfn is not None:
                return pfn
        return None

    def _try_to_claim(self, pfn: int, current: int, order: int, mt: int) -> int | None:
        """try_to_steal_block()"""
        block_type = self._type(pfn)
        if block_type == HIGHATOMIC:
            return None
        if current >= BLOCK_ORDER:
            self._remove(pfn, current, block_type)
            self._retype(pfn, current, mt)
            self._expand(pfn, order, current, mt)
            self.counts["claimed_whole"] += 1
            return pfn
        self.counts["boosted"] += 1  # the watermark itself is none of the lists' business
        first = pfn & ~(BLOCK_PAGES - 1)
        if not (self.start_pfn <= first and first + BLOCK_PAGES <= self.end_pfn):
            self.counts["claim_failed_zone_edge"] += 1
            return None
        free, movable = self._census(first)
        if mt == MOVABLE:
            alike = movable
        elif block_type == MOVABLE:
            alike = BLOCK_PAGES - (free + movable)
        else:
            alike = 0
        if free + alike < BLOCK_PAGES // 2:
            self.counts["claim_failed_test"] += 1
            return None
        self._move_free_pages(first, block_type, mt)
        self.counts["claimed_by_moving"] += 1
        return self._smallest(order, mt)

    def _census(self, first: int) -> tuple[int, int]:
        """prep_move_freepages_block(): (free, movable) pages of the pageblock."""
        free = movable = 0
        pfn = first
        while pfn < first + BLOCK_PAGES:
            order = self.order_of.get(pfn)
            if order is None:
                movable += self.movable[pfn]
                pfn += 1
            else:
                free += 1 << order
                pfn += 1 << order
        return free, movable

    def _move_free_pages(self, first: int, old: int, new: int) -> None:
        """__move_freepages_block(): each free block to the tail of its list of the new type."""
        pfn = first
        while pfn < first + BLOCK_PAGES:
            order = self.order_of.get(pfn)
            if order is None:
                pfn += 1
                continue
            self._remove(pfn, order, old)
            self._add(pfn, order, new, tail=True)
            pfn += 1 << order
        self.block_mt[first >> BLOCK_ORDER] = new

    def _steal(self, order: int, mt: int) -> int | None:
        """__rmqueue_steal(): from the smallest blocks up; the rest stays on the foreign lists."""
        for current in range(order, MAX_ORDER + 1):
            other = self._fallback(current, mt)
            if other is not None:
                pfn = self._head(current, other)
                self._remove(pfn, current, other)
                self._expand(pfn, order, current, other)
                return pfn
        return None

    # Freeing

    def free(self, pfn: int, order: int) -> None:
        """free_one_page(): any aligned part of what is in use; see split_large_buddy()."""
        pages = slice(pfn, pfn + (1 << order))
        aligned = pfn % (1 << order) == 0
        if not aligned or pfn < 0 or bytes(self.in_use[pages]) != b"\1" * (1 << order):
            raise ImpossibleFree(f"pfn {pfn} order {order}")
        self.in_use[pages] = bytes(1 << order)
        self.movable[pages] = bytes(1 << order)
        self.counts["freed"] += 1
        step = min(order, BLOCK_ORDER)
        if order > BLOCK_ORDER:
            self.counts["freed_in_two_pageblocks"] += 1
        for part in range(pfn, pfn + (1 << order), 1 << step):
            self._free_one(part, step, self._type(part))

    def _free_one(self, pfn: int, order: int, mt: int) -> None:
        """__free_one_page()"""
        while order < MAX_ORDER:
            buddy = pfn ^ (1 << order)
            if self.order_of.get(buddy) != order:
                break
            buddy_mt = mt
            if order >= BLOCK_ORDER:
                buddy_mt = self._type(buddy)
                if buddy_mt != mt and not (mt in MERGEABLE and buddy_mt in MERGEABLE):
                    self.counts["merge_forbidden"] += 1
                    break
            self._remove(buddy, order, buddy_mt)
            if buddy_mt != mt:
                self._retype(buddy, order, mt)
                self.counts["merged_with_retyping"] += 1
            pfn &= buddy
            order += 1
            self.counts["merged"] += 1
        tail = self._merge_likely(pfn, order)
        self.counts["freed_to_tail" if tail else "freed_to_head"] += 1
        self._add(pfn, order, mt, tail=tail)

    def _merge_likely(self, pfn: int, order: int) -> bool:
        """buddy_merge_likely(): would the block twice as big find its own buddy free?"""
        if order >= MAX_ORDER - 1:
            return False
        above = pfn & ~(1 << order)
        return self.order_of.get(above ^ (2 << order)) == order + 1


ALLOC, FREE, SNAPSHOT = range(3)


def replay(zone: Kernel, requests: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Answers a request stream int32[R, 5]: pfns int64[A] and the lists at each snapshot."""
    pfns, shots = [], []
    for kind, order, mt, handle, last in requests.tolist():
        if kind == ALLOC:
            assert handle == len(pfns), "handles count the allocations"
            pfns.append(zone.alloc(order, mt, refill=last))
        elif kind == FREE:
            if handle >= 0 and pfns[handle] == REFUSED:
                continue
            zone.free((pfns[handle] if handle >= 0 else 0) + last, order)
        else:
            shots.append(zone.lists())
    return np.array(pfns, np.int64), shots
