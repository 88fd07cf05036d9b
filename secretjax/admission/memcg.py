"""A memory cgroup for each user: its limit counts at every fault."""

from dataclasses import dataclass

from secretjax.admission.base import Limited, Limits


@dataclass(frozen=True)
class Memcg(Limited):
    """A fault that would pass the tenant's limit kills the largest process of the cgroup.

    By page: filemap_add_folio() charges each page as page cache. `chunks`: v16's file pools charge
    512 pages when they grow, and uncharge them at the file's end. Secret memory cannot be
    reclaimed, so at the limit the OOM killer takes the process that holds most secret memory, all
    its files go, and the fault is tried again; who was killed asks no more. A shared pool is
    charged by page: no tenant owns its pageblocks.

    Not modelled: other memory of the tenant; a limit above the cgroup's; the page that is taken
    out of the direct map before it is charged, so that its 2 MiB entry is split although the fault
    fails; with `chunks`, the single page of a fallback is checked as a pageblock. Unvalidated: no
    capture has a cgroup.
    """

    name = "memcg"
    label = "memory cgroup per tenant"
    source = (
        "mm/filemap.c: filemap_add_folio(), mm/memcontrol.c: try_charge_memcg(), mm/oom_kill.c: "
        "select_bad_process(); v16 of memfd_secret, 21 Jan 2021: secretmem_account_pages()"
    )
    slot = 4
    kills = True
    limit_percent: int = 20
    chunks: bool = False

    def limits(self, total, users):
        limit = total * self.limit_percent // 100
        return Limits(charged=limit) if self.chunks else Limits(held=limit)


ADMISSION = Memcg
