"""Which arm is cheaper, and on what that depends."""

import matplotlib.pyplot as plt
import numpy as np

from secretjax.show import standing, style

SHOWN = 8


def called(study, name):
    """An arm, marked where no capture covers it."""
    return standing.marked(name, study.params.arm(name).validated)


def draw(study):
    """Share of the variance of the ratio of two arms' costs that each factor is part of."""
    found = study.sensitivities
    if not found:
        return None
    style.apply()
    names = list(found)
    figure, axes = plt.subplots(
        1, len(names), figsize=(4.1 * len(names) + 0.6, 3.5), squeeze=False, layout="constrained"
    )
    for axis, (one, other) in zip(axes.flat, names, strict=True):
        s = found[one, other]
        order = sorted(s.total, key=lambda f: -s.total[f])[:SHOWN]
        place = np.arange(len(order))
        value = [s.total[f] for f in order]
        axis.barh(place, value, color=style.MODEL, height=0.62)
        axis.errorbar(
            value, place, xerr=[s.margin[f] for f in order], fmt="none", ecolor=style.INK, lw=1
        )
        axis.set_yticks(place, order, fontsize=9)
        axis.set_ylim(len(order) - 0.5, -0.5)
        axis.set_xlim(0, max(1.0, *(v + s.margin[f] for v, f in zip(value, order, strict=True))))
        axis.set_xlabel("total Sobol index", fontsize=9)
        title = f"{called(study, one)}\ncheaper than {called(study, other)}\n"
        axis.set_title(f"{title}in {100 * s.cheaper:.0f} % of the draws", fontsize=9.5)
        axis.grid(axis="y", visible=False)
    style.caption(
        figure,
        "Every cost drawn between its low and high and CPUs between 1 and 256, on logarithmic "
        "scales, and the start state (memory). Bars: share of the variance of the log of the ratio "
        f"of costs, all interactions included, with 95 % intervals. {study.rests_on('growth')}",
    )
    return figure


FIGURE = draw
