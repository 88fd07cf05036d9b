"""P2: a pool of fixed size, filled before anybody asks."""

from dataclasses import dataclass, field
from typing import Literal

import jax.numpy as jnp

from secretjax.mm.contig import IN_AREA
from secretjax.mm.load import with_cma_area
from secretjax.mm.state import Op
from secretjax.mm.words import Migratetype
from secretjax.proposals._pool import Pool
from secretjax.proposals.base import When, command

ALL = 1 << 20


@dataclass(frozen=True)
class FixedPool(Pool):
    """One pool of 2 MiB blocks for all files, of `percent` of memory, filled before the demand.

    Fill: an area is set aside at boot, as for cma_pool, and emptied before the background work of
    others begins; each block leaves the direct map in one call. The pool never grows and never
    shrinks, so at run time nothing is split and no flush is needed for it; its idle pages are lost
    to everybody else. Fault: a page of the pool; when it is empty (`when_empty`) oom: the fault is
    refused and calls the OOM killer (VM_FAULT_OOM), which cannot refill the pool; sigbus: it is
    refused with SIGBUS; fallback: a single page, as in per_page. File's end: pages go back to the
    pool. A block that cannot be emptied at boot is left out: the pool is smaller then.

    Not modelled: which task the OOM killer takes, a size changed at run time, charging.
    """

    name = "fixed_pool"
    label = "fixed pool"
    source = (
        "Mike Rapoport, v1 to v16 of memfd_secret: memory set aside at boot; objection: Michal "
        "Hocko, linux-mm, 26 Jan 2021: one task can drain it, and fails at fault time"
    )
    slot = 2
    pool = True
    shared: bool = field(default=True, init=False)
    fallback: bool = field(default=False, init=False)
    keep_idle: bool = field(default=True, init=False)
    percent: int = 30
    when_empty: Literal["oom", "sigbus", "fallback"] = "oom"

    def __post_init__(self):
        if not 1 <= self.percent <= 90:
            raise ValueError(f"percent: found {self.percent}, allowed are 1 to 90")
        object.__setattr__(self, "fallback", self.when_empty == "fallback")

    @property
    def kills(self):
        return self.when_empty != "sigbus"

    def prepare(self, start):
        if (start.block_mt == Migratetype.CMA).any():
            return start
        return with_cma_area(start, self.fill(start.zone["managed"]))

    def fill(self, total):
        return total * self.percent // 100

    def spare(self, own):
        return own.pool < 0  # it keeps what it has

    def grow(self, ask, use, owner):
        tries = jnp.where(ask.when == When.FILL, ALL, 0)
        return command(Op.TAKE, tries, -1, use, owner=owner, page=IN_AREA)


PROPOSAL = FixedPool
