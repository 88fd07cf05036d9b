"""A plain-Python direct map of x86-64, to judge the JAX one by.

Written from arch/x86/mm/pat/set_memory.c: __change_page_attr_set_clr(), __change_page_attr(),
__should_split_large_page() and __split_large_page(); with `collapse` cpa_collapse_large_pages() of
Linux 6.15 too, of tables that a split made. One dict entry for each leaf of the page tables.
"""

from collections import Counter
from collections.abc import Callable, Iterable

LEVELS = {"4K": 1, "2M": 512, "1G": 512 * 512}  # pages that an entry maps
SMALLER = {512: 1, 512 * 512: 512}


class NoTablePage(Exception):
    """split_large_page() got no page for a table (-ENOMEM); what was done before it stays done."""


class DirectMap:
    """`present[size][first pfn]` says of each entry whether it is present."""

    def __init__(self, entries: Iterable[tuple[int, int]], table_page: Callable[[], bool] | None):
        """`entries`: (first pfn, pages). `table_page()` is asked for each table of a split."""
        self.present = {size: {} for size in LEVELS.values()}
        for pfn, size in entries:
            self.present[size][pfn] = True
        self.table_page = table_page or (lambda: True)
        self.collapse = False
        self.split_here: set[int] = set()
        self.counts = Counter()

    @classmethod
    def of_size(cls, pages: int, level: str = "1G", table_page=None) -> "DirectMap":
        """`pages` pages from pfn 0, mapped by entries of one level, all present."""
        size = LEVELS[level]
        return cls(((pfn, size) for pfn in range(0, pages, size)), table_page)

    @classmethod
    def of_levels(cls, levels: Iterable[int], table_page=None) -> "DirectMap":
        """`levels` as dm_level of a case: for each 2 MiB, 2 = one entry, 1 = 512 entries."""
        entries = []
        for i, level in enumerate(levels):
            size = 512 if level == 2 else 1
            entries += [(pfn, size) for pfn in range(512 * i, 512 * (i + 1), size)]
        return cls(entries, table_page)

    def entries(self) -> dict[str, int]:
        """Number of entries by level, present or not (split_page_count())."""
        return {level: len(self.present[size]) for level, size in LEVELS.items()}

    def absent_pages(self) -> int:
        """Pages that no present entry maps."""
        return sum(
            size
            for size, of_size in self.present.items()
            for there in of_size.values()
            if not there
        )

    def is_present(self, pfn: int) -> bool:
        """Whether the kernel could touch the page."""
        size, first = self._lookup(pfn)
        return self.present[size][first]

    def remove(self, pfn: int, pages: int = 1) -> None:
        """set_direct_map_invalid_noflush(), or one call for several pages (__set_pages_np())."""
        self.counts["remove_calls"] += 1
        self._change(pfn, pages, False)

    def put_back(self, pfn: int, pages: int = 1) -> None:
        """set_direct_map_default_noflush(); entries keep their size, or collapse."""
        self.counts["put_back_calls"] += 1
        self._change(pfn, pages, True)
        if self.collapse:
            for first in range(pfn - pfn % 512, pfn + pages, 512):
                self._collapse(first)

    def _collapse(self, first: int) -> None:
        """collapse_pmd_page(): all 512 entries of the table are present."""
        small = self.present[LEVELS["4K"]]
        span = range(first, first + 512)
        if first not in self.split_here or not all(small.get(pfn) for pfn in span):
            return
        for pfn in span:
            del small[pfn]
        self.present[LEVELS["2M"]][first] = True
        self.split_here.remove(first)
        self.counts["collapse_2M"] += 1
        self.counts["tables"] -= 1
        self.counts["flush_tlb_all"] += 1

    def _lookup(self, pfn: int) -> tuple[int, int]:
        """lookup_address(): (pages, first pfn) of the entry."""
        for size, of_size in self.present.items():
            first = pfn - pfn % size
            if first in of_size:
                return size, first
        raise KeyError(f"pfn {pfn} was never in the direct map")

    def _change(self, pfn: int, pages: int, there: bool) -> None:
        end = pfn + pages
        while pfn < end:
            size, first = self._lookup(pfn)
            covered = pfn == first and first + size <= end
            if self.present[size][first] != there:
                if not covered:
                    self._split(size, first)
                    continue
                self.present[size][first] = there
            pfn = min(first + size, end)

    def _split(self, size: int, first: int) -> None:
        if not self.table_page():
            raise NoTablePage(f"pfn {first}")
        there = self.present[size].pop(first)
        for pfn in range(first, first + size, SMALLER[size]):
            self.present[SMALLER[size]][pfn] = there
        if size == LEVELS["2M"]:
            self.split_here.add(first)
        self.counts["split_2M" if size == LEVELS["2M"] else "split_1G"] += 1
        self.counts["tables"] += 1
        self.counts["flush_tlb_all"] += 1
