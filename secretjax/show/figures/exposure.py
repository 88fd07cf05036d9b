"""Exposure of secrets while they are moved, by protocol."""

import matplotlib.pyplot as plt
import numpy as np

from secretjax.show import style

PROTOCOLS = (("exposure_page_ns", "temporary mapping, one CPU"), ("exposure_direct_map_page_ns", "put into the direct map, every CPU"))


def draw(study):
    """How long moved secrets were readable, times the CPUs that could read them."""
    style.apply()
    arms = [a for a in study.arms if style.proposals.table()[a.proposal].moves]
    if not arms:
        return None
    figure, axis = plt.subplots(figsize=(8.2, 1.0 + 0.9 * len(arms)), layout="constrained")
    for row, (metric, name) in enumerate(PROTOCOLS):
        for place, arm in enumerate(arms):
            best, low, high = (study.estimate("growth", study.peak("growth"), arm, metric, b).mean for b in ("best", "low", "high"))
            at = place + (row - 0.5) * 0.3
            axis.plot([low, high], [at, at], lw=6, alpha=0.35, color=style.COLOURS[3 + row], solid_capstyle="round", label=name if not place else None)
            axis.plot(best, at, "o", color=style.COLOURS[3 + row], ms=7)
    axis.set_yticks(range(len(arms)), [style.label(a.proposal, a.admission) for a in arms])
    axis.set(xlabel="page-ns x CPUs, mean over the states", ylim=(-0.6, len(arms) - 0.4))
    axis.set_xscale("symlog", linthresh=1e3)
    axis.set_xlim(left=0)
    axis.set_title("Exposure of secrets while they are moved")
    figure.legend(loc="outside upper right", fontsize=9, ncols=2)
    style.caption(figure, f"Bars: range of the cost table, {study.params.cpus} CPUs. {study.rests_on('growth')}")
    return figure if np.isfinite(axis.get_xlim()).all() else None


FIGURE = draw
