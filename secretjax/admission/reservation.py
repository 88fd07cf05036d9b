"""P6: a hugetlb-like reservation over a pool."""

from dataclasses import dataclass

from secretjax.admission.base import Admission


@dataclass(frozen=True)
class Reservation(Admission):
    """mmap promises pages or fails; a fault on promised memory never fails.

    As hugetlb does it (mm/hugetlb.c, hugetlb_acct_memory()): at mmap the pool grows until it
    covers what is promised and what is in use, up to `max_percent` of memory; if it cannot, mmap
    fails and what was gathered goes back. The pool is shared by all files, in pages of 4 KiB;
    wholly idle pageblocks go back at a file's end. The counters alone, with surplus, overcommit
    and subpools, are in admission/_hugetlb.py.

    Not modelled: overcommit, surplus, subpools, a pool filled before it is asked for, cgroups.
    """

    name = "reservation"
    label = "reservation (max/reserved/free)"
    source = "Michal Hocko, David Hildenbrand, linux-kselftest, January and February 2021"
    slot = 1
    reserves = True
    max_percent: int = 30

    def fits(self, proposal):
        return proposal.pool

    def maps(self, asked):
        most = asked.total * self.max_percent // 100
        return asked.held + asked.reserved + asked.pages <= most


ADMISSION = Reservation
