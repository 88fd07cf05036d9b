"""Exposure of secrets while they are moved, by protocol."""

import matplotlib.pyplot as plt

from secretjax.mm.words import Secret
from secretjax.show import standing, style
from secretjax.show.sentences import short, when
from secretjax.study import plugins

DIRECT_MAP = ("exposure_us", "put into the direct map, every CPU")
TEMPORARY = (
    ("exposure_us", "temporary mapping, one CPU"),
    ("exposure_direct_map_us", "if put into the direct map, every CPU"),
)


def protocols(arm):
    """What is shown of an arm, (metric, words) each: nothing if its pages never move."""
    secret = plugins.make("proposal", arm.proposal, arm.options).secret
    if not secret & Secret.MOVES:
        return ()
    return (DIRECT_MAP,) if secret & Secret.DIRECT_MAP else TEMPORARY


def draw(study):
    """How long moved secrets were readable, times the CPUs that could read them."""
    demand = "growth"
    if not study.demand_steps(demand):
        return None
    rows = [(arm, *protocol) for arm in study.facing(demand) for protocol in protocols(arm)]
    if not rows:
        return None
    style.apply()
    peak, arms = study.peak(demand), {arm.name for arm, *_ in rows}
    figure, axis = plt.subplots(figsize=(9.5, 0.42 * len(rows) + 1.5), layout="constrained")
    looks = style.looks(study.arms)
    for place, (arm, metric, _) in enumerate(rows):
        best, low, high = (
            study.estimate(demand, peak, arm, metric, bound).mean
            for bound in ("best", "low", "high")
        )
        axis.plot([low, high], [place, place], lw=6, alpha=0.3, color=looks[arm.name]["color"])
        look = style.dot(looks[arm.name])
        axis.plot(best, place, ms=7, mew=1.4, clip_on=False, zorder=3, **look)
        axis.annotate(
            f"{short(best)}  ({short(low)} to {short(high)})", (max(high, best), place),
            xytext=(10, 0), textcoords="offset points", va="center", fontsize=8.5,
        )  # fmt: skip
    several = len(arms) > 1
    names = [f"{style.label(a)}:\n{told}" if several else told for a, _, told in rows]
    axis.set_yticks(range(len(rows)), names, fontsize=9)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xscale("symlog", linthresh=1.0)
    axis.set_xlim(0, max(10.0, 40 * axis.dataLim.x1))
    axis.set(title="Secrets readable while they are moved", xlabel="page-us x CPUs, logarithmic")
    axis.grid(axis="y", visible=False)
    style.caption(
        figure,
        "Dot: best cost; bar: low to high of the cost table, with "
        f"{standing.cpus(study.params.cpus)}. Few large files, {when(peak)} of memory. "
        f"{study.rests_on(demand)}",
    )
    return figure


FIGURE = draw
