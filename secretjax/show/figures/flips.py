"""Does a conclusion hold in all memory and at all amounts of secret memory, or does it flip?"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from secretjax.show import sentences, standing, style
from secretjax.show.figures._panels import position
from secretjax.show.measured import words

DEMAND = "growth"
CONCLUSIONS = (
    ("pmd_pool", "per_page", "dm_2m_split"),
    ("cma_pool", "per_page", "dm_2m_split"),
    ("pmd_pool", "per_page", "huge_share"),
    ("cma_pool", "pmd_pool", "huge_share"),
    ("cma_pool", "pmd_pool", "whole_share"),
    ("cma_pool", "per_page", "polluted_blocks"),
    ("pmd_pool+reservation", "pmd_pool", "stranded_mib"),
    ("migratable", "per_page", "huge_share"),
    ("migratable", "per_page", "dm_2m_split"),
)
VERDICTS = ("better", "worse", "equal", "undetermined")
COLOURS = ("#9ecae1", "#f4a582", "#e6e6e6", style.WHITE)
SIGNS = ("+", "\N{MINUS SIGN}", "=", "?")


def verdict(study, pair, metric, step, start):
    """Of one start state's states: an index into `VERDICTS`."""
    one, other = pair
    found = study.difference(DEMAND, step, one, other, metric, start=start).verdict
    if found in ("equal", "undetermined"):
        return VERDICTS.index(found)
    return int(found != words(metric).better)


def draw(study):
    """Each conclusion in each start state and at each amount of secret memory."""
    arm_of = lambda name: sentences.arm_of(study, name)  # noqa: E731
    rows = [(arm_of(a), arm_of(b), m) for a, b, m in CONCLUSIONS if arm_of(a) and arm_of(b)]
    steps = [s for s in study.demand_steps(DEMAND) if position(s)]
    if not rows or not steps:
        return None
    style.apply()
    starts = list(dict.fromkeys(study.starts(DEMAND)))
    cells = [(start, step) for start in starts for step in steps]
    found = np.array(
        [[verdict(study, (a, b), m, step, start) for start, step in cells] for a, b, m in rows]
    )
    size = (0.46 * len(cells) + 5.2, 0.4 * len(rows) + 2.0)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.imshow(found, cmap=ListedColormap(COLOURS), vmin=0, vmax=3, aspect="auto")
    for (row, column), which in np.ndenumerate(found):
        axis.text(column, row, SIGNS[which], ha="center", va="center", fontsize=9)
    for k in range(1, len(starts)):
        axis.axvline(k * len(steps) - 0.5, color=style.INK, lw=1.2)
    axis.set_xticks(range(len(cells)), [f"{position(step):g}" for _, step in cells])
    axis.set_xlabel("secret memory, % of memory, by start state")
    called = lambda arm: standing.marked(arm.name, arm.validated)  # noqa: E731
    names = [f"{called(a)} against {called(b)}: {words(m).label}" for a, b, m in rows]
    axis.set_yticks(range(len(rows)), names, fontsize=8.5)
    for k, start in enumerate(starts):
        axis.text((k + 0.5) * len(steps) - 0.5, -0.62, start, ha="center", fontsize=8.5)
    axis.grid(visible=False)
    axis.set_xticks(np.arange(len(cells) + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axis.grid(which="minor", color=style.WHITE, lw=1.5)
    axis.tick_params(which="minor", length=0)
    marks = zip(VERDICTS, COLOURS, SIGNS, strict=True)
    handles = [Patch(facecolor=c, edgecolor="#999999", label=f"{s}  {v}") for v, c, s in marks]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=9)
    style.caption(
        figure,
        "Paired differences within each start state; undetermined: the 95 % interval holds zero. "
        f"Not corrected for {found.size} comparisons. {study.rests_on(DEMAND)}",
    )
    return figure


FIGURE = draw
