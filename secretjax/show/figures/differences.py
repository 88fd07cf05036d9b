"""Paired differences to the baseline at the peak of growth."""

from secretjax.show import style
from secretjax.show.figures._dots import dots
from secretjax.show.sentences import when

METRICS = (
    ("refused_mmap_share", "Refused at mmap"),
    ("refused_fault_share", "Refused at the fault"),
    ("dm_2m_split", "2 MiB entries split"),
    ("polluted_blocks", "Movable blocks polluted"),
    ("free_2m", "Free 2 MiB blocks"),
    ("huge_share", "Huge pages others got"),
    ("migrated", "Pages migrated"),
    ("cost_per_page", "Cost of all work"),
)


def draw(study):
    """Paired differences to the baseline, with intervals, at the peak of growth."""
    demand = "growth"
    if not study.demand_steps(demand):
        return None
    peak, base = study.peak(demand), study.params.arm(study.params.baseline)
    others = [arm for arm in study.facing(demand) if arm.name != base.name]
    if not others:
        return None
    figure = dots(
        study,
        others,
        METRICS,
        lambda arm, metric: study.difference(demand, peak, arm, base, metric),
        columns=4,
        differences=True,
    )
    style.caption(
        figure,
        f"Arm minus '{style.label(base)}', state by state, {when(peak)} of memory; an interval "
        f"over the line is undetermined. {study.rests_on(demand)}",
    )
    return figure


FIGURE = draw
