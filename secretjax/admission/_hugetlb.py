"""The counters of a hugetlb pool: what a reservation of pool pages has to keep.

Source: mm/hugetlb.c of Linux 6.12 (the function is named at each operation). One node, one size
of page, no cgroup. Pages are counted in huge pages.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Counters:
    """nr: all pages of the pool; free: of them without user; resv: promised, not yet taken;
    surplus: above the configured size; overcommit: most surplus that growth on demand may make;
    buddy: pages that the page allocator could still deliver.
    """

    nr: int = 0
    free: int = 0
    resv: int = 0
    surplus: int = 0
    overcommit: int = 0
    buddy: int = 0

    @property
    def persistent(self) -> int:
        """Configured size."""
        return self.nr - self.surplus

    def sound(self) -> bool:
        """The invariants between two operations."""
        return (
            0 <= self.resv <= self.free <= self.nr
            and 0 <= self.surplus <= self.nr
            and self.buddy >= 0
        )

    def _grown(self, pages: int, surplus: int = 0) -> "Counters":
        return replace(
            self,
            nr=self.nr + pages,
            free=self.free + pages,
            surplus=self.surplus + surplus,
            buddy=self.buddy - pages,
        )


def set_nr_hugepages(c: Counters, count: int) -> Counters:
    """set_max_huge_pages(): surplus turns persistent first, then as many fresh pages as there are.

    Shrinking keeps what is promised or in use; what is above the goal becomes surplus, without
    regard to overcommit. Growth that stops early is no error.
    """
    turned = min(c.surplus, max(count - c.persistent, 0))
    c = replace(c, surplus=c.surplus - turned)
    c = c._grown(min(max(count - c.persistent, 0), c.buddy))
    least = max(count, c.resv + c.nr - c.free)
    given = min(max(c.persistent - least, 0), c.free)
    c = c._grown(-given)
    return replace(c, surplus=c.surplus + max(c.persistent - count, 0))


def reserve(c: Counters, pages: int) -> Counters | None:
    """hugetlb_acct_memory(), gather_surplus_pages(): mmap with reservation; None is -ENOMEM."""
    needed = max(c.resv + pages - c.free, 0)
    if needed > c.buddy or needed > max(c.overcommit - c.surplus, 0):
        return None
    return replace(c._grown(needed, needed), resv=c.resv + pages)


def unreserve(c: Counters, pages: int) -> Counters:
    """return_unused_surplus_pages(): promises that nobody will take; free surplus goes back."""
    back = min(pages, c.surplus)
    return replace(c._grown(-back, -back), resv=c.resv - pages)


def fault(c: Counters, reserved: bool) -> Counters | None:
    """alloc_hugetlb_folio(): a page for a user; None is SIGBUS."""
    if reserved:
        return replace(c, free=c.free - 1, resv=c.resv - 1)
    if c.free > c.resv:
        return replace(c, free=c.free - 1)
    if c.surplus < c.overcommit and c.buddy:
        return replace(c, nr=c.nr + 1, surplus=c.surplus + 1, buddy=c.buddy - 1)
    return None


def free(c: Counters, restore: bool = False) -> Counters:
    """free_huge_folio(): to the buddy while there is surplus, else to the pool.

    A page that restores a promise stays, unlike in the kernel, which gives a surplus page back even
    then and promises more than it has.
    """
    if restore:
        c = replace(c, resv=c.resv + 1)
    elif c.surplus:
        return replace(c, nr=c.nr - 1, surplus=c.surplus - 1, buddy=c.buddy + 1)
    return replace(c, free=c.free + 1)
