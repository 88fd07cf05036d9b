"""P7: secret pages that can be moved, by either protocol, over either backing."""

from dataclasses import dataclass
from typing import Literal

from secretjax.mm.words import Secret
from secretjax.proposals.base import Proposal
from secretjax.proposals.per_page import PerPage
from secretjax.proposals.pmd_pool import PmdPool


@dataclass(frozen=True)
class Migratable(Proposal):
    """Single secret pages with a migrate callback, so that others can have their pageblock.

    over            per_page; or pmd_pool with its fallback: then the fallback's single pages move,
                    and the pool's blocks stay, as compaction never looks into a whole pageblock
    window          how a page is copied. temporary (P7b): a destination is allocated and taken
                    out of the direct map while it is still empty; source and destination are
                    mapped in a window that one CPU sees, copied, and unmapped again; then the
                    source is put back into the direct map, zeroed and freed. direct_map (P7a):
                    the source is put back into the direct map first; it is copied to the
                    destination, which is still there; the destination is taken out, with a flush;
                    the source is zeroed and freed. Where the destination cannot be taken out, it
                    is freed and the source hidden again
    destinations    anywhere; or grouped: only into pageblocks whose 2 MiB entry is split already,
                    so that no move splits one; where there is none the page stays
    mode            temporary: a file may be mapped for the copy; never_map: it may not, so its
                    pages stay as in per_page

    Fault, release and file's end are those of what it is over. While a page is copied it is
    visible: to one CPU (temporary) or to every CPU until the flush is over (direct_map). Copied
    pages are counted by protocol, and become page-ns x CPUs with the cost table.

    Not modelled: moves of whole 2 MiB blocks of a pool. Compaction never asks for one
    (mm/compaction.c: skip_isolation_on_order()), CMA neither, as pools' pages are UNMOVABLE;
    offlining memory would, and no demand here does. What such moves would free is measured
    instead: `offline_pool`, `offline_pool_moves`. Not either: for how long stale entries of the
    window last (`stale_entries` counts them), files of both modes side by side.
    """

    name = "migratable"
    label = "migratable, temporary mapping"
    source = (
        "David Hildenbrand, Mike Rapoport: 'map source, copy, unmap destination', February 2021; "
        "modes: Michal Hocko, the same thread"
    )
    slot = 6
    moves = True
    over: Literal["per_page", "pmd_pool"] = "per_page"
    window: Literal["temporary", "direct_map"] = "temporary"
    destinations: Literal["anywhere", "grouped"] = "anywhere"
    mode: Literal["temporary", "never_map"] = "temporary"
    shared: bool = False

    def __post_init__(self):
        if self.shared and self.over == "per_page":
            raise ValueError("shared: true needs a pool; say over: pmd_pool too")
        object.__setattr__(self, "pool", self.base.pool)

    @property
    def base(self) -> Proposal:
        """What it is over."""
        return PerPage() if self.over == "per_page" else PmdPool(shared=self.shared)

    keep_idle = False

    @property
    def secret(self):
        if self.mode == "never_map":
            return 0
        through = Secret.DIRECT_MAP if self.window == "direct_map" else 0
        return Secret.MOVES | through | (Secret.GROUPED if self.destinations == "grouped" else 0)

    def command(self, own, ask):
        return self.base.command(own, ask)

    def advance(self, own, ask, answer):
        return self.base.advance(own, ask, answer)


PROPOSAL = Migratable
