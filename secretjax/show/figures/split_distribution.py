"""How much the states differ: splits in every state, by the captured state it comes from."""

import numpy as np
import seaborn as sns

from secretjax.show import style
from secretjax.show.sentences import when

GOLDEN = 0.6180339887498949
COLUMNS = 5
METRIC = "dm_2m_split"


def draw(study):
    """Splits in every memory state at the peak of growth, by captured start state."""
    demand = "growth"
    if not study.demand_steps(demand):
        return None
    style.apply()
    peak, starts = study.peak(demand), list(study.params.starts)
    arms = [a for a in study.facing(demand) if study.at(demand, peak, a, METRIC).any()]
    if not arms:
        return None
    of = study.starts(demand)
    # Side by side by the golden ratio: even, and the same every time.
    aside = (np.arange(len(of)) * GOLDEN % 1 - 0.5) * 0.6
    x = np.array([starts.index(s) for s in of]) + aside
    figure, axes = style.grid(len(arms), COLUMNS, (2.6, 3.0), (1.6, 0.6), sharey=True)
    looks = style.looks(study.arms)
    for axis, arm in zip(axes, arms, strict=True):
        look, y = looks[arm.name], study.at(demand, peak, arm, METRIC)
        sns.scatterplot(
            x=x, y=y, ax=axis, s=16, alpha=0.6, color=look["color"], marker=look["marker"], lw=0
        )
        for place, start in enumerate(starts):
            mean = y[of == start].mean() if (of == start).any() else np.nan
            axis.plot([place - 0.38, place + 0.38], [mean, mean], color=style.INK, lw=1.6)
        axis.set_title(style.label(arm), fontsize=9.5)
        axis.set_xticks(range(len(starts)), starts, rotation=35, ha="right", fontsize=8)
        axis.set(ylabel="2 MiB entries split", xlim=(-0.6, len(starts) - 0.4))
        axis.grid(axis="x", visible=False)
    top = axes[0].get_ylim()[1]
    axes[0].set_ylim(-0.03 * top, top)
    style.caption(
        figure,
        f"Each dot is one memory state {when(peak)} of memory, each bar the mean of those aged "
        f"from one captured state. Arms that split nothing are left out. Run {study.run.run_id}: "
        f"{study.params.states} states.",
    )
    return figure


FIGURE = draw
