"""The state diagram of a proposal, found by driving it: what it asks for, and what follows.

Each event is answered in every way that a zone can answer, so a diagram shows what the code does.
"""

from dataclasses import dataclass, field
from textwrap import fill

import jax.numpy as jnp
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secretjax.mm.state import Op
from secretjax.mm.words import PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Migratetype
from secretjax.proposals.base import Ask, Own, Proposal, Result, When
from secretjax.show import style

PAGE = 5 * PAGEBLOCK_PAGES  # any pageblock's first pfn
EVENTS = {
    When.FILL: "Before the demand",
    When.FAULT: "A page is touched for the first time",
    When.RESERVE: "mmap, behind a reservation",
    When.RELEASE: "A page goes with its file",
    When.SHRINK: "Idle pageblocks are asked back",
}
ENDS = {Result.DONE: "done", Result.SINGLE: "done, a single page", Result.REFUSED: "refused"}
YES, NO = "granted", "not to be had"
POOLED = "put the 2 MiB block on the pool's lists"
GOOD, BAD = "#dfe8f3", "#f3d9cf"
GATHERS = (When.RESERVE, When.FILL)
WIDTH, HEIGHT, WRAP = 2.15, 0.78, 15  # of a box with its arrow, in inches; letters a line


@dataclass
class Box:
    """What is asked for, or how it ends; then, by answer, what follows.

    again: it is drawn elsewhere with what follows.
    """

    text: str
    follows: list[tuple[str, "Box"]] = field(default_factory=list)
    ends: bool = False
    again: bool = False


def said(command) -> str:
    """A command in words."""
    op, order = Op(int(command.op)), int(command.order)
    many = "2 MiB block" if order >= PAGEBLOCK_ORDER else "page"
    if op in (Op.ALLOC, Op.GET):
        pool = op == Op.ALLOC and int(command.type) == Migratetype.POOL
        return f"take a {many} from the {'pool' if pool else 'buddy'}"
    return {
        Op.NOTHING: "look for more",
        Op.UNMAP: f"remove the {many} from the direct map",
        Op.MAP: f"put the {many} back into the direct map",
        Op.TAKE: "empty a range by migration and take 2 MiB",
        Op.NOTE: "take the file's next page",
        Op.FREE: f"give the {many} back",
        Op.PUT: f"give the {many} back",
    }[op]


def answers(proposal: Proposal, command, event: When) -> list[tuple[int, str]]:
    """What a zone can answer, and in words (`mm.machine.step`)."""
    op = Op(int(command.op))
    if op == Op.MAP and event == When.RELEASE and proposal.pool:
        single = [(0, "a single page")] if proposal.fallback else []
        whole = [(PAGEBLOCK_ORDER, "first of a block"), (-2, "inside a block")]
        return [*([(16, "of the pool")] if proposal.shared else whole), *single]
    if op in (Op.PUT, Op.FREE, Op.MAP, Op.NOTE, Op.NOTHING):
        return [(0, "")]
    return [(PAGE, YES), (-1, NO)]


def begins(proposal: Proposal, event: When) -> list[Own]:
    """Registers that an event can meet: an empty pool, one with room, one that is wholly idle."""
    own = Own(*(jnp.int32(0) for _ in Own._fields))
    if not proposal.pool or event == When.RELEASE:
        return [own]
    whole, more = jnp.int32(PAGEBLOCK_PAGES), jnp.int32(PAGEBLOCK_PAGES - 3)
    room = own._replace(chunk=jnp.int32(PAGE), room=more, pool=whole, held=jnp.int32(3))
    idle = own._replace(pool=whole)
    return {When.FAULT: [room, own], When.SHRINK: [idle]}.get(event, [own])


