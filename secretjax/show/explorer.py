"""One memory state looked at by hand in JupyterLab: what happens to it under each arm.

The model is run for the state when an arm or a state is chosen; the slider goes through its
measuring points. A click on a page says what it is, to people and to Python (`picked`).
"""

import io
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets

from secretjax import engine
from secretjax.mm.state import Zone
from secretjax.mm.words import PAGEBLOCK_ORDER, PAGEBLOCK_PAGES
from secretjax.show import memory_map, style
from secretjax.show.measured import Measured
from secretjax.study import points
from secretjax.study.params import Arm, Demand

WIDE = 2 * PAGEBLOCK_PAGES  # pages in a row of the map: two pageblocks


class PageMap(anywidget.AnyWidget):
    """Memory as pixels. picked: page frame that was clicked on, -1 none yet."""

    _esm = Path(__file__).with_name("page_map.js")
    pages = traitlets.Bytes().tag(sync=True)
    wide = traitlets.Int(WIDE).tag(sync=True)
    palette = traitlets.List([colour for _, colour in memory_map.KINDS]).tag(sync=True)
    picked = traitlets.Int(-1).tag(sync=True)


def watched(study: Measured, arm: Arm, demand: Demand, state: int) -> dict[str, Zone]:
    """{measuring point: zone} of one state of a study, computed again."""
    return points.given(engine.watch, study.params, arm, demand)(state=state)


class Explorer(widgets.VBox):
    """Menus, a slider over the measuring points, a figure of what each page is, and the map."""

    def __init__(self, study: Measured, demand: str, arm: str, state: int = 0):
        self.study = study
        self.demand = next(d for d in study.params.demands if d.name == demand)
        self.known: dict[tuple[str, int], dict[str, Zone]] = {}
        names = [a.name for a in study.facing(demand)]
        steps = study.demand_steps(demand)
        self.arm = widgets.Dropdown(options=names, value=arm, description="arm")
        self.state = widgets.BoundedIntText(
            value=state, min=0, max=study.params.states - 1, description="state"
        )
        self.point = widgets.SelectionSlider(options=steps, value=steps[-2], description="at")
        self.counts, self.said = widgets.Image(format="png"), widgets.HTML()
        self.map = PageMap()
        super().__init__(
            [widgets.HBox([self.arm, self.state, self.point]), self.counts, self.map, self.said]
        )
        for menu in (self.arm, self.state, self.point):
            menu.observe(lambda _: self.show(), names="value")
        self.map.observe(lambda _: self.tell(), names="picked")
        self.show()

    def __repr__(self) -> str:
        return "Menus, a slider and a map: open this notebook in JupyterLab and run it."

    @property
    def zone(self) -> Zone:
        """The zone that is shown."""
        key = self.arm.value, self.state.value
        if key not in self.known:
            arm = self.study.params.arm(key[0])
            self.known[key] = watched(self.study, arm, self.demand, key[1])
        return self.known[key][self.point.value]

    @property
    def picked(self) -> dict[str, Any]:
        """The page that was clicked on: pfn, pageblock, what it is, whether its entry is split."""
        page = self.map.picked
        if page < 0:
            return {}
        block = page >> PAGEBLOCK_ORDER
        kind = memory_map.pages(self.zone)[block, page % PAGEBLOCK_PAGES]
        cut = bool(memory_map.split(self.zone)[block])
        return {"pfn": page, "pageblock": block, "is": memory_map.KINDS[kind][0], "split": cut}

    def show(self) -> None:
        """Draws everything anew."""
        grid = memory_map.pages(self.zone)
        self.map.pages = np.ascontiguousarray(grid).tobytes()
        self.numbers = {
            name: int((grid == k).sum()) for k, (name, _) in enumerate(memory_map.KINDS)
        }
        self.counts.value = self.figure()
        self.tell()

    def figure(self) -> bytes:
        """How many pages are what, as bars: a PNG."""
        style.apply()
        figure, axis = style.plt.subplots(figsize=(8.5, 2.4), layout="constrained")
        names = [name for name, _ in memory_map.KINDS[1:]]
        colours = [colour for _, colour in memory_map.KINDS[1:]]
        bars = axis.barh(names, [self.numbers[n] for n in names], color=colours, ec="#999999")
        axis.bar_label(bars, fmt="{:,.0f}", padding=4, fontsize=8)
        axis.invert_yaxis()
        axis.set(xlabel="pages", title=f"{self.arm.value}, {self.point.value}")
        axis.margins(x=0.12)
        file = io.BytesIO()
        figure.savefig(file, format="png")
        style.plt.close(figure)
        return file.getvalue()

    def tell(self) -> None:
        """Says what was clicked on."""
        page = self.picked
        told = "Click on the map: a row is two pageblocks, from the lowest page frame down."
        if page:
            cut = "split" if page["split"] else "whole"
            told = (
                f"pfn {page['pfn']:,} in pageblock {page['pageblock']}: {page['is']}; "
                f"its 2 MiB entry is {cut}."
            )
        self.said.value = f"<p>{told}</p>"
