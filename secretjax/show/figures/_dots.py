"""One row an arm, one column a metric: a dot with its interval, and the number beside it."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from secretjax.show import style
from secretjax.show.measured import Measured, words
from secretjax.show.sentences import short
from secretjax.study.params import Arm
from secretjax.study.statistics import Estimate

BETTER = {
    "lower": "\N{BLACK LEFT-POINTING TRIANGLE} better",
    "higher": "better \N{BLACK RIGHT-POINTING TRIANGLE}",
}


def dots(
    study: Measured,
    arms: Sequence[Arm],
    metrics: Sequence[tuple[str, str]],
    found: Callable[[Arm, str], Estimate],
    *,
    columns: int,
    differences: bool = False,
) -> Figure:
    """metrics: (metric, title) each; found: what to show of each of `arms` and a metric."""
    style.apply()
    panel = 2.05, 0.3 * len(arms) + 0.95
    figure, axes = style.grid(len(metrics), columns, panel, (2.6, 0.4), sharey=True)
    looks = style.looks(study.arms)
    for axis, (metric, title) in zip(axes, metrics, strict=True):
        for row, arm in enumerate(arms):
            _dot(axis, row, found(arm, metric), looks[arm.name], signed=differences)
        _dress(axis, metric, title, differences)
        axis.set_yticks(range(len(arms)), [style.label(arm) for arm in arms])
        axis.set_ylim(len(arms) - 0.5, -0.5)
        for row in range(0, len(arms), 2):
            axis.axhspan(row - 0.5, row + 0.5, color="#f5f5f5", lw=0, zorder=0)
    return figure


def _dot(axis: Axes, row: int, e: Estimate, look: dict, *, signed: bool) -> None:
    if np.isnan(e.mean):
        axis.annotate("no value", (0, row), xytext=(7, 0), textcoords="offset points", va="center",
                      fontsize=8, color=style.QUIET)  # fmt: skip
        return
    axis.plot([e.low, e.high], [row, row], color=look["color"], lw=3, alpha=0.45)
    axis.plot(e.mean, row, ms=6, mew=1.4, **style.dot(look))
    text = ("+" if signed and e.mean > 0 else "") + short(e.mean)
    axis.annotate(
        text, (max(e.high, e.mean), row), xytext=(7, 0), textcoords="offset points",
        va="center", fontsize=8, color=style.INK,
    )  # fmt: skip


def _dress(axis: Axes, metric: str, title: str, differences: bool) -> None:
    low, high = axis.dataLim.intervalx
    low, high = min(low, 0.0), max(high, 0.0)
    width = high - low or 1.0
    # Room on the right for the number of the outermost dot.
    axis.set_xlim(low - 0.08 * width, high + 0.5 * width)
    axis.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    if np.abs([low, high]).max() >= 1e4:
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.axvline(0, color="#999999", lw=1.2 if differences else 0.8, zorder=1)
    said = words(metric)
    unit = f"{said.unit}\n{BETTER[said.better]}" if said.better else said.unit
    axis.set_title(title, fontsize=9.5)
    axis.set_xlabel(unit, fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", labelsize=9, length=0)
    axis.grid(axis="y", visible=False)
    axis.spines["left"].set_visible(False)
