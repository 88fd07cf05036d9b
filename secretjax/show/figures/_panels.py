"""Small multiples along the demand: a panel a metric, a line an arm."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from secretjax.show import style
from secretjax.show.measured import Measured, words
from secretjax.show.sentences import share
from secretjax.study.params import Arm

OFF = 0.22  # where the step after growing stands, in units of the last growing step;
APART = 0.38  # and where several do
ASIDE, MOST_ASIDE = 0.008, 0.08  # of the last growing step: between two arms, and between all


def position(step: str) -> float | None:
    """grow_30 -> 30, start -> 0; None for what is no point of growth."""
    number = share(step)
    return float(number) if number else 0.0 if step == "start" else None


def panels(
    study: Measured,
    demand: str,
    metrics: Sequence[tuple[str, str]],
    xlabel: str,
    *,
    columns: int = 3,
    arms: Sequence[Arm] | None = None,
) -> Figure | None:
    """(metric, title) each. None if the study has no such demand, or `arms` is empty.

    arms: those shown, all that face it if not given
    """
    if not study.demand_steps(demand):
        return None
    arms = study.facing(demand) if arms is None else arms
    if not arms:
        return None
    style.apply()
    figure, axes = style.grid(len(metrics), columns, (3.9, 2.75), (0.0, 0.9))
    for axis, (metric, title) in zip(axes, metrics, strict=True):
        draw_lines(study, axis, demand, metric, arms)
        axis.set_title(title)
        axis.set_ylabel(words(metric).unit)
    for axis in axes[-columns:]:
        axis.set_xlabel(xlabel)
    style.legend(figure, axes[0], columns=min(4, columns + 1))
    style.caption(figure, study.rests_on(demand))
    return figure


def draw_lines(study: Measured, axis: Axes, demand: str, metric: str, arms: Sequence[Arm]) -> None:
    """Each arm while the demand grows, and apart from that when it turns or all was given back."""
    steps = study.demand_steps(demand)
    growing = [s for s in steps if position(s) is not None]
    after = [s for s in steps if position(s) is None]
    top = max(position(s) or 0.0 for s in growing)
    gap = OFF if len(after) == 1 else APART
    late = [top * (1 + gap * (k + 1)) for k in range(len(after))]
    looks = style.looks(study.arms)
    ends_at = [0.0]  # of all that is drawn: an axis's own limits of equal data are padded
    for number, arm in enumerate(arms):
        # Set apart a little, so that arms of equal value can all be seen.
        between = min(ASIDE, MOST_ASIDE / len(arms)) * top
        aside = (number - (len(arms) - 1) / 2) * between
        ends = []
        for names, places in ((growing, [position(s) for s in growing]), (after, late)):
            found = [study.estimate(demand, s, arm, metric) for s in names]
            if not found:
                continue
            x = np.array(places, float) + aside
            mean = np.array([f.mean for f in found])
            low, high = ([getattr(f, end) for f in found] for end in ("low", "high"))
            ends_at += [*low, *high, *mean]
            axis.vlines(x, low, high, color=looks[arm.name]["color"], lw=2.2, alpha=0.45)
            name = style.label(arm) if names is growing else None
            axis.plot(x, mean, lw=1.7, ms=5, mew=1.3, **looks[arm.name], label=name)
            ends.append((x, mean))
        if len(ends) > 1:
            (x, mean), (x_off, off) = ends
            axis.plot(
                [x[-1], x_off[0]], [mean[-1], off[0]], lw=0.8, alpha=0.5, zorder=1,
                color=looks[arm.name]["color"], linestyle=":",
            )  # fmt: skip
    ticks = [position(s) or 0.0 for s in growing]
    labels = [f"{t:g}" for t in ticks]
    for place, step in zip(late, after, strict=True):
        at = study.demand_steps(demand).index(step)
        if not np.isnan(study.array(demand, arms[0], metric)[:, at]).any():
            ticks, labels = [*ticks, place], [*labels, step]
    axis.set_xticks(ticks, labels)
    axis.set_xlim(-0.05 * top, (1.12 + gap * len(after)) * top)
    low, high = np.nanmin(ends_at), np.nanmax(ends_at)
    high = high if high > low else 1.0  # nothing but zeros: they lie on the ground
    room = 0.06 * (high - low)
    axis.set_ylim(low - room, high + room)
    if axis.get_ylim()[1] >= 1e4:
        axis.yaxis.set_major_formatter(EngFormatter(sep=""))
    axis.grid(axis="x", visible=False)
