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
    demand = "growth"
    if not study.demand_steps(demand):
        return None
    shown = study.facing(demand)
    moves = [arm for arm in shown if proposals.table()[arm.proposal].moves]
    beside = [a for a in shown if a.name in (study.params.baseline, "per_page")]
    arms = [*beside, *moves] if moves else []
    return panels(study, demand, METRICS, "secret memory, % of memory", arms=arms)


FIGURE = draw
