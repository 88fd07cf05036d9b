"""The direct map under growth: splits, tables, packing."""

from secretjax.show.figures._panels import panels

METRICS = (
    ("dm_2m_split", "2 MiB entries split", "entries", 1),
    ("dm_4k_pages", "Memory mapped by 4 KiB entries", "MiB", 4 / 1024),
    ("secret_scatter", "Pageblocks used, over the least possible", "ratio", 1e-3),
    ("unmovable_pageblocks", "UNMOVABLE pageblocks", "pageblocks", 1),
    ("polluted_blocks", "Movable pageblocks with pages that stay", "pageblocks", 1),
    ("flush", "TLB flushes on every CPU", "thousand, so far", 1e-3),
)


def draw(study):
    """What each proposal does to the direct map."""
    return panels(study, "growth", METRICS, title="Few large files.", xlabel="secret memory, share of memory")


FIGURE = draw
