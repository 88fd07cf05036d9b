"""On which flags a function branches, so that it does not compute what only one outcome needs.

Traced code chooses between values that are all computed. Of an expression that only one outcome of
a flag needs, the other outcome can do without: it is dominated, in the sense of compilers, by that
outcome (K. Cooper, T. Harvey, K. Kennedy, A Simple, Fast Dominance Algorithm, 2001).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from secretjax.mm.plan import NOWHERE
from secretjax.native.graph import BOOL, Graph

LEAST = 12  # expressions that a branch has to save, over both outcomes
MOST = 64  # ends of a function
PARTS = ("index", "value", "size")  # of a store
Point = int | tuple[int, bool]  # an expression, or an outcome of a flag; -1: the function


class Store(NamedTuple):
    """A word that a function writes to an array; one outside of it (`size`) is dropped."""

    array: str
    index: int
    value: int
    size: int  # words of the array, an expression


@dataclass
class Work:
    """What is to be written: all at once, or what is left of it at each outcome of a flag."""

    words: dict[str, int]
    stores: list[Store]
    flag: int | None = None
    outcomes: dict[bool, "Work"] = field(default_factory=dict)

    def roots(self, graph: Graph) -> list[int]:
        """All expressions that are needed to write it; a word that stays needs none."""
        changed = [x for name, x in self.words.items() if x != graph.var(name)]
        return changed + [getattr(s, part) for s in self.stores for part in PARTS]

    def where(self, graph: Graph, flag: int, value: bool) -> "Work":
        """What is left where the flag has this value."""
        roots = dict(self.words)
        for k, s in enumerate(self.stores):
            roots |= {f"{k} {part}": getattr(s, part) for part in PARTS}
        found = graph.specialized(roots, decided(graph, flag, value))
        stores = [
            s._replace(**{part: found[f"{k} {part}"] for part in PARTS})
            for k, s in enumerate(self.stores)
        ]
        words = {name: found[name] for name in self.words}
        return Work(words, [s for s in stores if graph.value(s.index) != NOWHERE])


def branched(graph: Graph, work: Work) -> Work:
    """The work with its branches, those that save most first."""
    waiting: list[tuple[int, int, int, Work]] = []
    number = count()  # no two are alike

    def consider(one: Work) -> None:
        flag, saves = best(graph, one.roots(graph))
        if saves >= LEAST:
            heappush(waiting, (-saves, next(number), flag, one))

    consider(work)
    for _ in range(MOST - 1):
        if not waiting:
            break
        *_, flag, one = heappop(waiting)
        one.flag = flag
        for value in (True, False):
            one.outcomes[value] = one.where(graph, flag, value)
            consider(one.outcomes[value])
    return work


def decided(graph: Graph, flag: int, value: bool) -> dict[int, int]:
    """{expression: constant} of all that this outcome of a flag decides."""
    known, todo = {}, [(flag, value)]
    while todo:
        number, value = todo.pop()
        known[number] = graph.const(value, BOOL)
        node = graph.nodes[number]
        if node.op == "not":
            todo.append((node.args[0], not value))
        elif (node.op, value) in (("and", True), ("or", False)):
            todo += [(arg, value) for arg in node.args]
    return known


def best(graph: Graph, roots: Iterable[int]) -> tuple[int, int]:
    """The flag whose outcomes save most, and how many expressions they save; 0: there is none."""
    saved = defaultdict[int, int](int)
    for point, weight in _dominated(graph, set(roots)).items():
        if isinstance(point, tuple):
            saved[point[0]] += weight
    flag = max(saved, key=lambda f: (saved[f], -f), default=-1)
    return flag, saved[flag]


def _needs(graph: Graph, number: int) -> Iterator[tuple[Point, int]]:
    """(through what, part) of an expression: itself, or an outcome that alone asks for the part."""
    node = graph.nodes[number]
    if node.op == "select":
        when, yes, no = node.args
        yield from ((number, when), ((when, True), yes), ((when, False), no))
    elif node.type == BOOL and node.op in ("and", "or"):
        one, other = node.args
        rest = node.op == "and"  # the outcome of the one with which the other still matters
        yield from (((other, rest), one), ((one, rest), other))
    else:
        yield from ((number, part) for part in node.args)


def _dominated(graph: Graph, roots: set[int]) -> dict[Point, int]:
    """How many expressions each point dominates."""
    parts: Mapping[Point, list[Point]] = defaultdict(list, {-1: sorted(roots)})
    for number in graph.reached(roots):
        for through, part in _needs(graph, number):
            if through != number and through not in parts[number]:
                parts[number].append(through)
            parts[through].append(part)
    order = _reversed_postorder(parts)
    place = {point: k for k, point in enumerate(order)}
    users = defaultdict(list)
    for point in order:
        for part in parts[point]:
            users[part].append(point)
    above = _immediate(order, place, users)
    free = lambda x: isinstance(x, tuple) or x == -1 or graph.nodes[x].op == "const"  # noqa: E731
    weight = {point: int(not free(point)) for point in order}
    for point in reversed(order[1:]):
        weight[above[point]] += weight[point]
    return weight


def _reversed_postorder(parts: Mapping[Point, list[Point]]) -> list[Point]:
    seen: set[Point] = {-1}
    order: list[Point] = []
    stack: list[tuple[Point, Iterator[Point]]] = [(-1, iter(parts[-1]))]
    while stack:
        point, rest = stack[-1]
        for part in rest:
            if part not in seen:
                seen.add(part)
                stack.append((part, iter(parts[part])))
                break
        else:
            order.append(point)
            stack.pop()
    return order[::-1]


def _immediate(order: list, place: Mapping, users: Mapping) -> dict[Point, Point]:
    """The immediate dominator of each point."""
    above: dict[Point, Point] = {-1: -1}

    def both(a: Point, b: Point) -> Point:
        while a != b:
            while place[a] > place[b]:
                a = above[a]
            while place[b] > place[a]:
                b = above[b]
        return a

    changed = True
    while changed:
        changed = False
        for point in order[1:]:
            known = [user for user in users[point] if user in above]
            new = known[0]
            for user in known[1:]:
                new = both(new, user)
            if above.get(point) != new:
                above[point], changed = new, True
    return above
