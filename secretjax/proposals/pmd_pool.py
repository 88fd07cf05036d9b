"""P3 and P4: a pool grown by PMD_ORDER allocations."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from secretjax.mm.state import Op
from secretjax.mm.words import DIRECT, LIGHT, NORETRY, PAGEBLOCK_ORDER, Migratetype
from secretjax.proposals._pool import Pool
from secretjax.proposals.base import command

FLAGS = {"direct": DIRECT, "noretry": NORETRY, "light": LIGHT}


@dataclass(frozen=True)
class PmdPool(Pool):
    """A pool of 2 MiB blocks from the buddy; when none is to be had, a single page.

    Each file has its own pool (option `shared`: one for all). A block leaves the direct map in
    one call, so no 2 MiB entry is split; it goes back when the file ends. With `fallback=False`
    it is the form without fallback, which refuses instead. `flags` say what growing it may do
    (mm/page_alloc.c: __alloc_pages_slowpath): direct, GFP_HIGHUSER: reclaim and compact, with
    MIGRATE_SYNC_LIGHT if MIGRATE_ASYNC was not enough; noretry, with __GFP_NORETRY: give up where
    compaction is deferred or of no use, and never more than MIGRATE_ASYNC; light, as
    GFP_TRANSHUGE_LIGHT: what is free, without a wake-up of kswapd.

    Not modelled: charging of whole blocks, pages zeroed once per block.
    """

    name = "pmd_pool"
    label = "2 MiB pool"
    source = "Mike Rapoport, linux-kselftest, 2 Feb 2021: PMD_ORDER, and order 0 when it fails"
    slot = 3
    captures = ("p1*",)
    captured: ClassVar = {"shared": True, "fallback": False, "keep_idle": True, "flags": "direct"}
    pool = True
    fallback: bool = True
    flags: Literal["direct", "noretry", "light"] = "direct"

    def grow(self, ask, use, owner):
        unmovable, may = Migratetype.UNMOVABLE, FLAGS[self.flags]
        return command(Op.GET, PAGEBLOCK_ORDER, unmovable, use, owner=owner, compact=may)


PROPOSAL = PmdPool
