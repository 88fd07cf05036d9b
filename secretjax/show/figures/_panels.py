"""Small multiples: a panel a metric, a line an arm, with the interval over the states."""

import matplotlib.pyplot as plt
import numpy as np

from secretjax.show import style
from secretjax.study.statistics import interval


def step_label(step: str) -> str:
    """grow_30 -> 30 %, files_50 -> 50 %."""
    head, _, number = step.partition("_")
    return f"{number} %" if number.isdigit() else head.replace("start", "0").replace("released", "released")


def lines(study, axis, demand: str, metric: str, steps, arms, scale: float) -> None:
    """Mean and 95 % interval of each arm along the steps."""
    wide = study.values(demand, metric)
    for offset, arm in enumerate(arms):
        found = [interval(wide[arm.name][step] * scale, study.starts(demand)) for step in steps]
        x = np.arange(len(steps)) + (offset - len(arms) / 2) * 0.012 * len(steps)
        looks = style.looks(arm.proposal, arm.admission)
        axis.fill_between(x, [f.low for f in found], [f.high for f in found], color=looks["color"], alpha=0.15, lw=0)
        axis.plot(x, [f.mean for f in found], lw=1.8, ms=5.5, mew=1.4, **looks, label=style.label(arm.proposal, arm.admission))


def panels(study, demand: str, metrics, *, columns: int = 3, title: str, xlabel: str):
    """metrics: (name, title, y label, scale) each."""
    style.apply()
    steps = [s for s in study.steps(demand) if s != "start"]
    rows = -(-len(metrics) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.1 * columns, 3.0 * rows), squeeze=False, layout="constrained")
    for axis, (metric, name, ylabel, scale) in zip(axes.flat, metrics, strict=False):
        lines(study, axis, demand, metric, steps, study.arms, scale)
        axis.set(title=name, ylabel=ylabel, xlabel=xlabel)
        axis.set_xticks(range(len(steps)), [step_label(s) for s in steps])
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
        axis.grid(axis="x", visible=False)
    for axis in list(axes.flat)[len(metrics) :]:
        axis.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)), fontsize=9, handlelength=3.2)
    style.caption(figure, f"{title} {study.rests_on(demand)}")
    return figure
