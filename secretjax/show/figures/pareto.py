"""What is given up for what: arms that no other beats on both of two criteria."""

import matplotlib.pyplot as plt
import numpy as np

from secretjax.show import style
from secretjax.show.measured import words
from secretjax.show.sentences import when

DEMAND = "growth"
PAIRS = (
    ("dm_2m_split", "huge_share"),
    ("refused", "dm_2m_split"),
    ("cost_per_page", "huge_share"),
)


def front(points, signs):
    """Indices of the points that no other equals or beats in both and beats in one."""
    better = np.asarray(points) * signs
    return [
        k
        for k, mine in enumerate(better)
        if not any((o <= mine).all() and (o < mine).any() for o in better)
    ]


def draw(study):
    """Direct map, refusals and costs against each other, and the arms that none beats on both."""
    if not study.demand_steps(DEMAND):
        return None
    step = study.peak(DEMAND)
    arms = [a for a in study.facing(DEMAND) if a.name != study.params.baseline]
    if not arms:
        return None
    style.apply()
    figure, axes = plt.subplots(1, len(PAIRS), figsize=(12.3, 4.4), layout="constrained")
    looks = style.looks(study.arms)
    for axis, pair in zip(axes, PAIRS, strict=True):
        found = [[study.estimate(DEMAND, step, a, m) for m in pair] for a in arms]
        for arm, (x, y) in zip(arms, found, strict=True):
            if np.isnan(x.mean + y.mean):
                continue
            colour = looks[arm.name]["color"]
            axis.plot([x.low, x.high], [y.mean, y.mean], color=colour, lw=2, alpha=0.45)
            axis.plot([x.mean, x.mean], [y.low, y.high], color=colour, lw=2, alpha=0.45)
            axis.plot(x.mean, y.mean, ms=7, mew=1.4, label=style.label(arm),
                      **style.dot(looks[arm.name]))  # fmt: skip
        means = np.array([[e.mean for e in point] for point in found])
        means = means[~np.isnan(means).any(1)]
        signs = [-1 if words(m).better == "higher" else 1 for m in pair]
        best = means[front(means, signs)]
        best = best[np.argsort(best[:, 0])]
        axis.plot(*best.T, color=style.QUIET, lw=1, ls=":", zorder=1)
        for set_label, metric in ((axis.set_xlabel, pair[0]), (axis.set_ylabel, pair[1])):
            said = words(metric)
            set_label(f"{said.label}\n{said.unit}, {said.better} is better", fontsize=8.5)
        axis.set_title(f"{words(pair[1]).label}\nby {words(pair[0]).label}", fontsize=9.5)
    style.legend(figure, axes[0])
    style.caption(
        figure,
        f"Few large files, {when(step)} of memory. Dotted: through the arms that no other beats on "
        f"both. {study.rests_on(DEMAND)}",
    )
    return figure


FIGURE = draw
