"""The answer at a glance: every arm on every criterion, at the peak of growth."""

from secretjax.show import style
from secretjax.show.figures._dots import dots
from secretjax.show.sentences import when

CRITERIA = (
    ("refused_mmap_share", "Refused at mmap"),
    ("refused_fault_share", "Refused at the fault"),
    ("dm_2m_split", "2 MiB entries split"),
    ("free_2m", "Free 2 MiB blocks"),
    ("huge_share", "Huge pages others got"),
    ("stranded_mib", "Stranded in pools"),
    ("migrated", "Pages migrated"),
    ("exposure_us", "Exposure when moved"),
)


def draw(study):
    """Every arm on every criterion when secret memory is at its peak."""
    demand = "growth"
    if not study.demand_steps(demand):
        return None
    peak = study.peak(demand)
    figure = dots(
        study,
        study.facing(demand),
        CRITERIA,
        lambda arm, metric: study.estimate(demand, peak, arm, metric),
        columns=4,
    )
    style.caption(figure, f"Few large files, {when(peak)} of memory. {study.rests_on(demand)}")
    return figure


FIGURE = draw
