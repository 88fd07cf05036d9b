"""One look for all figures: colours and markers by proposal, line style by admission."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg", force=False)

import matplotlib.pyplot as plt  # noqa: E402
import seaborn as sns  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from secretjax import admission, proposals  # noqa: E402
from secretjax.files import replacing  # noqa: E402

# Okabe and Ito's colours, dark enough on white and different in grey; one a slot.
COLOURS = ("#6b6b6b", "#d55e00", "#e69f00", "#0072b2", "#009e73", "#56b4e9", "#cc79a7", "#5d3a9b", "#1b1b1b")
MARKERS = ("o", "s", "P", "^", "D", "v", "X", "*", "<")
DASHES = ("-", (0, (4, 1.6)), (0, (1, 1)), (0, (5, 1, 1, 1)))
KERNEL = "#111111"
MODEL = "#0072b2"
MISS = "#d55e00"


def apply() -> None:
    """Settings under which the same data give the same bytes."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.85)
    plt.rcParams.update({
        "svg.hashsalt": "secretjax", "svg.fonttype": "path", "figure.facecolor": "white",
        "savefig.facecolor": "white", "axes.titleweight": "bold", "axes.titlesize": "medium",
        "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
        "grid.color": "#e6e6e6", "grid.linewidth": 0.8, "axes.edgecolor": "#999999",
        "legend.frameon": False, "figure.dpi": 100, "savefig.dpi": 140,
    })  # fmt: skip


def looks(proposal: str, rule: str) -> dict:
    """Line keywords of an arm."""
    slot = proposals.table()[proposal].slot
    dash = admission.table()[rule].slot
    return {
        "color": COLOURS[slot % len(COLOURS)],
        "marker": MARKERS[slot % len(MARKERS)],
        "linestyle": DASHES[dash % len(DASHES)],
        "markerfacecolor": "white" if dash else COLOURS[slot % len(COLOURS)],
    }


def label(proposal: str, rule: str) -> str:
    """An arm in words."""
    name = proposals.table()[proposal].label
    return name if rule == "none" else f"{name}, reserved"


def caption(figure: Figure, text: str) -> None:
    """What the figure rests on, under it."""
    figure.text(0.01, -0.01, text, ha="left", va="top", fontsize=8, color="#444444", wrap=False)


def save(figure: Figure, folder: Path, name: str) -> None:
    """NAME.svg and NAME.png."""
    for kind, extra in (("svg", {"metadata": {"Date": None}}), ("png", {})):
        with replacing(folder / f"{name}.{kind}") as temporary:
            figure.savefig(temporary, format=kind, bbox_inches="tight", pad_inches=0.15, **extra)
