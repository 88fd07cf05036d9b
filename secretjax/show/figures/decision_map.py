"""Which proposal wins on which criterion, by start state and amount of secret memory."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from secretjax.show import style
from secretjax.show.figures import answer
from secretjax.show.figures._panels import position
from secretjax.show.measured import words

DEMAND = "growth"
CRITERIA = (*answer.CRITERIA, ("flush", "TLB flushes"), ("cost_per_page", "Cost of a secret page"))


def winners(study, arms, metric, step, start):
    """The arms that none beats: whose paired difference to the best mean holds zero."""
    sign = -1 if words(metric).better == "higher" else 1
    at = study.starts(DEMAND) == start
    values = {a.name: sign * study.at(DEMAND, step, a, metric)[at] for a in arms}
    means = {n: np.nanmean(v) for n, v in values.items() if not np.isnan(v).all()}
    if not means:
        return []
    best = next(a for a in arms if a.name == min(means, key=means.__getitem__))
    held = []
    for arm in arms:
        if arm.name in means:
            d = study.difference(DEMAND, step, arm, best, metric, start=start)
            held += [arm] if d.verdict in ("equal", "undetermined") else []
    return held


def places(study):
    """The arms that are compared, and where: each start state at each step of growth."""
    steps = [s for s in study.demand_steps(DEMAND) if position(s)]
    facing = study.facing(DEMAND) if steps else []
    arms = [a for a in facing if a.name != study.params.baseline]
    starts = list(dict.fromkeys(study.starts(DEMAND))) if steps else []
    return arms, starts, steps


def wins(study):
    """{arm: {criterion: share of the places where none beats it, in %}}.

    Places where all arms tie are left out; NaN where there are no others.
    """
    arms, starts, steps = places(study)
    found = {arm.name: {} for arm in arms}
    for metric, title in CRITERIA:
        held = [winners(study, arms, metric, p, s) for s in starts for p in steps]
        told = [{a.name for a in some} for some in held if len(some) < len(arms)]
        for name, row in found.items():
            share = 100 * sum(name in some for some in told) / len(told) if told else np.nan
            row[title] = share
    return found


def cell(axis, place, held, arms, looks):
    """One coloured bar a winner; all of them: nothing to choose."""
    row, column = place
    if len(held) == len(arms):
        axis.text(column, row, "all", ha="center", va="center", fontsize=7.5, color=style.QUIET)
        return
    for k, arm in enumerate(held):
        width = 0.86 / len(held)
        left = column - 0.43 + k * width
        axis.add_patch(Rectangle((left, row - 0.4), width, 0.8, color=looks[arm.name]["color"]))
        if looks[arm.name]["markerfacecolor"] == style.WHITE:
            axis.add_patch(
                Rectangle((left, row - 0.4), width, 0.8, fill=False, hatch="////",
                          edgecolor=style.WHITE, lw=0)
            )  # fmt: skip


def draw(study):
    """Who wins on each criterion, in each start state and at each amount of secret memory."""
    arms, starts, steps = places(study)
    if not steps or len(arms) < 2:
        return None
    style.apply()
    looks = style.looks(study.arms)
    cells = [(start, step) for start in starts for step in steps]
    size = (0.62 * len(cells) + 3.0, 0.42 * len(CRITERIA) + 2.3)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    for row, (metric, _) in enumerate(CRITERIA):
        for column, (start, step) in enumerate(cells):
            held = winners(study, arms, metric, step, start)
            cell(axis, (row, column), held, arms, looks)
    axis.set_xlim(-0.5, len(cells) - 0.5)
    axis.set_ylim(len(CRITERIA) - 0.5, -0.5)
    for k, start in enumerate(starts):
        axis.text((k + 0.5) * len(steps) - 0.5, -0.68, start, ha="center", fontsize=8.5)
        if k:
            axis.axvline(k * len(steps) - 0.5, color=style.INK, lw=1.2)
    axis.set_xticks(range(len(cells)), [f"{position(step):g}" for _, step in cells])
    axis.set_yticks(range(len(CRITERIA)), [title for _, title in CRITERIA], fontsize=9)
    axis.set_xlabel("secret memory, % of memory, by start state")
    axis.grid(visible=False)
    handles = [
        axis.plot([], [], ms=7, label=style.label(arm), **style.dot(looks[arm.name]))[0]
        for arm in arms
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=9)
    style.caption(
        figure,
        "Bars: every arm that none beats there, in the order of the legend, hatched where its "
        "marker is hollow: its paired difference to the arm with the best mean holds zero. all: no "
        f"arm differs from the best. {study.params.baseline} is left out. {study.rests_on(DEMAND)}",
    )
    return figure


FIGURE = draw
