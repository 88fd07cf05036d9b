"""A control that the thread names: huge pages that cannot be migrated, in the direct map."""

from dataclasses import dataclass, field

from secretjax.mm.layout import Use
from secretjax.mm.state import Op
from secretjax.mm.words import DIRECT, PAGEBLOCK_ORDER, Migratetype
from secretjax.proposals._pool import Pool
from secretjax.proposals.base import command


@dataclass(frozen=True)
class HugetlbPages(Pool):
    """The same demand on huge pages of 2 MiB that stay in the direct map and never move.

    No secret memory: what whole unmovable pageblocks cost by themselves. Each file gets as many
    as it needs, one at the fault of its first page (mm/hugetlb.c: alloc_surplus_hugetlb_folio();
    no pool beforehand); when none is to be had the fault ends in SIGBUS;
    all go back when the file ends. Huge pages are UNMOVABLE where the architecture cannot migrate
    them (htlb_alloc_mask(); `movable`: where it can). Against pmd_pool without fallback it shows
    what leaving the direct map adds. What HVO would do to their vmemmap, which the thread compares
    with a fragmented direct map, is in the metrics `vmemmap_split` and `vmemmap_saved`.

    Not modelled: the migration of huge pages, a pool that outlives its files, a reservation at
    mmap, pages cleared at the fault of the whole; where the pages of the vmemmap lie that HVO
    gives back, and that it needs them again before a huge page can be freed.
    """

    name = "hugetlb_pages"
    label = "huge pages, not secret (control)"
    source = (
        "no proposal: hugetlb pages that cannot be migrated, with which the thread of January and "
        "February 2021 compares secret memory"
    )
    slot = 7
    hides = False
    shared: bool = field(default=False, init=False)
    fallback: bool = field(default=False, init=False)
    keep_idle: bool = field(default=False, init=False)
    movable: bool = False

    @property
    def kills(self):
        return False

    def grow(self, ask, use, owner):
        use &= ~Use.SECRET
        type_ = Migratetype.MOVABLE if self.movable else Migratetype.UNMOVABLE
        return command(Op.GET, PAGEBLOCK_ORDER, type_, use, owner=owner, compact=DIRECT)


PROPOSAL = HugetlbPages
