"""High-order memory: what the pools take, what others still get, and what compaction spends."""

from secretjax.show.figures._panels import panels

METRICS = (
    ("huge_now", "Huge pages others got, this step"),
    ("free_2m", "Free 2 MiB blocks"),
    ("drained_2m", "2 MiB blocks drained, so far"),
    ("fallback_share", "Single pages instead of the pool's"),
    ("compact_stall", "Requests that compacted, so far"),
    ("migrate_failed", "Moves in vain, so far"),
)


def draw(study):
    """What is left of free 2 MiB blocks, and what getting more of them costs."""
    return panels(study, "growth", METRICS, "secret memory, % of memory")


FIGURE = draw
