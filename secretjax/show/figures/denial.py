"""Who denied secret memory to whom: an adversary, then a victim."""

from secretjax.show import style
from secretjax.show.figures._dots import dots

DEMAND = "adversary"
METRICS = (
    ("victim_failed", "Victim was refused"),
    ("largest_share", "Largest user's share"),
    ("secret_mib", "Secret memory held"),
    ("stranded_mib", "Stranded in pools"),
    ("oom_kills", "Processes killed"),
    ("dm_2m_split", "2 MiB entries split"),
)


def draw(study):
    """What each rule lets an adversary take, and what is left for who comes after."""
    if not study.demand_steps(DEMAND):
        return None
    step = study.peak(DEMAND)
    found = lambda arm, metric: study.estimate(DEMAND, step, arm, metric)  # noqa: E731
    figure = dots(study, study.facing(DEMAND), METRICS, found, columns=3)
    style.caption(figure, f"After both have asked. {study.rests_on(DEMAND)}")
    return figure


FIGURE = draw
