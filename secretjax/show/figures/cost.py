"""What a secret page costs, all counted work included, under both ends of the cost table."""

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from secretjax.show import standing, style
from secretjax.show.measured import words
from secretjax.show.sentences import short, when

COLUMNS = 3
METRIC = "cost_per_page"
WIDE = 1000  # a range of costs in which no more than the powers of ten have room


def draw(study):
    """Cost of a secret page by arm and demand, over the range of the cost table."""
    style.apply()
    demands = [d.name for d in study.params.demands]
    panel = 4.6, 0.36 * len(study.arms) + 1.0
    figure, axes = style.grid(len(demands), COLUMNS, panel, (2.2, 0.7), sharey=True)
    looks = style.looks(study.arms)
    for axis, demand in zip(axes, demands, strict=True):
        peak = study.peak(demand)
        for row, arm in enumerate(study.arms):
            best, low, high = (
                study.estimate(demand, peak, arm, METRIC, b).mean for b in ("best", "low", "high")
            )
            if np.isnan(best):
                why = "nothing granted" if arm in study.facing(demand) else "not asked"
                axis.annotate(why, (0.03, row), va="center", fontsize=8, color=style.QUIET,
                              xycoords=("axes fraction", "data"))  # fmt: skip
                continue
            axis.plot([low, high], [row, row], lw=6, alpha=0.3, color=looks[arm.name]["color"])
            axis.plot(best, row, ms=7, mew=1.4, **style.dot(looks[arm.name]))
            axis.annotate(
                short(best), (best, row), xytext=(0, 8), textcoords="offset points",
                ha="center", fontsize=8,
            )  # fmt: skip
        axis.set_xscale("log")
        wide = axis.dataLim.x1 > WIDE * axis.dataLim.x0
        axis.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set(title=f"{demand}, {when(peak)}", xlabel=words(METRIC).unit)
        axis.set_yticks(
            range(len(study.arms)), [style.label(arm) for arm in study.arms], fontsize=9
        )
        axis.set_ylim(len(study.arms) - 0.4, -0.7)
        axis.grid(axis="y", visible=False)
    style.caption(
        figure,
        "Dot: best cost; bar: low to high of the cost table, all entries at once. "
        f"{standing.cpus(study.params.cpus)}. {study.rests_on(demands[0])}",
    )
    return figure


FIGURE = draw
