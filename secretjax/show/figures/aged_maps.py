"""Memory maps: what each pageblock holds, captured and aged states side by side."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from secretjax.mm.words import PAGEBLOCK_PAGES
from secretjax.show import style
from secretjax.show.aged import numbers, state_map
from secretjax.study.aged import CAPTURED, CONTROL

KINDS = (
    ("not the buddy's", "#ffffff"),
    ("wholly free", "#d9ead3"),
    ("movable only", "#9ecae1"),
    ("movable and unmovable", "#e6842a"),
    ("unmovable only", "#7f2704"),
)
EACH, WIDE = 4, 32  # states of a kind, pageblocks in a row


def kinds(found: dict[str, np.ndarray]) -> np.ndarray:
    """Place in `KINDS` of each pageblock."""
    free, stays, movable = (found[m] for m in ("free", "stays", "movable"))
    kind = np.where(free == PAGEBLOCK_PAGES, 1, np.where(stays == 0, 2, 3))
    kind = np.where((stays > 0) & (movable == 0), 4, kind)
    return np.where(free + stays + movable == 0, 0, kind)


def panel(axis, found: dict[str, np.ndarray], title: str) -> None:
    """One state: pageblocks in rows of `WIDE`, from the lowest pfn on."""
    kind = kinds(found)
    grid = np.full(-(-len(kind) // WIDE) * WIDE, 0)
    grid[: len(kind)] = kind
    grid = grid.reshape(-1, WIDE)
    colours = ListedColormap([colour for _, colour in KINDS])
    ends = {"vmin": -0.5, "vmax": len(KINDS) - 0.5}
    axis.pcolormesh(grid, cmap=colours, edgecolors="white", lw=0.6, **ends)
    axis.set_aspect("equal")
    axis.invert_yaxis()
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set_visible(False)
    axis.set_title(title, fontsize=9)


def draw(study):
    """Memory maps by pageblock: captured states above, aged ones below."""
    style.apply()
    rows = study.aged
    if not len(rows):
        return None
    every = numbers(rows)
    recipes = [CAPTURED, *(r for r in every["recipe"].unique() if r not in (CAPTURED, CONTROL))]
    chosen = [every[every["recipe"].eq(r)].sort_values("state").head(EACH) for r in recipes]
    tall = [max(len(state_map(rows, n)["free"]) for n in c["name"]) / WIDE + 2.6 for c in chosen]
    figure, axes = plt.subplots(
        len(chosen), EACH, squeeze=False, layout="constrained", height_ratios=tall,
        figsize=(12.5, 0.125 * sum(tall) + 0.9),
    )  # fmt: skip
    for line, part in zip(axes, chosen, strict=True):
        for axis, (_, row) in zip(line, part.iterrows(), strict=False):
            said = f"{row['unmovable'] / 10:.1f} % in {row['unmovable_blocks'] / 10:.0f} %"
            panel(axis, state_map(rows, row["name"]), f"{row['name']}: {said}")
        for axis in line[len(part) :]:
            axis.set_visible(False)
    handles = [Patch(facecolor=c, edgecolor="#bbbbbb", label=name) for name, c in KINDS]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(KINDS), fontsize=9)
    style.caption(
        figure,
        "A square is a pageblock of 2 MiB. Above each map: unmovable memory as a share of memory, "
        "and the share of pageblocks that hold some of it. The first "
        f"{EACH} states of a kind are shown. Run {study.run.run_id}.",
    )
    return figure


FIGURE = draw
