"""P7b: secret pages that can be moved, copied through a temporary mapping."""

from dataclasses import dataclass

from secretjax.proposals.per_page import PerPage


@dataclass(frozen=True)
class Migratable(PerPage):
    """Page by page, with a migrate callback that copies through a temporary mapping of one CPU.

    When others want the pageblock, a secret page in it is moved: a destination is allocated
    (UNMOVABLE order 0) and taken out of the direct map while it is still empty; source and
    destination are mapped in a window that one CPU sees, copied, and unmapped again; the source is
    put back into the direct map, zeroed and freed. The secret is visible to that CPU for the copy:
    exposure is counted in pages, and becomes page-ns x CPUs with the cost table.

    Not modelled: PMD-sized moves, destinations grouped in already split blocks,
    stale entries of the window, files that must never be mapped.
    """

    name = "migratable"
    label = "migratable, temporary mapping"
    source = (
        "David Hildenbrand, Mike Rapoport: 'map source, copy, unmap destination', February 2021"
    )
    slot = 6
    moves = True


PROPOSAL = Migratable
