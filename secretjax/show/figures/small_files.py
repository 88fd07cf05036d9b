"""The same for many one-page files."""

from secretjax.show.figures._panels import panels

MIB = 4 / 1024
METRICS = (
    ("refused", "Refused to users of secret memory", "MiB, so far", MIB),
    ("dm_2m_split", "2 MiB direct-map entries split", "entries", 1),
    ("stranded_pages", "Stranded in pools", "MiB", MIB),
    ("free_2m", "Free 2 MiB blocks", "blocks", 1),
    ("fallback_pages", "Single pages instead of the pool's", "pages, so far", 1),
    ("migrated", "Pages migrated", "thousand pages, so far", 1e-3),
)


def draw(study):
    """Many one-page files: what a pool for each file costs."""
    return panels(study, "small_files", METRICS, title="Many one-page files.", xlabel="files opened, share of all")


FIGURE = draw
