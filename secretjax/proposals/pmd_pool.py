"""P3 and P4: a pool grown by PMD_ORDER allocations."""

from dataclasses import dataclass

from secretjax.mm.state import Op
from secretjax.mm.words import DIRECT, PAGEBLOCK_ORDER, Migratetype
from secretjax.proposals._pool import Pool
from secretjax.proposals.base import command


@dataclass(frozen=True)
class PmdPool(Pool):
    """A pool of 2 MiB blocks from the buddy; when none is to be had, a single page.

    Each file has its own pool (option `shared`: one for all). A block leaves the direct map in
    one call, so no 2 MiB entry is split; it goes back when the file ends. With `fallback=False`
    it is the form without fallback, which refuses instead.

    Not modelled: charging of whole blocks, pages zeroed once per block.
    """

    name = "pmd_pool"
    label = "2 MiB pool"
    source = "Mike Rapoport, linux-kselftest, 2 Feb 2021: PMD_ORDER, and order 0 when it fails"
    slot = 3
    pool = True
    fallback: bool = True

    def grow(self, ask, use, owner):
        unmovable = Migratetype.UNMOVABLE
        return command(Op.GET, PAGEBLOCK_ORDER, unmovable, use, owner=owner, compact=DIRECT)


PROPOSAL = PmdPool
