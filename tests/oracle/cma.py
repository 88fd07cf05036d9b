"""cma_alloc() in plain Python, try by try, on the free lists of `tests.oracle.kernel`.

Written from mm/cma.c (__cma_alloc), mm/page_alloc.c (alloc_contig_range_noprof,
move_freepages_block_isolate, split_large_buddy, free_contig_range) and mm/page_isolation.c
(start_isolate_page_range, undo_isolate_page_range, unset_migratetype_isolate) of Linux 6.12.117.
Pages in use are single ones; there are no per-CPU lists.
"""

from dataclasses import dataclass, field

from tests.oracle.kernel import REFUSED, Kernel
from tests.oracle.lists import BLOCK_ORDER, BLOCK_PAGES, CMA, ISOLATE, MAX_ORDER, MOVABLE

COUNT = BLOCK_PAGES  # pages of an allocation
BUSY, NO_MEMORY = "EBUSY", "ENOMEM"


@dataclass
class Area:
    """A CMA area [base, end) of a zone, one bit of the bitmap for each page, no alignment."""

    zone: Kernel
    base: int
    end: int
    pinned: set[int]
    bitmap: set[int] = field(default_factory=set)  # pages allocated
    busy: int = 0  # tries that ended in -EBUSY
    migrated: int = 0

    def alloc(self) -> int | None:
        """__cma_alloc(): the first page, or None."""
        start = self.base
        while (pfn := self._zero_area(start)) is not None:
            result = self._range(pfn)
            if result is None:
                self.bitmap |= set(range(pfn, pfn + COUNT))
                return pfn
            self.busy += 1
            if result != BUSY:
                return None
            start = pfn + 1
        return None

    def _zero_area(self, start: int) -> int | None:
        """bitmap_find_next_zero_area_off()"""
        while start + COUNT <= self.end:
            taken = [pfn for pfn in range(start, start + COUNT) if pfn in self.bitmap]
            if not taken:
                return start
            start = taken[0] + 1
        return None

    def _range(self, start: int) -> str | None:
        """alloc_contig_range_noprof(): None, or what went wrong."""
        end = start + COUNT
        blocks = range(start & -BLOCK_PAGES, end, BLOCK_PAGES)
        for first in blocks:
            self._isolate(first)
        result = self._migrate(start, end)
        if result is None and all(not self.zone.in_use[pfn] for pfn in range(start, end)):
            self._grab(start, end)
        elif result is None:
            result = BUSY
        for first in blocks:
            self._unset(first)
        return result

    def _isolate(self, first: int) -> None:
        """move_freepages_block_isolate()"""
        self._move(first, ISOLATE)

    def _move(self, first: int, mt: int) -> None:
        zone = self.zone
        large = first & -(1 << MAX_ORDER)
        if zone.order_of.get(large) == MAX_ORDER:
            zone._remove(large, MAX_ORDER, zone.list_of[large])
            zone.block_mt[first >> BLOCK_ORDER] = mt
            for part in (large, large + BLOCK_PAGES):
                zone._free_one(part, BLOCK_ORDER, zone._type(part))
            return
        zone._move_free_pages(first, first + BLOCK_PAGES, mt)
        zone.block_mt[first >> BLOCK_ORDER] = mt

    def _migrate(self, start: int, end: int) -> str | None:
        """__alloc_contig_migrate_range(): what cannot be isolated is passed over."""
        zone = self.zone
        for pfn in range(start, end):
            if zone.in_use[pfn] and zone.movable[pfn] and pfn not in self.pinned:
                target = zone.alloc(0, MOVABLE)
                if target == REFUSED:
                    return NO_MEMORY
                zone.free(pfn, 0)
                self.migrated += 1
        return None

    def _grab(self, start: int, end: int) -> None:
        """isolate_freepages_range() of all blocks that reach into it; head and tail are freed."""
        zone = self.zone
        blocks = [
            (pfn, order)
            for pfn, order in zone.order_of.items()
            if pfn < end and pfn + (1 << order) > start
        ]
        for pfn, order in blocks:
            zone._remove(pfn, order, zone.list_of[pfn])
            zone.in_use[pfn : pfn + (1 << order)] = b"\1" * (1 << order)
        for pfn, order in sorted(blocks):
            for page in range(pfn, pfn + (1 << order)):
                if not start <= page < end:
                    zone.free(page, 0)

    def _unset(self, first: int) -> None:
        """unset_migratetype_isolate()"""
        zone = self.zone
        buddy = first ^ BLOCK_PAGES
        merges = zone.order_of.get(first) == zone.order_of.get(buddy) == BLOCK_ORDER
        if merges and zone._type(buddy) != ISOLATE:  # __isolate_free_page, __putback_isolated_page
            zone._remove(first, BLOCK_ORDER, ISOLATE)
            zone.block_mt[first >> BLOCK_ORDER] = CMA
            zone._free_one(first, BLOCK_ORDER, CMA)
            merged = first & -(1 << MAX_ORDER)
            at = merged if zone.order_of.get(merged) == MAX_ORDER else first
            zone._move(at, CMA)  # FPI_TO_TAIL
        else:
            self._move(first, CMA)
