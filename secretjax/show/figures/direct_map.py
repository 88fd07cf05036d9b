"""The direct map under growth: splits, what is mapped by small entries, packing, flushes."""

from secretjax.show.figures._panels import panels

METRICS = (
    ("dm_2m_split", "2 MiB entries split"),
    ("splits_per_block", "Splits per 2 MiB of secret memory"),
    ("dm_4k_share", "Direct map in 4 KiB entries"),
    ("packing", "Packing: pageblocks used"),
    ("table_pages", "Page tables made by splits"),
    ("flush", "TLB flushes on every CPU"),
)


def draw(study):
    """What each proposal does to the direct map as secret memory grows."""
    return panels(study, "growth", METRICS, "secret memory, % of memory")


FIGURE = draw
