"""A plain-Python buddy allocator, to judge the JAX one by.

Written from mm/page_alloc.c (and, for K610, whose source is not at hand, from what
`Kernel._fall_back` says) and never from `secretjax.mm`: one function for each of the kernel's. Slow
and obvious on purpose. It shares no representation and no code with what it judges.
"""

import numpy as np

from tests.oracle.lists import (
    BLOCK_ORDER,
    BLOCK_PAGES,
    CMA,
    FALLBACKS,
    HIGHATOMIC,
    ISOLATE,
    K511,
    K612Y,
    MAX_ORDER,
    MERGEABLE,
    MOVABLE,
    Lists,
)

NORMAL, TRY_CMA, CLAIM, STEAL = range(4)
REFUSED = -1


class ImpossibleFree(Exception):
    """A page was freed that is not in use."""


class Kernel(Lists):
    """The lists of a zone, and the requests that work on them.

    K612y  Linux 6.12.29 and later
    K610   6.10 to 6.12.28
    K511   5.0 to 6.9
    """

    def __init__(self, *args):
        super().__init__(*args)
        self._mode, self._refill = NORMAL, None

    # Allocation

    def alloc(
        self, order: int, mt: int, movable: bool | None = None, refill: int | None = None
    ) -> int:
        """First pfn of the block, or REFUSED. Within one `refill` the mode that worked is kept.

        `movable` (default: mt is MOVABLE): whether the pages count as movable from now on.
        """
        if refill is None or refill != self._refill or self.fallback != K612Y:
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
        if self.fallback != K612Y:
            return self._fall_back(order, mt)
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
            pfn = self._try_to_claim(self._first(current, other), current, order, mt)
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
        free, movable = self._census(first, first + BLOCK_PAGES)
        if not self._enough(free, movable, block_type, mt):
            self.counts["claim_failed_test"] += 1
            return None
        self._move_free_pages(first, first + BLOCK_PAGES, mt)
        self.block_mt[first >> BLOCK_ORDER] = mt
        self.counts["claimed_by_moving"] += 1
        return self._smallest(order, mt)

    def _steal(self, order: int, mt: int) -> int | None:
        """__rmqueue_steal(): from the smallest blocks up; the rest stays on the foreign lists."""
        for current in range(order, MAX_ORDER + 1):
            other = self._fallback(current, mt)
            if other is not None:
                pfn = self._first(current, other)
                self._remove(pfn, current, other)
                self._expand(pfn, order, current, other)
                return pfn
        return None

    def _fall_back(self, order: int, mt: int) -> int | None:
        """__rmqueue_fallback() before 6.12.29: one candidate, the largest block of another type.

        Only where a movable request may not claim that one it is the smallest. K610 (the commit
        message of "don't steal single pages from biggest buddy", which ended it): what cannot be
        claimed is cut out of the candidate, the rest stays on the foreign list.
        """
        found = self._candidate(range(MAX_ORDER, order - 1, -1), mt)
        if found is None:
            return None
        current, other = found
        if current < BLOCK_ORDER // 2 and mt == MOVABLE and current > order:
            self.counts["claim_left_small"] += 1
            found = self._candidate(range(order, MAX_ORDER), mt)
            assert found is not None
            current, other = found
        pfn = self._first(current, other)
        can_claim = current >= BLOCK_ORDER // 2 or mt != MOVABLE
        if self.fallback == K511:
            self._steal_suitable_fallback(pfn, current, other, mt, can_claim)
            return self._smallest(order, mt)
        if current < BLOCK_ORDER and not can_claim:
            self.counts["boosted"] += 1
        got = self._try_to_claim(pfn, current, order, mt) if can_claim else None
        if got is None:
            self.counts["stolen"] += 1
            self._remove(pfn, current, other)
            self._expand(pfn, order, current, other)
            return pfn
        return got

    def _candidate(self, orders: range, mt: int) -> tuple[int, int] | None:
        """The first of these orders of which another type has a block, and that type."""
        for current in orders:
            other = self._fallback(current, mt)
            if other is not None:
                return current, other
        return None

    def _steal_suitable_fallback(
        self, pfn: int, current: int, other: int, mt: int, whole_block: bool
    ) -> None:
        """steal_suitable_fallback() of 6.1: free memory goes to the lists of `mt`, none is cut.

        All that is free in the pageblock, in ascending order to the tails, its label by the test
        of half a pageblock; or else the block alone. Where the zone begins within the pageblock,
        move_freepages_block() begins at the block; where it ends there, it moves nothing.
        """
        label = self._type(pfn)
        end = (pfn | (BLOCK_PAGES - 1)) + 1
        first = end - BLOCK_PAGES
        first = first if first >= self.start_pfn else pfn
        if label == HIGHATOMIC:
            self.counts["highatomic_taken"] += 1
        elif current >= BLOCK_ORDER:
            self._retype(pfn, current, mt)
            self.counts["claimed_whole"] += 1
        else:
            self.counts["boosted"] += 1
            if whole_block and end <= self.end_pfn:
                free, movable = self._census(first, end)
                if first % BLOCK_PAGES:
                    self.counts["zone_begins_within"] += 1
                self._move_free_pages(first, end, mt)
                if self._enough(free, movable, label, mt):
                    self.block_mt[pfn >> BLOCK_ORDER] = mt
                    self.counts["claimed_by_moving"] += 1
                else:
                    self.counts["moved_without_label"] += 1
                return
            self.counts["stolen"] += 1
        self._move(pfn, mt)

    # Freeing

    def free(self, pfn: int, order: int, cached: int | None = None) -> None:
        """free_one_page(): any aligned part of what is in use; see split_large_buddy().

        cached: K511, the type under which a per-CPU list kept the page.
        """
        pages = slice(pfn, pfn + (1 << order))
        aligned = pfn % (1 << order) == 0
        if not aligned or pfn < 0 or bytes(self.in_use[pages]) != b"\1" * (1 << order):
            raise ImpossibleFree(f"pfn {pfn} order {order}")
        self.in_use[pages] = bytes(1 << order)
        self.movable[pages] = bytes(1 << order)
        self.counts["freed"] += 1
        if self.fallback == K511:  # at once, whatever its size
            self._free_one(pfn, order, self._type(pfn) if cached is None else cached)
            return
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
            self._remove(buddy, order, self.list_of[buddy])
            if buddy_mt != mt and self.fallback != K511:
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
        cached = mt if mt >= 0 else None
        if kind == ALLOC:
            assert handle == len(pfns), "handles count the allocations"
            pfns.append(zone.alloc(order, mt, refill=last))
        elif kind == FREE:
            if handle >= 0 and pfns[handle] == REFUSED:
                continue
            zone.free((pfns[handle] if handle >= 0 else 0) + last, order, cached)
        else:
            shots.append(zone.lists())
    return np.array(pfns, np.int64), shots
