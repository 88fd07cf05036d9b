"""The state machine of a proposal, found by driving it: every event, every answer of a zone.

Nothing here knows a proposal. Its `command` and `advance` are asked, from registers of every kind
(`REGISTERS`), what they want and what follows from each answer that the zone can give. Commands
that ask alike and go on alike are one state.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from secretjax.errors import UserError
from secretjax.mm.layout import IN_POOL, Use
from secretjax.mm.state import Command, Op
from secretjax.mm.words import (
    DIRECT,
    LIGHT,
    NORETRY,
    PAGEBLOCK_ORDER,
    PAGEBLOCK_PAGES,
    Migratetype,
    Secret,
)
from secretjax.proposals.base import Ask, Own, Pooled, Proposal, Result, Turn, When

HANDLE, PFN = 7, 10 * PAGEBLOCK_PAGES
REFUSED, INSIDE, POOLED = -1, -2, 16  # answers to MAP beside orders, see mm/directmap.py: remap
MOST = 64  # steps that ask for nothing
REGISTERS = {  # what an event may find, in every combination; need: beyond what the pool has
    "first": (0, 1),
    "room": (0, 300),
    "pool": (0, PAGEBLOCK_PAGES, 10 * PAGEBLOCK_PAGES),
    "held": (0, 212),
    "need": (-PAGEBLOCK_PAGES, 1, 10 * PAGEBLOCK_PAGES),
}
# What a way may be chosen by: in words, otherwise, and read off the registers and the event.
READS: tuple[tuple[str, str, Callable[[Own, Ask], Any]], ...] = (
    ("room in its block", "no room", lambda own, ask: own.room > 0 and not ask.first),
    ("the pool has enough", "not enough", lambda own, ask: own.pool >= ask.need),
    (
        "a block to spare",
        "none to spare",
        lambda own, ask: (
            own.pool - PAGEBLOCK_PAGES >= max(own.held - own.singles + own.reserved, own.least)
        ),
    ),
)
EVENTS = {
    When.FAULT: "A page is touched",
    When.RELEASE: "A page of a file goes",
    When.RESERVE: "mmap, reserved",
    When.FILL: "Filled beforehand",
    When.SHRINK: "Asked to shrink",
}
HANDED = {0: "a single page", PAGEBLOCK_ORDER: "a 2 MiB block", POOLED: "a page of the pool"}
MAY = {DIRECT: "reclaims, compacts", NORETRY: "gives up early", LIGHT: "only what is free"}


class Node(NamedTuple):
    """A state. kind: start, ask (the zone), map (of them, the direct map), good or bad (ends)."""

    text: str
    kind: str
    detail: str = ""


class Edge(NamedTuple):
    """What follows, by the places of two nodes; refused: the zone said no."""

    source: int
    target: int
    label: str
    refused: bool


class Machine(NamedTuple):
    """What a proposal does at an event: nodes in the order to read them, the start first."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def shape(self) -> tuple[Any, ...]:
        """Without its words."""
        return self.title, tuple(node.kind for node in self.nodes), self.edges

    def sentence(self) -> str:
        """The same in words, for who cannot see it."""
        told = []
        for place, node in enumerate(self.nodes):
            ways = [e for e in self.edges if e.source == place]
            after = [f"{e.label or 'then'}, {self.nodes[e.target].text}" for e in ways]
            if ways:
                told.append(f"{node.text}: {'; '.join(after)}.")
        return " ".join(told)


class Config(NamedTuple):
    """A proposal within an event, or at its end.

    use   of the block in hand
    got   what the page that was touched is now, as MAP would answer
    """

    own: Own
    ask: Ask
    result: int = Result.ON
    use: int = 0
    got: int | None = None

    @property
    def pooled(self) -> bool:
        """Whether the block in hand goes to the pool's lists (`mm.machine.look`)."""
        return self.use & IN_POOL == IN_POOL


class Key(NamedTuple):
    """Where a proposal stands: a stage and what it asks for, or how the event ended."""

    stage: int
    node: Node


