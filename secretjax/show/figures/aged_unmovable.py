"""Unmovable memory, how much there is and how far it is spread, and what that leaves free."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from secretjax.show import style
from secretjax.show.aged import META, numbers
from secretjax.study.aged import CAPTURED

LOOKS = {"meta_like": (style.MODEL, "o"), "llfree": ("#009e73", "^")}


def spread(axis, every, captured) -> None:
    """Share of memory against share of pageblocks; on the line unmovable memory is packed."""
    most = 1.15 * max(every["unmovable"].max() / 10, META[0] * 1.6)
    axis.plot([0, most], [0, most], color=style.QUIET, lw=1, ls=":", zorder=1)
    axis.annotate("packed", (0.86 * most, 0.86 * most), (4, -12), textcoords="offset points",
                  fontsize=8, color=style.QUIET)  # fmt: skip
    for recipe, part in every.groupby("recipe", sort=False):
        if recipe in LOOKS:
            colour, mark = LOOKS[recipe]
            axis.plot(part["unmovable"] / 10, part["unmovable_blocks"] / 10, lw=0, marker=mark,
                      ms=5, alpha=0.45, mec="none", color=colour, label=recipe)  # fmt: skip
    x, y = captured["unmovable"] / 10, captured["unmovable_blocks"] / 10
    axis.plot(x, y, lw=0, marker="x", ms=8, mew=2, color=style.KERNEL, label="captured")
    axis.plot(*META, lw=0, marker="P", ms=12, color=style.MISS, mec="white", zorder=6,
              label="Meta's fleet, published")  # fmt: skip
    top = 1.08 * max(40, every["unmovable_blocks"].max() / 10)
    axis.set(xlabel="unmovable, % of memory", ylabel="pageblocks that hold some, %")
    axis.set(xlim=(0, most), ylim=(0, top))
    axis.set_title("Where unmovable memory lies")
    axis.legend(loc="upper right", fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")


def strip(axis, every, metric: str, title: str, scale: int) -> None:
    """Every state of a kind as a dot, captured ones as crosses."""
    order = list(dict.fromkeys(every["recipe"]))
    for at, recipe in enumerate(order):
        values = every[every["recipe"].eq(recipe)][metric].to_numpy(float) / scale
        colour, mark = (style.KERNEL, "x") if recipe == CAPTURED else LOOKS[recipe]
        size = {"ms": 6, "mew": 2} if mark == "x" else {"ms": 4, "mew": 0, "alpha": 0.5}
        aside = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else np.zeros(1)
        axis.plot(values, at + aside, lw=0, marker=mark, color=colour, **size)
    axis.set_yticks(range(len(order)), order)
    axis.set_ylim(len(order) - 0.4, -0.6)
    axis.set_title(title)
    axis.grid(axis="y", visible=False)


def draw(study):
    """Unmovable memory against the pageblocks it lies in, and the indices of free memory."""
    style.apply()
    if not len(study.aged):
        return None
    every = numbers(study.aged)
    captured = every[every["recipe"].eq(CAPTURED)]
    figure, axes = plt.subplot_mosaic(
        [["spread", "unusable"], ["spread", "huge"]], figsize=(11.5, 5), layout="constrained"
    )
    spread(axes["spread"], every, captured)
    strip(axes["unusable"], every, "unusable_index_9", "Unusable free space index, order 9", 1)
    axes["unusable"].set(xlabel="of 1,000: all free memory is unusable", xlim=(-30, 1030))
    strip(axes["huge"], every, "huge_free", "Free memory in free huge frames", 10)
    axes["huge"].set(xlabel="% of free memory", xlim=(-3, 103))
    sns.despine(figure, left=True)
    counts = ", ".join(f"{len(p)} {r}" for r, p in every.groupby("recipe", sort=False))
    style.caption(figure, f"States: {counts}. Run {study.run.run_id}.")
    return figure


FIGURE = draw
