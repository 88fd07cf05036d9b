"""P6: a hugetlb-like reservation over a pool."""

from dataclasses import dataclass

import jax.numpy as jnp

from secretjax.admission.base import NO_LIMIT, Admission, Limits
from secretjax.errors import UserError
from secretjax.mm.words import PAGEBLOCK_PAGES


@dataclass(frozen=True)
class Reservation(Admission):
    """mmap promises pages or fails; a fault on promised memory never fails.

    The counters of hugetlb, in pages of 4 KiB over one pool that all files share (mm/hugetlb.c):
    - nr, the configured size: `filled_percent` of memory, got before the demand and never given
      back; the pool is smaller where so much cannot be had (set_max_huge_pages()).
    - surplus, above it: pageblocks got when they are asked for, up to `max_percent` of memory in
      all (nr_overcommit_hugepages); wholly idle ones go back when a file ends.
    - reserved: at mmap the pool grows until it covers what is promised and what is in use; if it
      cannot, mmap fails and what was gathered goes back (gather_surplus_pages()).
    `noreserve`: as with MAP_NORESERVE mmap promises nothing; a fault gets a page that is promised
    to nobody, or the pool grows, or it ends in SIGBUS. `least_percent`, `most_percent`: each user
    has a mount of his own (a subpool): the minimum is promised when it is mounted, before the
    demand, and held for him whatever others ask; the maximum bounds what he maps. If the pool
    cannot be filled for all minima, or may not be, no mount has one.

    The counters alone, against a real kernel's, are in admission/_hugetlb.py. Not modelled: a size
    that is changed at run time, promises of a forked child, cgroups. Unvalidated: no capture has a
    reservation of single pages.
    """

    name = "reservation"
    label = "reservation (max/reserved/free)"
    source = "Michal Hocko, David Hildenbrand, linux-kselftest, January and February 2021"
    slot = 1
    reserves = True
    max_percent: int = 30
    filled_percent: int = 0
    noreserve: bool = False
    least_percent: int = 0
    most_percent: int = 100

    def __post_init__(self):
        for name in ("filled_percent", "least_percent"):
            if not 0 <= getattr(self, name) <= self.max_percent:
                raise UserError(f"reservation: {name}: 0 to max_percent, {self.max_percent}")

    def fits(self, proposal):
        return proposal.pool

    def limits(self, total, users):
        most = total * self.most_percent // 100
        held = most if self.noreserve else NO_LIMIT
        mapped = NO_LIMIT if self.noreserve else most
        pool = total * self.max_percent // 100
        return Limits(mapped=mapped, held=held, pool=pool, least=self.least(total, users))

    def program(self):
        return Reservation(noreserve=self.noreserve)

    def fill(self, total, users):
        return max(total * self.filled_percent // 100, users * self.least(total, users))

    def least(self, total: int, users: int) -> int:
        """Pages of each mount's minimum: none where they do not all fit."""
        least = total * self.least_percent // 100
        return least * (users * least <= total * self.max_percent // 100)

    def owed(self, held, mapped, promised):
        mapped = 0 if self.noreserve else mapped
        return jnp.maximum(held + mapped, promised) - held

    def more(self, asked):
        if self.noreserve:
            return 0
        has = asked.users.held + asked.users.mapped
        return jnp.maximum(has + asked.pages, asked.promised) - jnp.maximum(has, asked.promised)

    def maps(self, asked):
        pool = asked.held + asked.reserved + self.more(asked)
        return super().maps(asked) & (self.noreserve | (pool <= asked.limits.pool))

    def owes(self, asked):
        own = asked.users.held < asked.promised
        return own if self.noreserve else own | (asked.mine.mapped > 0)

    def charges(self, asked):
        free = asked.pool - asked.held > asked.reserved
        grows = asked.pool + PAGEBLOCK_PAGES <= asked.limits.pool
        may = self.owes(asked) | free | grows
        return super().charges(asked) & (may | (not self.noreserve))


ADMISSION = Reservation
