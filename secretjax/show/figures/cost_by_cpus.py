"""What a secret page costs as the machine has more CPUs, each of which a flush interrupts."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from secretjax.show import standing, style
from secretjax.show.measured import words
from secretjax.show.sentences import when

CPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
METRIC = "cost_per_page"


def draw(study):
    """Cost of a secret page by the number of CPUs that a TLB flush has to reach."""
    demands = [d for d in ("growth", "small_files") if study.demand_steps(d)]
    if not demands:
        return None
    style.apply()
    size = (4.9 * len(demands) + 1.2, 4.4)
    figure, axes = plt.subplots(1, len(demands), figsize=size, squeeze=False, layout="constrained")
    looks = style.looks(study.arms)
    for axis, demand in zip(axes.flat, demands, strict=True):
        step = study.peak(demand)
        for arm in study.facing(demand):
            found = [study.at(demand, step, arm, METRIC, cpus=n) for n in CPUS]
            mean = [np.nan if np.isnan(f).all() else np.nanmean(f) for f in found]
            axis.plot(CPUS, mean, lw=1.7, ms=5, mew=1.3, label=style.label(arm), **looks[arm.name])
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.xaxis.set_major_locator(FixedLocator(CPUS))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.set(title=f"{demand}, {when(step)}", xlabel="CPUs", ylabel=words(METRIC).unit)
    style.legend(figure, axes.flat[0])
    style.caption(
        figure,
        f"Best costs of the table; more than one CPU is {standing.WORDS}. Means over the states "
        f"that were granted a page. {study.rests_on(demands[0])}",
    )
    return figure


FIGURE = draw
