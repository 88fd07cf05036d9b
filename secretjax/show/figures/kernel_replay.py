"""Replay: how many recorded requests got the kernel's own pfn, stream by stream."""

import matplotlib.pyplot as plt

from secretjax.show import style
from secretjax.show.answer import plain


def draw(study):
    """Allocations of every recorded stream, by what the model answered."""
    style.apply()
    rows = study.replays
    if not len(rows):
        return None
    rows = rows.sort_values(["fallback", "case"], ascending=[False, True])
    figure, axis = plt.subplots(figsize=(10, 0.24 * len(rows) + 1.1), layout="constrained")
    bar = {"height": 0.72, "edgecolor": "white"}
    rest = rows["requests"] - rows["same_pfn"]
    names, same = rows["case"], rows["same_pfn"]
    axis.barh(names, same, color=style.MODEL, label="same pfn", **bar)
    axis.barh(names, rest, left=same, color=style.MISS, label="another pfn", **bar)
    for at, (_, row) in enumerate(rows.iterrows()):
        axis.annotate(said(row), (row["requests"], at), (6, 0), textcoords="offset points",
                      va="center", fontsize=8, color="#444444")  # fmt: skip
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="allocations in the stream", ylabel="", xlim=(0, 1.32 * rows["requests"].max()))
    axis.xaxis.set_major_formatter(lambda x, _: plain(int(x)))
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    style.caption(figure, "A list is equal if it holds the same blocks in the same order.")
    return figure


def said(row) -> str:
    """What stands beside a bar."""
    equal = f"{plain(int(row['same_pfn']))} of {plain(int(row['requests']))} pfns"
    return f"{equal}, {row['lists_equal']} of {row['lists']} lists equal"


FIGURE = draw