class Way(NamedTuple):
    """One step as it was seen, and what the registers read."""

    source: Key
    answer: str
    refused: bool
    target: Key
    reads: tuple[bool, ...]


def machines(proposal: Proposal) -> list[Machine]:
    """What the proposal does at each event that reaches it and at which it does anything.

    Events of a pool reach only one that all files share. Events that go alike are one machine.
    """
    drive, shared = _driver(proposal), proposal.pool and cast(Pooled, proposal).shared
    granted: set[int] = set()
    found: dict[Any, list[str]] = {}
    for when in EVENTS:
        if when in (When.FAULT, When.RELEASE) or shared:
            explorer = _Explorer(proposal, drive, when, granted)
            nodes, edges = _merged(list(explorer.ways()))
            granted |= explorer.granted
            if len(nodes) > 2:
                found.setdefault((nodes[1:], edges), []).append(_title(when, proposal))
    made = []
    for (nodes, edges), titles in found.items():
        title = " / ".join([titles[0], *(t[:1].lower() + t[1:] for t in titles[1:])])
        made.append(Machine(title, (Node(title, "start"), *nodes), edges))
    return made


def variants(proposal: type[Proposal]) -> Iterator[tuple[str, Proposal]]:
    """(option and value, proposal) of every value that one option may have instead of its default.

    Numbers are left as they are, and what the proposal itself refuses is left out.
    """
    plain = proposal()
    for field in dataclasses.fields(proposal):
        values = (True, False) if field.type is bool else getattr(field.type, "__args__", ())
        for value in values if field.init else ():
            if value != getattr(plain, field.name):
                try:
                    other = proposal(**{field.name: value})
                except ValueError:
                    continue
                yield f"{field.name}: {str(value).lower()}", other


def moved(proposal: Proposal) -> str:
    """What becomes of its secret pages when others want their place, in a sentence; "" nothing."""
    bits = proposal.secret
    if not bits & Secret.MOVES:
        return ""
    way = "the direct map" if bits & Secret.DIRECT_MAP else "a temporary mapping of one CPU"
    place = ", only into pageblocks that are split already" if bits & Secret.GROUPED else ""
    return f"Compaction may move its single pages, copied through {way}{place}."


def _title(when: When, proposal: Proposal) -> str:
    if when == When.SHRINK and proposal.yields:
        return "Others are refused a huge page"
    if when == When.SHRINK and not cast(Pooled, proposal).keep_idle:
        return "A file has ended"
    return EVENTS[when]


def _driver(proposal: Proposal) -> Callable:
    """(command, turn) as integers, at these registers, event and answer."""
    cut = len(Own._fields), len(Own._fields) + len(Ask._fields)

    @jax.jit
    def traced(words):
        own, ask = Own(*words[: cut[0]]), Ask(*words[cut[0] : cut[1]])
        asked, turn = proposal.command(own, ask), proposal.advance(own, ask, words[cut[1]])
        return jnp.stack([*asked, *turn.own, turn.result])

    @cache
    def drive(own: Own, ask: Ask, answer: int) -> tuple[Command, Turn]:
        told = np.asarray(traced(np.array([*own, *ask, answer], np.int32))).tolist()
        asked = len(Command._fields)
        return Command(*told[:asked]), Turn(Own(*told[asked:-1]), told[-1])

    return drive


