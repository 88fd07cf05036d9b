"""Pageblocks: their types, and what sits in them."""

from secretjax.metrics.base import Metric
from secretjax.metrics.free_memory import scaled
from secretjax.mm.reading import Reading
from secretjax.mm.words import Migratetype

INFO = "/proc/pagetypeinfo"


def of_type(migratetype: Migratetype):
    """Reads the number of pageblocks with this type."""
    return lambda r: r.pageblocks[migratetype]


def secret_scatter(reading: Reading):
    """Pageblocks that hold secret pages for each that would be needed, times 1000; 0 for none."""
    least = (reading.secret_pages + 511) // 512
    blocks = reading.secret_blocks
    return (blocks // (least + (least == 0))) * 1000 + scaled(
        blocks % (least + (least == 0)), 1000, least
    )


METRICS = (
    Metric(
        "unmovable_pageblocks",
        "UNMOVABLE pageblocks",
        "pageblocks",
        "lower",
        INFO,
        of_type(Migratetype.UNMOVABLE),
    ),
    Metric(
        "movable_pageblocks",
        "MOVABLE pageblocks",
        "pageblocks",
        "higher",
        INFO,
        of_type(Migratetype.MOVABLE),
    ),
    Metric(
        "reclaimable_pageblocks",
        "RECLAIMABLE pageblocks",
        "pageblocks",
        None,
        INFO,
        of_type(Migratetype.RECLAIMABLE),
    ),
    Metric("cma_pageblocks", "CMA pageblocks", "pageblocks", None, INFO, of_type(Migratetype.CMA)),
    Metric(
        "polluted_blocks",
        "movable pageblocks with pages that stay",
        "pageblocks",
        "lower",
        "Johannes Weiner, 18 Apr 2023: unmovable pages in 34 % of 2 MiB blocks",
        lambda r: r.polluted_blocks,
    ),
    Metric(
        "polluted_pages",
        "pages that stay, in movable pageblocks",
        "pages",
        "lower",
        "mm/page_alloc.c: unmovable pages in MIGRATE_MOVABLE pageblocks",
        lambda r: r.polluted_pages[0],
    ),
    Metric(
        "cma_stuck_pages",
        "pages that stay, in CMA pageblocks that nobody took",
        "pages",
        "lower",
        "mm/cma.c: cma_alloc() fails there with -EBUSY",
        lambda r: r.polluted_pages[1],
    ),
    Metric(
        "secret_misplaced",
        "secret pages in movable and CMA pageblocks that nobody took",
        "pages",
        "lower",
        "David Hildenbrand, thread of February 2021: as long-term pinned pages, not to be there",
        lambda r: r.secret_misplaced,
    ),
    Metric(
        "unmovable_blocks",
        "pageblocks of any type with pages that stay",
        "pageblocks",
        "lower",
        "potential contiguity (Contiguitas, ISCA 2023), counted from the other side",
        lambda r: r.unmovable_blocks,
    ),
    Metric(
        "secret_blocks",
        "pageblocks that hold secret pages",
        "pageblocks",
        "lower",
        "mm/secretmem.c: placement of pages",
        lambda r: r.secret_blocks,
    ),
    Metric(
        "secret_scatter",
        "pageblocks with secret pages, over the least possible",
        "of 1000",
        "lower",
        "1000: packed as tightly as pageblocks allow",
        secret_scatter,
    ),
    Metric(
        "used_pages",
        "pages in use",
        "pages",
        None,
        "the zone's pages that are not free",
        lambda r: r.used_pages,
    ),
    Metric(
        "movable_pages",
        "pages in use that can be moved",
        "pages",
        "higher",
        "on an LRU list, and can be migrated",
        lambda r: r.movable_pages,
    ),
)
