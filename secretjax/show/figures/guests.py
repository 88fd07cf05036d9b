"""Whole guests, most of a host's memory: what backing them does."""

from secretjax.show.figures._panels import panels

METRICS = (
    ("density", "Guests running, until one is refused"),
    ("refused_fault_share", "Refused at the fault, so far"),
    ("dm_2m_split", "2 MiB entries split, so far"),
    ("free_2m", "Free 2 MiB blocks"),
    ("huge_now", "Huge pages others got, this step"),
    ("migrated", "Pages migrated, so far"),
)


def draw(study):
    """What guests that take most of the memory meet under each arm, and leave to others."""
    return panels(study, "guests", METRICS, "memory asked for by guests, %")


FIGURE = draw
