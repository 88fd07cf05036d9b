"""A fleet of microVMs: how many run before one is refused, and what that does to memory."""

from secretjax.show.figures._panels import panels

METRICS = (
    ("density", "Running, until one is refused"),
    ("refused_fault_share", "Refused at the fault, so far"),
    ("refused_mmap_share", "Refused at mmap, so far"),
    ("dm_2m_split", "2 MiB entries split, so far"),
    ("stranded_mib", "Stranded in pools"),
    ("free_2m", "Free 2 MiB blocks"),
)


def draw(study):
    """What a fleet of microVMs that come and go does under each arm."""
    return panels(study, "microvms", METRICS, "microVMs that have come, % of all")


FIGURE = draw
