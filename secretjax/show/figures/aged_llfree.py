"""LLFree's benchmark: the kernel's lists and the control, iteration by iteration."""

import matplotlib.pyplot as plt
import numpy as np

from secretjax.ageing.control import PUBLISHED, PUBLISHED_BUDDY
from secretjax.show import style
from secretjax.show.aged import curve, published
from secretjax.study.aged import CONTROL


def draw(study):
    """Share of free memory in huge frames, as single pages come and go at random."""
    style.apply()
    rows = study.aged
    if not len(rows) or not rows["recipe"].eq("llfree").any():
        return None
    figure, axis = plt.subplots(figsize=(9.5, 4.4), layout="constrained")
    for recipe, colour, words in (
        (CONTROL, style.MISS, "control: fullest tree first, not the kernel"),
        ("llfree", style.MODEL, "the kernel's lists"),
    ):
        found = curve(rows, recipe)
        x = np.arange(found.shape[1])
        axis.plot(x, found.T, color=colour, lw=0.8, alpha=0.35)
        axis.plot(x, found.mean(0), color=colour, lw=2.2, label=words)
    for points, words, mark in (
        (PUBLISHED, "LLFree, published", {"marker": "o", "ms": 7, "mfc": "none", "mew": 1.6}),
        (PUBLISHED_BUDDY, "Linux, published", {"marker": "x", "ms": 8, "mew": 2}),
    ):
        found = published(points)
        axis.plot([*found], [*found.values()], lw=0, color=style.KERNEL, label=words, **mark)
    axis.set(xlabel="iterations: a tenth of the pages held comes and goes", ylim=(0, 100),
             ylabel="% of free memory", xlim=(-1, len(x)))  # fmt: skip
    axis.set_title("Free memory in free huge frames")
    axis.legend(loc="center left", fontsize=9)
    states = len(curve(rows, "llfree"))
    style.caption(
        figure,
        f"{states} states each, thin; their mean, thick. The published machine has 125 GiB, the "
        f"control here 4 GiB or more. Run {study.run.run_id}.",
    )
    return figure


FIGURE = draw
