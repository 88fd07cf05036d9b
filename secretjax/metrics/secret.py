"""Users of secret memory and their pools: what they hold, what stands idle."""

from secretjax.metrics.base import Metric

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
)
