"""One look for all figures: colour and marker by proposal, line and filling by admission.

Colours are Okabe and Ito's, which colour-blind readers tell apart; markers and lines say the same
again, so that a print in grey does too.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib

matplotlib.use("Agg", force=False)

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from secretjax import admission, proposals
from secretjax.files import replacing
from secretjax.show import standing
from secretjax.study.arms import Arm, plain_name, unlike_default

# By the slot of a proposal.
COLOURS = (
    "#6b6b6b", "#d55e00", "#b8860b", "#0072b2", "#009e73",
    "#56b4e9", "#cc79a7", "#5d3a9b", "#8c510a",
)  # fmt: skip
MARKERS = ("o", "s", "P", "^", "D", "v", "X", "*", "<")
# By the slot of an admission; arms that differ in options have the next one that is free.
DASHES: tuple[Any, ...] = (
    "-", (0, (4, 1.6)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (4, 1, 1, 1, 1, 1)),
    (0, (2, 2)), (0, (7, 1, 2, 1)), (0, (1, 3)),
)  # fmt: skip
INK, QUIET, GRID = "#222222", "#6b6b6b", "#e6e6e6"
KERNEL, MODEL, MISS = "#111111", "#0072b2", "#d55e00"
WHITE = "#ffffff"


def apply() -> None:
    """Settings under which the same data give the same bytes."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.85)
    plt.rcParams.update({
        "svg.hashsalt": "secretjax", "svg.fonttype": "path", "font.family": "DejaVu Sans",
        "figure.facecolor": WHITE, "savefig.facecolor": WHITE, "figure.dpi": 100,
        "savefig.dpi": 140,
        "axes.titleweight": "bold", "axes.titlesize": "medium", "axes.titlelocation": "left",
        "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#999999",
        "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
        "grid.color": GRID, "grid.linewidth": 0.8, "axes.axisbelow": True, "legend.frameon": False,
    })  # fmt: skip


@contextmanager
def steady() -> Iterator[None]:
    """Seaborn's jitter comes from NumPy's global generator: inside, it is the same every time."""
    before = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(before)


def looks(arms: Iterable[Arm]) -> dict[str, dict[str, Any]]:
    """{name of the arm: line keywords}; arms that differ in options only differ in the line."""
    found, used = {}, defaultdict[str, list[int]](list)
    for arm in arms:
        slot = proposals.table()[arm.proposal].slot
        rule = admission.table()[arm.admission].slot
        line = next(n for n in count(rule) if n not in used[arm.proposal])
        used[arm.proposal].append(line)
        colour = COLOURS[slot % len(COLOURS)]
        found[arm.name] = {
            "color": colour,
            "marker": MARKERS[slot % len(MARKERS)],
            "linestyle": DASHES[line % len(DASHES)],
            "markerfacecolor": WHITE if line else colour,
            "markeredgecolor": colour,
        }
    return found


def dot(look: dict[str, Any]) -> dict[str, Any]:
    """The same without a line."""
    return {**look, "linestyle": "none"}


def label(arm: Arm) -> str:
    """An arm in words; one with a name of its own keeps it. Marked where no capture covers it."""
    kernel = unlike_default(arm)
    if arm.name != plain_name(arm.proposal, arm.admission, kernel):
        return standing.marked(arm.name, arm.validated)
    words = proposals.table()[arm.proposal].label
    words += "" if arm.admission == "none" else f" + {arm.admission}"
    words += "".join(f", {v}" if k == "rules" else f", {k} {v}" for k, v in kernel.items())
    return standing.marked(words, arm.validated)


def grid(
    count: int, columns: int, panel: tuple[float, float], beside: tuple[float, float], **more: Any
) -> tuple[Figure, list[Axes]]:
    """A figure and its `count` panels, in rows of at most so many.

    panel, beside: inches of a panel, and of all that is beside them. more: for `plt.subplots`
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    size = panel[0] * columns + beside[0], panel[1] * rows + beside[1]
    figure, axes = plt.subplots(
        rows, columns, figsize=size, squeeze=False, layout="constrained", **more
    )
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def caption(figure: Figure, text: str) -> None:
    """What the figure rests on, under it, in lines that fit its width; what a mark in it means."""
    shown = [text, *(t.get_text() for t in figure.findobj(Text) if isinstance(t, Text))]
    if any(standing.MARK in words for words in shown):
        text = f"{text} {standing.NOTE}."
    width = int(figure.get_figwidth() * 16.5)
    figure.supxlabel(fill(text, width), x=0.01, ha="left", fontsize=8, color=QUIET)


def legend(figure: Figure, axis: Axes, columns: int = 4) -> None:
    """One legend for all panels, above them."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=min(columns, len(labels)),
        fontsize=9, handlelength=3.4, columnspacing=1.8,
    )  # fmt: skip


def save(figure: Figure, folder: Path, name: str) -> None:
    """NAME.svg and NAME.png in `folder`, without the date; the figure is closed."""
    kinds: dict[str, dict[str, Any]] = {"svg": {"metadata": {"Date": None}}, "png": {}}
    for kind, extra in kinds.items():
        with replacing(folder / f"{name}.{kind}") as temporary:
            figure.savefig(temporary, format=kind, bbox_inches="tight", pad_inches=0.15, **extra)
    plt.close(figure)
