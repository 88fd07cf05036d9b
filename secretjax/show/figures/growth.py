"""Reservation, CMA and migration side by side as secret memory grows and is given back."""

from secretjax.show.figures._panels import panels

MIB = 4 / 1024
METRICS = (
    ("refused", "Refused to users of secret memory", "MiB, so far", MIB),
    ("dm_2m_split", "2 MiB direct-map entries split", "entries", 1),
    ("free_2m", "Free 2 MiB blocks", "blocks", 1),
    ("huge_ok", "Huge pages that others got", "of 8 a step, so far", 1),
    ("stranded_pages", "Stranded in pools", "MiB", MIB),
    ("migrated", "Pages migrated", "thousand pages, so far", 1e-3),
)


def draw(study):
    """Who is refused, what is split, what is left for others, as secret memory grows."""
    return panels(study, "growth", METRICS, title="Few large files.", xlabel="secret memory, share of memory")


FIGURE = draw