class _Explorer:
    """Every way through one event. granted: what pages can be that were handed out, as MAP says."""

    def __init__(self, proposal: Proposal, drive: Callable, when: When, granted: set[int]):
        self.proposal, self.drive, self.when = proposal, drive, when
        self.known, self.granted = sorted(granted), set[int]()

    def ways(self) -> Iterator[Way]:
        """All steps; where the registers read alike, they are looked at once."""
        seen = set()
        start = Key(0, Node("", "start"))
        for chosen in itertools.product(*REGISTERS.values()):
            todo = [(start, "", False, self.begin(*chosen))]
            while todo:
                source, answer, refused, config = todo.pop()
                reads = tuple(rule(config.own, config.ask) for _, _, rule in READS)
                target, config, asked = self.settle(config)
                yield Way(source, answer, refused, target, reads)
                mark = chosen, target, reads, config.got
                if asked and mark not in seen:
                    seen.add(mark)
                    todo += [(target, *after) for after in self.answered(config, asked)]

    def begin(self, first: int, room: int, pool: int, held: int, need: int) -> Config:
        """At the start of the event."""
        own: dict[str, Any] = dict.fromkeys(Own._fields, 0)
        own |= {"chunk": PFN, "room": room, "pool": pool, "held": min(held, pool)}
        ask: list[Any] = [int(self.when), HANDLE, first, pool + need]
        return Config(Own(**own), Ask(*ask))

    def settle(self, config: Config) -> tuple[Key, Config, Command | None]:
        """Where the event stands when it asks for what the zone can answer, or is over."""
        for _ in range(MOST):
            if config.result != Result.ON:
                good = config.result != Result.REFUSED
                if good and self.when == When.FAULT and config.got is not None:
                    self.granted.add(config.got)
                text = _end(self.when, config.result, self.proposal)
                return Key(0, Node(text, "good" if good else "bad")), config, None
            command, _ = self.drive(config.own, config.ask, 0)
            answers = self.answers(command)
            if answers:
                asked = _asked(command, config.pooled, self.proposal.hides)
                return Key(cast(int, config.own.stage), asked), config, command
            config = self.told(config, command, self.only_answer(command))
        raise UserError(
            f"proposal '{self.proposal.name}': asks for nothing {MOST} times and does not end; "
            "its `advance` has to end an event or to go on to a command"
        )

    def answered(self, config: Config, command: Command) -> Iterator[tuple[str, bool, Config]]:
        """(in words, whether it is a refusal, what follows) of each answer."""
        for word, answer in self.answers(command):
            yield word, answer == REFUSED, self.told(config, command, answer)

    def told(self, config: Config, command: Command, answer: int) -> Config:
        """After an answer."""
        _, turn = self.drive(config.own, config.ask, answer)
        config = config._replace(own=turn.own, result=turn.result)
        mine = answer >= 0 and command.owner == HANDLE
        if command.op in (Op.ALLOC, Op.GET, Op.TAKE) and answer >= 0:
            config = config._replace(use=command.use)
            if mine:
                config = config._replace(got=_order(command) | POOLED * config.pooled)
        if command.op == Op.UNMAP and answer >= 0:
            config = config._replace(use=config.use | Use.UNMAPPED)
        if command.op == Op.MAP:
            config = config._replace(use=IN_POOL if answer >= 0 and answer & POOLED else 0)
        return config._replace(got=INSIDE) if mine and command.op == Op.NOTE else config

    def answers(self, command: Command) -> list[tuple[str, int]]:
        """(in words, number) of what the zone may say; none where it does nothing."""
        if command.op in (Op.ALLOC, Op.GET, Op.TAKE, Op.UNMAP):
            granted = 0 if command.op == Op.UNMAP else PFN
            forbidden = command.op == Op.TAKE and command.order == 0  # no try at all
            return [] if forbidden else [("", granted), ("refused", REFUSED)]
        if command.op == Op.MAP and command.handle == HANDLE:
            one = len(self.known) == 1
            words = {**HANDED, INSIDE: "inside a block"}
            some = any(page < POOLED for page in self.known)
            return [("" if one else words[p], p) for p in self.known] if some else []
        if command.op == Op.NOTHING:
            return []
        return [("", PAGEBLOCK_ORDER if command.op == Op.MAP else 0)]

    def only_answer(self, command: Command) -> int:
        """To a command that changes nothing."""
        if command.op == Op.TAKE:
            return REFUSED
        return self.known[0] if command.op == Op.MAP and self.known else 0


def _order(command: Command) -> int:
    return PAGEBLOCK_ORDER if command.op == Op.TAKE else cast(int, command.order)


def _size(order: int) -> str:
    words = {0: "1 page", PAGEBLOCK_ORDER: "2 MiB block"}
    return words.get(order, f"block of order {order}")


