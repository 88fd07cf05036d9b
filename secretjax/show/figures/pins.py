"""Pools when pages are pinned: the same demand, with more and more pages that never move."""

import matplotlib.pyplot as plt
import numpy as np

from secretjax import proposals
from secretjax.show import style
from secretjax.show.measured import words

METRICS = (
    ("whole_share", "Granted from whole pageblocks"),
    ("migrated", "Pages migrated"),
    ("huge_share", "Huge pages others got"),
)


def draw(study):
    """What pools still get as more of others' pages are pinned and cannot be moved."""
    levels = {
        d.name: float(d.options["pinned_percent"])
        for d in study.params.demands
        if d.kind == "growth"
    }
    arms = [
        a for a in study.arms
        if proposals.table()[a.proposal].pool and all(a in study.facing(d) for d in levels)
    ]  # fmt: skip
    if len(set(levels.values())) < 2 or not arms:
        return None
    style.apply()
    figure, axes = plt.subplots(1, len(METRICS), figsize=(11.7, 3.9), layout="constrained")
    looks, order = style.looks(study.arms), sorted(levels, key=levels.__getitem__)
    places = np.arange(len(order), dtype=float)
    for axis, (metric, title) in zip(axes, METRICS, strict=True):
        for number, arm in enumerate(arms):
            found = [study.estimate(d, study.peak(d), arm, metric) for d in order]
            x = places + (number - (len(arms) - 1) / 2) * 0.03
            ends = [e.low for e in found], [e.high for e in found]
            axis.vlines(x, *ends, color=looks[arm.name]["color"], lw=2.2, alpha=0.45)
            mean = [e.mean for e in found]
            axis.plot(x, mean, lw=1.7, ms=5, mew=1.3, label=style.label(arm), **looks[arm.name])
        axis.set_xticks(places, [f"{levels[d]:g}" for d in order])
        axis.set(title=title, xlabel="anonymous pages pinned, %", ylabel=words(metric).unit)
        axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        axis.grid(axis="x", visible=False)
    style.legend(figure, axes[0])
    style.caption(figure, f"At the peak of each demand. {study.rests_on(order[0])}")
    return figure


FIGURE = draw