def follow(proposal: Proposal, event: When) -> list[Box]:
    """A tree for each situation that the event can meet; none if there is nothing to do."""
    ask = Ask(*map(jnp.int32, (event, 7, 0, PAGEBLOCK_PAGES if event in GATHERS else 0)))
    drawn: dict[tuple[int, str], Box] = {}

    def box(own: Own, via: str = "") -> Box:
        command = proposal.command(own, ask)
        key = int(own.stage), POOLED if pooled(command, via) else said(command)
        if key in drawn:
            return Box(key[1], again=True)
        here = drawn[key] = Box(key[1])
        for answer, words in answers(proposal, command, event):
            turn = proposal.advance(own, ask, jnp.int32(answer))
            here.follows.append(
                (words, box(turn.own, words) if turn.result == Result.ON else end(turn))
            )
        return here

    def end(turn) -> Box:
        result = Result(int(turn.result))
        single = result == Result.SINGLE and not proposal.pool
        return Box(ENDS[Result.DONE if single else result], ends=True)

    def pooled(command, via: str) -> bool:
        return event != When.SHRINK and via == YES and int(command.op) == Op.PUT

    met = begins(proposal, event)
    roots = [box(own) for own in met if int(proposal.command(own, ask).op) != Op.NOTHING]
    return [root for root in roots if not root.again]


def draw(proposal: Proposal) -> Figure:
    """A tree of boxes and arrows for each event that the proposal answers."""
    trees = {event: follow(proposal, event) for event in EVENTS if answered(proposal, event)}
    trees = {event: roots for event, roots in trees.items() if roots}
    places = {event: placed(roots) for event, roots in trees.items()}
    tall = [max(y for _, _, y in p) + 1 for p in places.values()]
    wide = max(x for p in places.values() for _, x, _ in p) + 1
    style.apply()
    figure, axes = plt.subplots(
        len(trees), 1, squeeze=False, layout="constrained", height_ratios=tall,
        figsize=(WIDTH * wide, HEIGHT * sum(tall) + 0.4 * len(trees)),
    )  # fmt: skip
    for axis, (event, boxes), rows in zip(axes.flat, places.items(), tall, strict=True):
        axis.set(xlim=(-0.45, wide - 0.55), ylim=(rows - 0.5, -0.5))
        axis.axis("off")
        axis.set_title(EVENTS[event], loc="left", fontsize=11, fontweight="bold")
        _draw(axis, boxes)
    return figure


def answered(proposal: Proposal, event: When) -> bool:
    """Whether the event can happen to it."""
    if event == When.FILL:
        return proposal.fill(1 << 20) > 0
    return event in (When.FAULT, When.RELEASE) or (proposal.pool and proposal.shared)


def placed(roots: list[Box]) -> list[tuple[Box, int, int]]:
    """Each box with its column and row: what follows first stands beside it, the rest below."""
    found: list[tuple[Box, int, int]] = []

    def put(box: Box, column: int, row: int) -> int:
        found.append((box, column, row))
        below = row
        for number, (_, after) in enumerate(box.follows):
            below = put(after, column + 1, row if number == 0 else below + 1)
        return below

    row = -1
    for root in roots:
        row = put(root, 0, row + 1)
    return found


def _draw(axis: Axes, boxes: list[tuple[Box, int, int]]) -> None:
    patches = {}
    for box, x, y in boxes:
        face = style.WHITE if not box.ends else BAD if box.text == ENDS[Result.REFUSED] else GOOD
        look = {"boxstyle": "round,pad=0.45", "fc": face, "ec": style.INK, "lw": 0.9}
        look |= {"linestyle": ":"} if box.again else {}
        text = fill(f"{box.text} (as above)" if box.again else box.text, WRAP)
        drawn = axis.text(x, y, text, ha="center", va="center", fontsize=9, color=style.INK,
                          bbox=look, zorder=3)  # fmt: skip
        patches[id(box)] = drawn.get_bbox_patch()
    at = {id(box): (x, y) for box, x, y in boxes}
    for box, x, y in boxes:
        for words, after in box.follows:
            to_x, to_y = at[id(after)]
            bent = "arc3" if to_y == y else "angle,angleA=-90,angleB=180,rad=4"
            axis.annotate("", (to_x, to_y), (x, y), zorder=2, arrowprops={
                "arrowstyle": "-|>", "lw": 1.1, "color": style.INK,
                "linestyle": "--" if words == NO else "-", "connectionstyle": bent,
                "patchA": patches[id(box)], "patchB": patches[id(after)],
            })  # fmt: skip
            if words:
                axis.text(to_x - 0.5, to_y, words, fontsize=7.5, ha="center", va="center",
                          color=style.QUIET, zorder=4,
                          bbox={"fc": style.WHITE, "ec": "none", "pad": 0.6})  # fmt: skip