def _asked(command: Command, pooled: bool, hides: bool) -> Node:
    """A command in words."""
    op, size = cast(Op, command.op), _size(_order(command))
    if op == Op.ALLOC and command.type == Migratetype.POOL:
        return Node(f"take {size} of the pool", "ask")
    if op in (Op.ALLOC, Op.GET):
        type_ = Migratetype(command.type).name if command.type >= 0 else ""
        detail = ", ".join(filter(None, [type_, MAY.get(cast(int, command.compact), "")]))
        verb = "allocate" if command.order == 0 else "take"
        return Node(f"{verb} {size}", "ask", detail)
    page = "page" if command.order == 0 else size
    words = {
        Op.TAKE: (f"take {size}", "of the CMA area, by migration"),
        Op.NOTE: ("next page of its block", ""),
        Op.UNMAP: ("remove from direct map", "" if command.order == 0 else f"the {page}, one call"),
        Op.MAP: ("back into direct map" if hides else "look up its block", ""),
        Op.PUT: ("put into the pool" if pooled else "give back", f"the {page}"),
    }
    text, detail = words.get(op, (Op(op).name.lower(), ""))
    return Node(text, "map" if hides and op in (Op.UNMAP, Op.MAP) else "ask", detail)


def _end(when: When, result: int, proposal: Proposal) -> str:
    """How an event ends, in words."""
    if result == Result.REFUSED:
        refused = "refused: OOM killer" if proposal.kills else "refused: SIGBUS"
        return refused if when == When.FAULT else "refused: pool too small"
    if when == When.FAULT:
        return "single page" if proposal.pool and result == Result.SINGLE else "page handed out"
    return "the pool is large enough" if when in (When.RESERVE, When.FILL) else "done"


def _merged(ways: list[Way]) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """Alike states as one (Moore's partition), and what leads from one to another."""
    after = defaultdict(set)
    for way in ways:
        after[way.source].add((way.answer, way.target))
        after[way.target]  # an end is a state too
    part: dict[Key, Any] = {key: key.node for key in after}
    while True:
        marks = {k: (part[k], frozenset((a, part[t]) for a, t in after[k])) for k in after}
        names = {mark: place for place, mark in enumerate(dict.fromkeys(marks.values()))}
        if len(names) == len(set(part.values())):
            break
        part = {key: names[mark] for key, mark in marks.items()}
    seen = defaultdict(lambda: defaultdict(set))
    for way in ways:
        seen[part[way.source], way.answer, way.refused][part[way.target]].add(way.reads)
    leads = defaultdict(list)
    for (source, answer, refused), targets in sorted(seen.items(), key=lambda item: item[0][2]):
        for target, condition in _conditions(targets):
            label = ", ".join(filter(None, [answer, condition]))
            leads[source].append((target, label, refused))
    order = _in_order(part[ways[0].source], leads)
    node = {part[key]: key.node for key in after}
    edges = [
        Edge(order.index(source), order.index(target), label, refused)
        for source in order
        for target, label, refused in leads[source]
    ]
    return tuple(node[place] for place in order), tuple(edges)


def _conditions(targets: dict[Any, set]) -> Iterator[tuple[Any, str]]:
    """(target, when it is taken) where one answer leads to several; first where it reads true."""
    for place, (yes, no, _) in enumerate(READS):
        truth = {t: {reads[place] for reads in found} for t, found in targets.items()}
        if len(targets) == 2 and sorted(map(sorted, truth.values())) == [[False], [True]]:
            for target in sorted(targets, key=lambda t: truth[t] == {False}):
                yield target, yes if truth[target] == {True} else no
            return
    yield from ((target, "" if len(targets) == 1 else "or") for target in targets)


def _in_order(start: Any, leads: dict[Any, list]) -> list[Any]:
    """States by depth first, what is granted before what is refused."""
    order, todo = [], [start]
    while todo:
        here = todo.pop()
        if here not in order:
            order.append(here)
            todo += [target for target, _, _ in reversed(leads[here])]
    return order
