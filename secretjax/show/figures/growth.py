"""Reservation, CMA and migration side by side as secret memory grows and is given back."""

from secretjax.show.figures._panels import panels

METRICS = (
    ("secret_mib", "Secret memory held"),
    ("refused_mmap_share", "Refused at mmap, so far"),
    ("refused_fault_share", "Refused at the fault, so far"),
    ("dm_2m_split", "2 MiB entries split, so far"),
    ("free_2m", "Free 2 MiB blocks"),
    ("huge_now", "Huge pages others got, this step"),
    ("stranded_mib", "Stranded in pools"),
    ("migrated", "Pages migrated, so far"),
    ("polluted_blocks", "Movable blocks with pages that stay"),
)


def draw(study):
    """Who is refused, what is split and what is left for others as secret memory grows."""
    return panels(study, "growth", METRICS, "secret memory, % of memory")


FIGURE = draw
