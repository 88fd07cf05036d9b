"""A state machine as a column of boxes that is read from top to bottom, as wide as a phone.

What follows below its box is a straight arrow; everything else leaves a box at the line that says
when, on the right if it is a refusal, and runs beside the boxes to where it goes.
"""

from collections.abc import Iterable
from textwrap import wrap
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from secretjax.show import style
from secretjax.show.states import Edge, Machine, Node

# Inches
WIDTH, LANE, EDGE, GAP = 2.85, 0.14, 0.04, 0.29
LINE, SMALL, PAD, ROUND = 0.165, 0.145, 0.07, 0.05
LETTERS = 28  # in a line
REFUSED = "#a84300"
FILL = {"start": style.INK, "ask": style.WHITE, "map": "#dcebf5", "good": "#00598c", "bad": REFUSED}
DARK = {"start", "good", "bad"}  # filled so that text is white


class Box(NamedTuple):
    """A node in its place, y downward. ports: height of the line of each edge that has one."""

    node: Node
    top: float
    bottom: float
    enter: float
    ports: dict[Edge, float]


def draw(machine: Machine) -> Figure:
    """The diagram of a machine."""
    style.apply()
    boxes = _stack(machine)
    lanes = {refused: _lanes(machine, boxes, refused) for refused in (False, True)}
    left = EDGE + LANE * (1 + max(lanes[False].values(), default=-1))
    right = WIDTH - EDGE - LANE * (1 + max(lanes[True].values(), default=-1))
    height = boxes[-1].bottom + EDGE
    figure = plt.figure(figsize=(WIDTH, height))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, WIDTH), ylim=(height, 0))
    axis.axis("off")
    axis.add_patch(Rectangle((0, 0), WIDTH, height, fc=style.WHITE, lw=0))
    for edge in machine.edges:
        box, target = boxes[edge.source], boxes[edge.target]
        if edge in box.ports:
            lane = lanes[edge.refused][edge.target]
            side, sign = (right, 1) if edge.refused else (left, -1)
            _around(axis, side, side + sign * LANE * (lane + 0.85), box.ports[edge], target.enter,
                    edge)  # fmt: skip
        else:
            _down(axis, (left + right) / 2, box.bottom, target.top, edge)
    for box in boxes:
        _box(axis, box, left, right)
    return figure


def _below(edge: Edge) -> bool:
    return edge.target == edge.source + 1


def _stack(machine: Machine) -> list[Box]:
    """The boxes, one below the other."""
    boxes, y = [], EDGE
    for place, node in enumerate(machine.nodes):
        asides = [e for e in machine.edges if e.source == place and not _below(e)]
        lines = len(wrap(node.text, LETTERS))
        at = y + PAD + LINE * lines + (SMALL if node.detail else 0)
        ports = {}
        for refused in (False, True):
            mine = [e for e in asides if e.refused == refused]
            # What has no label leaves beside the text.
            ports |= {e: at + SMALL * (k + 0.5) for k, e in enumerate(mine) if e.label}
            ports |= {e: at - SMALL / 2 for e in mine if not e.label}
        bottom = max([at, *(p + SMALL / 2 for p in ports.values())]) + PAD
        boxes.append(Box(node, y, bottom, y + PAD + LINE / 2, ports))
        y = bottom + GAP
    return boxes


def _lanes(machine: Machine, boxes: list[Box], refused: bool) -> dict[int, int]:
    """{target: lane on this side}; edges to one target share a lane, short ones are inside."""
    spans: dict[int, tuple[float, float]] = {}
    for edge in machine.edges:
        if edge.refused == refused and edge in boxes[edge.source].ports:
            ends = boxes[edge.source].ports[edge], boxes[edge.target].enter
            low, high = spans.get(edge.target, ends)
            spans[edge.target] = min(low, *ends), max(high, *ends)
    lanes: dict[int, int] = {}
    for target, (low, high) in sorted(spans.items(), key=lambda item: item[1][1] - item[1][0]):
        taken = {lanes[t] for t in lanes if spans[t][0] <= high and low <= spans[t][1]}
        lanes[target] = next(lane for lane in range(len(spans)) if lane not in taken)
    return lanes


def _look(edge: Edge) -> dict:
    """Of an arrow: what is refused can be told apart in grey too."""
    return {"color": REFUSED if edge.refused else style.INK, "lw": 1.2,
            "ls": (0, (3, 1.6)) if edge.refused else "-"}  # fmt: skip


def _head(axis: Axes, start: tuple[float, float], end: tuple[float, float], edge: Edge) -> None:
    colour = _look(edge)["color"]
    axis.annotate("", end, start, arrowprops={
        "arrowstyle": "-|>,head_length=0.35,head_width=0.18", "color": colour, "lw": 1.2,
        "shrinkA": 0, "shrinkB": 0,
    })  # fmt: skip


def _around(axis: Axes, side: float, lane: float, start: float, end: float, edge: Edge) -> None:
    axis.plot([side, lane, lane, side], [start, start, end, end], **_look(edge), zorder=1)
    _head(axis, (side + 0.9 * (lane - side), end), (side, end), edge)


def _down(axis: Axes, x: float, start: float, end: float, edge: Edge) -> None:
    axis.plot([x, x], [start, end], **_look(edge), zorder=1)
    _head(axis, (x, end - 0.1), (x, end), edge)
    axis.text(x + 0.08, (start + end) / 2, edge.label, fontsize=8, va="center",
              color=_look(edge)["color"])  # fmt: skip


def _box(axis: Axes, box: Box, left: float, right: float) -> None:
    node, dark = box.node, box.node.kind in DARK
    end = node.kind in ("good", "bad")
    size = right - left, box.bottom - box.top
    axis.add_patch(FancyBboxPatch(
        (left, box.top), *size, boxstyle=f"round,pad=0,rounding_size={3 * ROUND if end else ROUND}",
        fc=FILL[node.kind], ec=style.INK, lw=0 if dark else 0.9, zorder=2,
    ))  # fmt: skip
    ink = style.WHITE if dark else style.INK
    lines: Iterable[str] = wrap(node.text, LETTERS)
    y = box.enter
    for line in lines:
        axis.text((left + right) / 2, y, line, ha="center", va="center", color=ink, fontsize=9,
                  fontweight="bold" if node.kind == "start" else "normal")  # fmt: skip
        y += LINE
    axis.text((left + right) / 2, y - 0.01, node.detail, ha="center", va="center", fontsize=7.6,
              color=ink if dark else "#555555")  # fmt: skip
    for edge, at in box.ports.items():
        x, align = (right - 0.06, "right") if edge.refused else (left + 0.06, "left")
        colour = ink if dark else _look(edge)["color"]
        axis.text(x, at, edge.label, ha=align, va="center", fontsize=8, color=colour)
