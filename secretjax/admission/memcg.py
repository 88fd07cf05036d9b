"""A memory cgroup for each user: its limit counts at every fault."""

from dataclasses import dataclass

import jax.numpy as jnp

from secretjax.admission.base import Admission
from secretjax.ledger import Column
from secretjax.mm.words import PAGEBLOCK_PAGES


@dataclass(frozen=True)
class Memcg(Admission):
    """A fault that would pass the tenant's limit fails; the OOM killer ends the file.

    By page: filemap_add_folio() charges each page as page cache. `chunks`: v16's file pools charge
    512 pages when they grow, and uncharge them at the file's end. Secret memory cannot be
    reclaimed, so at the limit the OOM killer kills (`kills`); without it the fault gets SIGBUS.
    A shared pool is charged by page: no tenant owns its pageblocks.

    Not modelled: other memory of the tenant; how the killer chooses (it ends the file whose page
    was asked for, as with vm.oom_kill_allocating_task); retries of the charge.
    """

    name = "memcg"
    label = "memory cgroup per tenant"
    source = (
        "mm/filemap.c: filemap_add_folio(), mm/memcontrol.c: try_charge_memcg(); v16 of "
        "memfd_secret, 21 Jan 2021: secretmem_account_pages()"
    )
    slot = 4
    limit_percent: int = 20
    chunks: bool = False
    kills: bool = True

    def charges(self, asked):
        column = Column.CHUNKS if self.chunks else Column.HELD
        more = jnp.where(asked.grows, PAGEBLOCK_PAGES, 0) if self.chunks else asked.pages
        return asked.users(column) + more <= asked.total * self.limit_percent // 100


ADMISSION = Memcg
