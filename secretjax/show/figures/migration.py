"""Migratable secret pages against pages that stay."""

from secretjax import proposals
from secretjax.show.figures._panels import panels

METRICS = (
    ("huge_now", "Huge pages others got, this step"),
    ("free_2m", "Free 2 MiB blocks"),
    ("dm_2m_split", "2 MiB entries split, so far"),
    ("secret_copied", "Secret pages moved, so far"),
    ("migrate_failed", "Moves in vain, so far"),
    ("packing", "Pageblocks with secret pages"),
)


def draw(study):
    """What moving secret pages gives to others, and what it does to the direct map."""
    moves = [arm for arm in study.arms if proposals.table()[arm.proposal].moves]
    beside = [a for a in study.arms if a.name in (study.params.baseline, "per_page")]
    arms = [*beside, *moves] if moves else []
    return panels(study, "growth", METRICS, "secret memory, % of memory", arms=arms)


FIGURE = draw
