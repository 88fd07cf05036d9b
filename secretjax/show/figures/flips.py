"""Does a conclusion hold in all memory and at all amounts of secret memory, or does it flip?"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from secretjax.show import conclusions, style
from secretjax.show.conclusions import DEMAND, VERDICTS, verdict
from secretjax.show.figures._panels import position

COLOURS = ("#9ecae1", "#f4a582", "#e6e6e6", style.WHITE)
SIGNS = ("+", "\N{MINUS SIGN}", "=", "?")


def draw(study):
    """Each conclusion in each start state and at each amount of secret memory."""
    rows, steps = conclusions.of(study), conclusions.shares(study)
    if not rows or not steps:
        return None
    style.apply()
    starts = list(dict.fromkeys(study.starts(DEMAND)))
    cells = [(start, step) for start in starts for step in steps]
    found = np.array(
        [[verdict(study, row, DEMAND, step, start) for start, step in cells] for row in rows]
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
    axis.set_yticks(range(len(rows)), [conclusions.named(row) for row in rows], fontsize=8.5)
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
