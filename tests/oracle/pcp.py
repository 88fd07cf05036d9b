"""The per-CPU lists of Linux 6.12 in front of `tests.oracle.kernel.Kernel`: one CPU, one zone.

Written from mm/page_alloc.c and never from `secretjax.mm`: one function for each of the kernel's,
one deque for each list. CONFIG_SMP=n: nothing decays `high` or drains in the background.
"""

from collections import deque

import numpy as np

from tests.oracle.kernel import REFUSED, Kernel
from tests.oracle.lists import BLOCK_PAGES, CMA, HIGHATOMIC, ISOLATE, MAX_ORDER, MOVABLE

PCP_TYPES = 3
COSTLY_ORDER = 3
HUGE_ORDER = 9
LOW_ORDER_LISTS = PCP_TYPES * (COSTLY_ORDER + 1)
LISTS = LOW_ORDER_LISTS + 2
SCALE_MAX = 5  # CONFIG_PCP_BATCH_SCALE_MAX


def order_to_pindex(mt: int, order: int) -> int:
    """Which list. Order 9 has two: not movable, movable."""
    if order > COSTLY_ORDER:
        return LOW_ORDER_LISTS + (mt == MOVABLE)
    return PCP_TYPES * order + mt


def pindex_to_order(pindex: int) -> int:
    """The order of the blocks on a list."""
    return HUGE_ORDER if pindex >= LOW_ORDER_LISTS else pindex // PCP_TYPES


def allowed_order(order: int) -> bool:
    """pcp_allowed_order()"""
    return order <= COSTLY_ORDER or order == HUGE_ORDER


def clamp(value: int, low: int, high: int) -> int:
    """The kernel's clamp(): the upper bound wins."""
    return min(max(value, low), high)


