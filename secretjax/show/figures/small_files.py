"""Many one-page files: the worst case for a pool that each file has to itself."""

from secretjax.show.figures._panels import panels

METRICS = (
    ("refused_mmap_share", "Refused at mmap, so far"),
    ("refused_fault_share", "Refused at the fault, so far"),
    ("fallback_share", "Single pages, not the pool's"),
    ("stranded_mib", "Stranded in pools"),
    ("dm_2m_split", "2 MiB entries split, so far"),
    ("free_2m", "Free 2 MiB blocks"),
)


def draw(study):
    """What many one-page files cost each proposal."""
    return panels(study, "small_files", METRICS, "files opened, % of all")


FIGURE = draw
