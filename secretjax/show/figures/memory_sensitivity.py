"""What in memory a conclusion depends on: pinned pages, the amount, or where it started."""

import matplotlib.pyplot as plt
import numpy as np

from secretjax.show import conclusions, style
from secretjax.show.conclusions import DEMAND, FACTORS


def draw(study):
    """Share of the variance of each paired difference that each factor of memory is part of."""
    rows = conclusions.of(study)
    if not rows or not conclusions.shares(study):
        return None
    style.apply()
    pairs = [conclusions.depends(study, row) for row in rows]
    index, margin = (np.array(found) for found in zip(*pairs, strict=True))
    size = (1.35 * len(FACTORS) + 5.2, 0.4 * len(rows) + 1.9)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.imshow(index, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    for (row, column), value in np.ndenumerate(index):
        text = "-" if np.isnan(value) else f"{value:.2f}"
        axis.text(column, row, text, ha="center", va="center", fontsize=9)
    axis.set_xticks(range(len(FACTORS)), FACTORS, fontsize=9)
    axis.set_xlabel("factor of memory, its total Sobol index")
    axis.xaxis.tick_top()
    axis.xaxis.set_label_position("top")
    axis.set_yticks(range(len(rows)), [conclusions.named(row) for row in rows], fontsize=8.5)
    axis.grid(visible=False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    widest = 0.0 if np.isnan(margin).all() else np.nanmax(margin)
    demands = [d for row in rows for d in conclusions.demands(study, row)]
    pinned = [f"{p:g}" for p in sorted({d.options["pinned_percent"] for d in demands})]
    style.caption(
        figure,
        "Total Sobol indices of the difference of two arms, interactions included, exact on the "
        f"whole grid of pinned pages ({' and '.join(pinned)} % of anonymous ones, where both arms "
        "face them), shares of secret memory, start states and their states. Their 95 % intervals "
        f"reach {widest:.2f} to either side at most. A dash: some state says nothing of it. "
        f"{study.rests_on(DEMAND)}",
    )
    return figure


FIGURE = draw
