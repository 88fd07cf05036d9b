"""A mount of hugetlbfs with a maximum and a minimum, over the counters of one pool.

Written from mm/hugetlb.c of Linux 6.12 (the function is named at each operation).
"""

from dataclasses import dataclass, replace

from secretjax.admission import _hugetlb as hugetlb
from secretjax.admission._hugetlb import Counters


@dataclass(frozen=True)
class Subpool:
    """A mount with a maximum and a minimum: the minimum is promised when it is mounted."""

    least: int = 0
    most: int | None = None
    used: int = 0
    promised: int = 0


def mount(c: Counters, least: int, most: int | None = None) -> tuple[Counters, Subpool] | None:
    """hugepage_new_subpool(); None when the minimum cannot be reserved."""
    after = hugetlb.reserve(c, least)
    return None if after is None else (after, Subpool(least, most, 0, least))


def reserve(c: Counters, s: Subpool, pages: int) -> tuple[Counters, Subpool] | None:
    """hugepage_subpool_get_pages(): the mount's own promise first, the rest from the pool."""
    if s.most is not None and s.used + pages > s.most:
        return None
    own = min(pages, s.promised)
    after = hugetlb.reserve(c, pages - own)
    if after is None:
        return None
    counted = pages if s.most is not None else 0  # used_hpages counts towards a maximum only
    return after, replace(s, used=s.used + counted, promised=s.promised - own)


def delete(c: Counters, s: Subpool, pages: int) -> tuple[Counters, Subpool]:
    """A file with `pages` faulted pages goes: free_huge_folio() restores the mount's promise."""
    for _ in range(pages):
        s = replace(s, used=s.used - (s.most is not None))
        keeps = s.used < s.least and s.promised < s.least - s.used
        s = replace(s, promised=s.promised + keeps)
        c = hugetlb.free(c, restore=keeps)
    return c, s