class Pcp:
    """The lists of one CPU (head first) and the zone behind them.

    A snapshot does not hold the flags. They begin as a quiet machine has them; a caller who knows
    better sets `prev_free_high_order` (was the last page freed of order 1 to 3?) and `below_high`.
    `boost` is taken back, and `reclaim_active` set, by kswapd: the caller's business.
    """

    def __init__(self, kernel: Kernel, zone: dict[str, int], boost_factor: int):
        self.kernel = kernel
        self.lists = [deque() for _ in range(LISTS)]
        self.managed = zone["managed"]
        self.mark = {name: zone[name] for name in ("min", "low", "high")}
        self.boost, self.boost_factor = zone["boost"], boost_factor
        self.count, self.high, self.batch = 0, zone["pcp_high"], zone["pcp_batch"]
        self.high_min, self.high_max = zone["pcp_high_min"], zone["pcp_high_max"]
        self.alloc_factor, self.free_count = zone["pcp_alloc_factor"], zone["pcp_free_count"]
        self.prev_free_high_order = False  # PCPF_PREV_FREE_HIGH_ORDER
        self.free_high_batch = True  # PCPF_FREE_HIGH_BATCH: the cache holds over 3 batches
        self.reclaim_active = False  # ZONE_RECLAIM_ACTIVE
        self.below_high = False  # ZONE_BELOW_HIGH
        self._refills = 0

    @classmethod
    def from_start(cls, start) -> "Pcp":
        """The lists and the zone of a `secretjax.cases.StartState`."""
        factor = int(start.settings["sysctl"]["watermark_boost_factor"])
        pcp = cls(Kernel.from_start(start), start.zone, factor)
        columns = (start.list_pfn, start.list_order, start.list_mt, start.list_kind)
        for pfn, order, mt, kind in zip(*(c.tolist() for c in columns), strict=True):
            if kind == 1:
                pcp.lists[order_to_pindex(mt, order)].append(pfn)
                pcp.count += 1 << order
        pcp.below_high = not pcp._watermark_ok(0, pcp.mark["high"] + pcp.boost, MOVABLE)
        return pcp

    def scalars(self) -> dict[str, int]:
        """What a snapshot tells of the lists, by the names of `secretjax.cases.ZONE_FIELDS`."""
        names = ("count", "high", "high_min", "high_max", "batch", "alloc_factor", "free_count")
        return {f"pcp_{name}": getattr(self, name) for name in names}

    def rows(self) -> np.ndarray:
        """int64[blocks, 3]: pfn, order, type, list after list; order 9: type 1 is movable."""
        found = []
        for pindex, pfns in enumerate(self.lists):
            mt = (pindex - LOW_ORDER_LISTS) if pindex >= LOW_ORDER_LISTS else pindex % PCP_TYPES
            found += [(pfn, pindex_to_order(pindex), mt) for pfn in pfns]
        return np.array(found, np.int64).reshape(-1, 3)

    # Watermarks

    def _watermark_ok(self, order: int, mark: int, mt: int) -> bool:
        """__zone_watermark_ok() and zone_watermark_fast(), without access to reserves."""
        free = self.kernel._free_pages
        usable = sum(free[:ISOLATE]) - ((1 << order) - 1) - free[HIGHATOMIC]
        types = range(PCP_TYPES)
        if mt == MOVABLE:
            types = (*types, CMA)
        else:
            usable -= free[CMA]
        if usable <= mark:
            return False
        lists = self.kernel.free_list
        return order == 0 or any(lists[o][t] for o in range(order, MAX_ORDER + 1) for t in types)

    def _may_allocate(self, order: int, mt: int) -> bool:
        """get_page_from_freelist() up to rmqueue(), then once more with the mark of the slow path.

        A request of a high order that no free block can serve sets ZONE_BELOW_HIGH, too.
        """
        if not self.below_high:
            if self._watermark_ok(order, self.mark["high"] + self.boost, mt):
                return True
            self.below_high = True
        return self._watermark_ok(order, self.mark["min"] + self.boost, mt)

    def _note_boosts(self, boosts: int) -> None:
        """boost_watermark(), once for each time that the zone's code would have called it."""
        most = max(BLOCK_PAGES, self.mark["high"] * self.boost_factor // 10000)
        if boosts and self.boost_factor and self.managed >= 4 * BLOCK_PAGES:
            self.boost = min(self.boost + boosts * BLOCK_PAGES, most)

    # Allocation

    def alloc(self, order: int, mt: int, movable: bool | None = None) -> int:
        """First pfn of the block, or REFUSED.

        `movable` (default: mt is MOVABLE): whether claiming counts the pages as movable.
        """
        if not self._may_allocate(order, mt):
            return REFUSED
        pfn = REFUSED
        before = self.kernel.counts["boosted"]
        if allowed_order(order):
            pfn = self._rmqueue_pcplist(order, mt)
        if pfn == REFUSED:
            pfn = self.kernel.alloc(order, mt, movable=False)
        self._note_boosts(self.kernel.counts["boosted"] - before)
        if pfn != REFUSED:
            is_movable = mt == MOVABLE if movable is None else movable
            self.kernel.movable[pfn : pfn + (1 << order)] = bytes([is_movable]) * (1 << order)
        return pfn

    def alloc_bulk(self, pages: int, mt: int) -> list[int]:
        """alloc_pages_bulk_noprof() above the low mark: leaves free_count as it is."""
        return [self._take(0, mt) for _ in range(pages)]

    def _rmqueue_pcplist(self, order: int, mt: int) -> int:
        self.free_count >>= 1
        return self._take(order, mt)

    def _take(self, order: int, mt: int) -> int:
        """__rmqueue_pcplist()"""
        pfns = self.lists[order_to_pindex(mt, order)]
        if not pfns:
            self._refill(pfns, order, mt)
        if not pfns:
            return REFUSED
        self.count -= 1 << order
        return pfns.popleft()

    def _refill(self, pfns: deque, order: int, mt: int) -> None:
        """rmqueue_bulk(); what waits on a list is in use, and not movable."""
        self._refills += 1
        for _ in range(self._nr_alloc(order)):
            pfn = self.kernel.alloc(order, mt, movable=False, refill=self._refills)
            if pfn == REFUSED:
                break
            pfns.append(pfn)
            self.count += 1 << order

    def _nr_alloc(self, order: int) -> int:
        """nr_pcp_alloc()"""
        high = self.high = clamp(self.high, self.high_min, self.high_max)
        if high < self.batch:
            return 1
        batch = self.batch if order else self.batch << self.alloc_factor
        if self.high_min != self.high_max and not self.below_high:
            high = self.high = min(high + batch, self.high_max)
        if order == 0:
            most = max(high - self.count - self.batch, self.batch)
            if batch <= most and self.alloc_factor < SCALE_MAX:
                self.alloc_factor += 1
            batch = min(batch, most)
        return max(batch >> order, 2) if batch > 1 else batch

    # Freeing

    def free(self, pfn: int, order: int) -> None:
        """free_unref_page(), which is also what free_unref_folios() does to each folio."""
        mt = self.kernel._type(pfn)
        if not allowed_order(order) or mt == ISOLATE:
            self.kernel.free(pfn, order)
            return
        self.kernel.movable[pfn : pfn + (1 << order)] = bytes(1 << order)
        self._commit(pfn, order, mt if mt < PCP_TYPES else MOVABLE)

    def _commit(self, pfn: int, order: int, mt: int) -> None:
        """free_unref_page_commit()"""
        self.alloc_factor >>= 1
        pindex = order_to_pindex(mt, order)
        self.lists[pindex].appendleft(pfn)
        self.count += 1 << order
        free_high = False
        if 0 < order <= COSTLY_ORDER:
            free_high = (
                self.free_count >= self.batch
                and self.prev_free_high_order
                and (not self.free_high_batch or self.count >= self.batch)
            )
        self.prev_free_high_order = 0 < order <= COSTLY_ORDER
        if self.free_count < self.batch << SCALE_MAX:
            self.free_count += 1 << order
        high = self._nr_high(free_high)
        if self.count < high:
            return
        self._drain(self._nr_free(high, free_high), pindex)
        if self.below_high and self._watermark_ok(0, self.mark["high"] + self.boost, 0):
            self.below_high = False

    def _nr_high(self, free_high: bool) -> int:
        """nr_pcp_high()"""
        high = self.high = clamp(self.high, self.high_min, self.high_max)
        if not high:
            return 0
        if free_high:
            self.high = max(high - (self.batch << SCALE_MAX), self.high_min)
            return 0
        fewer = max(high - max(self.free_count, self.batch), self.high_min)
        if self.reclaim_active:
            self.high = fewer
            return min(self.batch << 2, self.high)
        if self.high_min == self.high_max:
            return high
        if self.below_high:
            self.high = fewer
            return max(self.count, self.high_min)
        if self.count >= high:
            need = self.free_count + self.batch
            if self.high < need:
                self.high = clamp(need, self.high_min, self.high_max)
        return high

    def _nr_free(self, high: int, free_high: bool) -> int:
        """nr_pcp_free()"""
        if free_high:
            return min(self.count, self.batch << SCALE_MAX)
        if high < self.batch:
            return 1
        return clamp(self.free_count, self.batch, high - self.batch)

    def _drain(self, count: int, pindex: int) -> None:
        """free_pcppages_bulk(): list after list from `pindex` on, each from its tail."""
        count = min(self.count, count)
        pindex -= 1
        while count > 0:
            pindex = (pindex + 1) % LISTS
            while not self.lists[pindex]:
                pindex = (pindex + 1) % LISTS
            order = pindex_to_order(pindex)
            while count > 0 and self.lists[pindex]:
                self.kernel.free(self.lists[pindex].pop(), order)
                count -= 1 << order
                self.count -= 1 << order

    def drain_all(self) -> None:
        """drain_pages_zone()"""
        while self.count:
            self._drain(min(self.count, self.batch << SCALE_MAX), 0)
