"""P8: pageblocks kept out of the direct map by the page allocator itself."""

from dataclasses import dataclass, field
from typing import Literal

from secretjax.proposals.pmd_pool import PmdPool


@dataclass(frozen=True)
class UnmappedBlocks(PmdPool):
    """Order-0 pages from free lists of their own, whose pages are absent from the direct map.

    Fault: a page of the UNMAPPED lists; when they are empty, a whole free pageblock is taken from
    the mapped lists as UNMOVABLE (direct compaction allowed), unmapped in one call with one flush,
    and put on the UNMAPPED lists; where none is to be had the fault is refused. The page is
    zeroed through a temporary mapping that one CPU sees (mermap), since the direct map lacks it.
    File's end: its pages merge as buddies on the UNMAPPED lists and stay unmapped. A pageblock
    that is wholly free goes back (`back`): never; under pressure, that is when others are refused
    a huge page (which then is asked for again); at_once, when a file has ended.

    It differs from a shared pmd_pool without fallback in the zeroing, in `back`, and in that
    nobody owns the pool: a reservation laid over it is nobody's proposal.

    Not modelled: UNMAPPED lists for other types than UNMOVABLE, per-CPU lists of unmapped pages,
    failures of the temporary mapping, how long its stale TLB entries last, order-10 blocks taken
    whole.
    """

    name = "unmapped_blocks"
    label = "unmapped pageblocks"
    source = (
        "Brendan Jackman, page_alloc-unmapped, linux-mm, February to August 2026; before it Mike "
        "Rapoport, __GFP_UNMAPPED, March 2023"
    )
    slot = 5
    apart = True
    shared: bool = field(default=True, init=False)
    fallback: bool = field(default=False, init=False)
    keep_idle: bool = field(default=True, init=False)
    back: Literal["never", "pressure", "at_once"] = "pressure"

    def __post_init__(self):
        object.__setattr__(self, "keep_idle", self.back != "at_once")

    @property
    def yields(self):
        return self.back == "pressure"

    def spare(self, own):
        return super().spare(own) if self.back != "never" else own.pool < 0


PROPOSAL = UnmappedBlocks
