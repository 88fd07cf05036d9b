"""Users of secret memory and their pools: what they hold, what stands idle."""

import jax.numpy as jnp

from secretjax.metrics.base import Metric
from secretjax.metrics.free_memory import scaled
from secretjax.mm.reading import Reading
from secretjax.mm.state import Word
from secretjax.mm.words import PAGEBLOCK_PAGES


def use(reading: Reading) -> Word:
    """Share of the pools' memory that is in users' hands, of 1000; 1000 without a pool."""
    used = reading.pool_pages - reading.pool_idle
    return jnp.where(reading.pool_pages == 0, 1000, scaled(used, 1000, reading.pool_pages))


def stranded_per_block(reading: Reading) -> Word:
    """Idle pages for each pageblock that pools hold, rounded down; 0 without a pool."""
    return reading.pool_idle // jnp.maximum(reading.pool_pages // PAGEBLOCK_PAGES, 1)


METRICS = (
    Metric(
        "secret_pages",
        "secret memory held by users",
        "pages",
        "higher",
        "mm/secretmem.c",
        lambda r: r.secret_pages,
    ),
    Metric(
        "pool_pages",
        "memory held by pools",
        "pages",
        None,
        "v16 of memfd_secret: the file's gen_pool",
        lambda r: r.pool_pages,
    ),
    Metric(
        "stranded_pages",
        "memory in pools that nobody uses",
        "pages",
        "lower",
        "Michal Hocko, January 2021: a pool is memory that others cannot have",
        lambda r: r.pool_idle,
    ),
    Metric(
        "pool_use",
        "memory in pools that is in users' hands",
        "of 1000",
        "higher",
        "used pages over pages of the pool",
        use,
    ),
    Metric(
        "stranded_per_block",
        "idle pages for each pageblock that pools hold",
        "pages",
        "lower",
        "v16 of memfd_secret: a file of one page holds 512; equals idle pages per such file",
        stranded_per_block,
    ),
)
