"""Physical memory drawn: what each page frame is, a row for each pageblock."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from secretjax.mm.layout import HEADS, NODE, ORDER_SHIFT, SPLIT, WHERE_SHIFT, Use, Where
from secretjax.mm.state import Zone
from secretjax.mm.words import PAGEBLOCK_ORDER, PAGEBLOCK_PAGES
from secretjax.show import style

# What a page is, and its colour.
KINDS = (
    ("not the buddy's", "#ffffff"),
    ("free", "#e3efe0"),
    ("on a per-CPU list", "#a1d99b"),
    ("movable", "#9ecae1"),
    ("stays where it is", "#c98c4b"),
    ("secret", "#d1006c"),
    ("idle in a pool", "#f5a6cf"),
    ("page table of a split", "#111111"),
)
DOWN = "pageblocks, from the lowest page frame down"
ABSENT, FREE, LISTED, MOVABLE, STAYS, SECRET, IDLE, TABLE = range(len(KINDS))


def pages(zone: Zone) -> UInt8[np.ndarray, "pageblocks 512"]:
    """Place in `KINDS` of every page. A pool that a file has to itself counts as secret whole."""
    count = zone.link.shape[-1] // 2 - HEADS
    row = np.asarray(zone.link[: 2 * count : 2])
    where, order, use = row >> WHERE_SHIFT, (row >> ORDER_SHIFT) & 15, row & NODE
    listed = where != Where.NONE
    kind = np.full(count, STAYS, np.uint8)
    kind[(use & Use.LRU) != 0] = MOVABLE
    kind[(use & Use.TABLE) != 0] = TABLE
    kind[(use & Use.SECRET) != 0] = SECRET
    for place, shown in ((Where.BUDDY, FREE), (Where.PCP, LISTED), (Where.POOL, IDLE)):
        kind[where == place] = shown
    found = np.full(count, ABSENT, np.uint8)
    heads = listed | ((use & Use.USED) != 0)
    for size in np.unique(order[heads]):
        at = np.flatnonzero(heads & (order == size))
        found[at[:, None] + np.arange(1 << size)] = kind[at, None]
    return found.reshape(-1, PAGEBLOCK_PAGES)


def split(zone: Zone) -> Bool[np.ndarray, " pageblocks"]:
    """Whether the direct map's 2 MiB entry of each pageblock is split."""
    count = zone.link.shape[-1] // 2 - HEADS
    return (np.asarray(zone.block[: count >> PAGEBLOCK_ORDER]) & SPLIT) != 0


class View:
    """One zone on an axis, and another in its place at a later moment."""

    def __init__(self, axis: Axes, title: str, zone: Zone):
        self._image = axis.imshow(
            pages(zone), cmap=ListedColormap([colour for _, colour in KINDS]), vmin=0,
            vmax=len(KINDS) - 1, aspect="auto", interpolation="nearest", rasterized=True,
        )  # fmt: skip
        self._cut = axis.scatter([], [], marker="s", s=2.2, lw=0, color=style.INK, clip_on=False)
        axis.set_xlim(-32, PAGEBLOCK_PAGES)
        axis.set(title=title, xticks=[], yticks=[])
        axis.grid(visible=False)
        for side in axis.spines.values():
            side.set_visible(False)
        self._axis = axis
        self.show(zone)

    def show(self, zone: Zone, moment: str = "") -> None:
        """Shows this zone; moment: said before the entries that are split."""
        cut = np.flatnonzero(split(zone))
        self._image.set_data(pages(zone))
        self._cut.set_offsets(np.stack([np.full(len(cut), -18), cut], 1))
        self._axis.set_xlabel(f"{moment}{len(cut)} entries split", fontsize=9)


def legend(figure: Figure, columns: int = 5) -> None:
    """What the colours mean, above the maps."""
    handles = [Patch(facecolor=c, edgecolor="#bbbbbb", label=name) for name, c in KINDS]
    handles.append(Patch(facecolor=style.INK, label="left of a row: its entry is split"))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, fontsize=8.5)


def draw(zones: Mapping[str, Zone], about: str) -> Figure:
    """The same memory at several moments, side by side: {title: zone}."""
    style.apply()
    size = (2.5 * len(zones) + 0.4, 5.4)
    figure, axes = plt.subplots(1, len(zones), figsize=size, squeeze=False, layout="constrained")
    for axis, (title, zone) in zip(axes.flat, zones.items(), strict=True):
        View(axis, title, zone)
    axes[0, 0].set_ylabel(DOWN)
    legend(figure)
    style.caption(figure, about)
    return figure
