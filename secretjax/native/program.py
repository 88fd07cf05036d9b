"""What asks a zone, as native code: the rules of an arm, or a recorded stream.

`i32 run(row, arrays, step, limit)` lets a state go on to its stop, `step` being the zone's
(`native.zone`). It returns 0, or 1 when so many steps were not enough. There is a function for each
op that a row of a script may have.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import jax

from secretjax.mm.state import Op
from secretjax.native import emit, lane
from secretjax.native.emit import Function, Store
from secretjax.native.graph import BOOL, Graph
from secretjax.native.trace import CannotTrace, Lazy, Trace
from secretjax.program import blank
from secretjax.rules import Rules
from secretjax.workloads import _recorded as recorded
from secretjax.workloads.base import Do

RUN = """
define i32 @run(ptr %row, ptr %arrays, ptr %step, i64 %limit) #0 {{
entry:
  %own.pc = getelementptr i32, ptr %row, i32 {pc}
  %own.stop = getelementptr i32, ptr %row, i32 {stop}
  %finished = getelementptr i32, ptr %row, i32 {finished}
  %now.free = getelementptr i32, ptr %row, i32 {now_free}
  %before = getelementptr i32, ptr %row, i32 {free}
  br label %begin
begin:
  %n = phi i64 [0, %entry], [%next, %over], [%next, %same]
  %op = call i32 @fetch(ptr %row, ptr %arrays)
{asks}
go:
  %m = phi i64 [%n, %asked], [%next, %same]
  %free = load i32, ptr %now.free
  store i32 %free, ptr %before
  %kind = call i32 %step(ptr %row, ptr %arrays)
  %next = add i64 %m, 1
  %pc = load i32, ptr %own.pc
  %stop = load i32, ptr %own.stop
  %waits = icmp sge i32 %pc, %stop
  %idle = icmp eq i32 %kind, 0
  %done = and i1 %waits, %idle
  br i1 %done, label %end, label %counts
counts:
  %late = icmp sge i64 %next, %limit
  br i1 %late, label %stuck, label %stepped
stepped:
  %flag = load i32, ptr %finished
  %on = icmp ne i32 %flag, 0
  %goes = xor i1 %waits, true
  %follows = and i1 %on, %goes
  br i1 %follows, label %after, label %same
same:
  call void @settle(ptr %row, ptr %arrays)
  br i1 {volatile}, label %begin, label %go
after:
{afters}
over:
  call void @settle(ptr %row, ptr %arrays)
  br label %begin
end:
  ret i32 0
stuck:
  ret i32 1
}}
"""


class Asks(NamedTuple):
    """Whoever asks the zone.

    own     its registers, a tree without arrays
    ops     that a row may have
    ask     (me, word, count, free) -> Command
    after   (me, word, count, free, stalls, finished, answer) -> me, the step being over
    switch  (me with tables) -> me with tables, where `me.switches`; None: never
    settle  me -> me after every step; None: nothing

    word, count: of the row in force; free: pages before the step.
    """

    own: object
    ops: Iterable[int]
    ask: Callable
    after: Callable
    switch: Callable | None = None
    settle: Callable | None = None


def of_stream() -> Asks:
    """A recorded stream."""
    return Asks(
        own=recorded.Cursor(*cast(Any, (0, 0))),
        ops=Op,
        ask=lambda me, word, count, free: recorded.decode(word, count),
        after=lambda me, word, count, free, stalls, finished, answer: recorded.advance(
            me, finished, answer
        ),
    )


def of_arm(rules: Rules) -> Asks:
    """The rules of an arm."""

    def after(me, word, count, free, stalls, finished, answer):
        return rules.after(me, rules.row(me, word, count), free, stalls, finished, answer)

    return Asks(
        own=blank(),
        ops=(*Op, *Do),
        ask=lambda *asked: rules.ask(*asked)[1],
        after=after,
        switch=rules.switched,
        settle=rules.owing if rules.reserves else None,
    )


class _Module:
    """One module in the making."""

    def __init__(self, asks: Asks):
        self.asks, self.layout = asks, lane.Lane.of(asks.own)
        self.graph = Graph()
        self.trace = Trace(self.graph)
        self.me = lane.words(self.graph, asks.own, "own")
        self.row = (self.graph.var("word"), self.graph.var("count"))
        self.texts: list[str] = []

    def function(self, name: str, words: dict, stores=(), returns=None) -> None:
        """One more function that writes these words."""
        function = Function(self.graph, self.layout)
        if returns is None:
            function.finish(words, stores)
        else:
            function.store(words, stores)
        self.texts.append(function.text(name, returns))

    def own(self, me) -> dict:
        """{word: expression} of the registers."""
        return dict(zip(lane.paths(self.asks.own, "own"), jax.tree.leaves(me), strict=True))

    def fetch(self) -> None:
        """The row in force; returns its op."""
        word, count = self.trace(recorded.fetch, self.me, lane.script())
        op = self.graph.make("and", word, self.graph.const(31))
        self.function("fetch", {"word": word, "count": count}, returns=op)

    def ask(self) -> bool:
        """The command of each op; returns whether one depends on how much memory is free."""
        free = self.graph.var("now.free")
        asked = self.trace(self.asks.ask, self.me, *self.row, free)
        roots = {f"command.{name}": x for name, x in asked._asdict().items()}
        for op in sorted({int(op) for op in self.asks.ops}):
            self.function(f"ask{op}", self.graph.specialized(roots, self._op(op)))
        return "now.free" in self.graph.variables(roots.values())

    def after(self) -> None:
        """What follows a step that finished a command, for each op."""
        graph = self.graph
        finished = graph.var("finished", BOOL)
        told = (graph.var("free"), graph.var("now.stalls"), finished, graph.var("answer"))
        roots = self.own(self.trace(self.asks.after, self.me, *self.row, *told))
        known = {finished: graph.const(1, BOOL)}
        known[graph.make("lt", graph.var("own.pc"), graph.var("own.stop"))] = graph.const(1, BOOL)
        for op in sorted({int(op) for op in self.asks.ops}):
            self.function(f"after{op}", graph.specialized(roots, known | self._op(op)))

    def _op(self, op: int) -> dict[int, int]:
        graph = self.graph
        return {graph.make("and", self.row[0], graph.const(31)): graph.const(op)}

    def settle(self) -> None:
        """What is done after every step."""
        settle = self.asks.settle
        self.function("settle", self.own(self.trace(settle, self.me)) if settle else {})

    def switch(self) -> None:
        """Another process runs."""
        if self.asks.switch is None:
            self.function("switch", {})
            return
        me = self.trace(self.asks.switch, self.me._replace(tables=lane.tables()))
        stores = []
        for name, table in me.tables._asdict().items():
            stores += self._rows(f"tables.{name}", table)
        self.function("switch", self.own(me._replace(tables=None)), stores)

    def _rows(self, name: str, table: Lazy) -> list[Store]:
        """The writes that make a table this one: of one row, `select(i == row, new, old)`."""
        graph, (length, *rest) = self.graph, table.shape
        i, found = graph.var("i"), []
        width = rest[0] if rest else 1
        for k in range(width):
            element = table.at(i, *[graph.const(k)] * len(rest))
            place = lambda row, k=k: graph.make(  # noqa: E731
                "add", graph.make("mul", row, graph.const(width)), graph.const(k)
            )
            if element == graph.load(name, place(i)):
                continue
            node = graph.nodes[element]
            test = graph.nodes[node.args[0]] if node.op == "select" else None
            if (
                test is None
                or test.op != "eq"
                or i not in test.args
                or node.args[2] != graph.load(name, place(i))
            ):
                raise CannotTrace(f"writes to {name} that are not those of one row")
            row = test.args[0] if test.args[1] == i else test.args[1]
            found.append(Store(name, place(row), node.args[1], graph.const(length * width)))
        return found

    def text(self) -> str:
        """The whole module; `run` comes first."""
        self.fetch()
        volatile = self.ask()
        self.after()
        self.settle()
        self.switch()
        ops = sorted({int(op) for op in self.asks.ops})
        at = self.layout.words
        run = RUN.format(
            pc=at["own.pc"],
            stop=at["own.stop"],
            finished=at["finished"],
            now_free=at["now.free"],
            free=at["free"],
            volatile=str(volatile).lower(),
            asks=self._dispatch("ask", ops, "asked"),
            afters=self._dispatch("after", ops, "over"),
        )
        return "\n".join([emit.HEADER, run, *self.texts, "!0 = !{}"])

    def _dispatch(self, name: str, ops: list[int], then: str) -> str:
        """Calls the function of the op, then goes on at a label."""
        cases = {op: f"{name}.{op}" for op in ops}
        lines = [emit.switch("%op", cases, f"{name}.done")]
        for op, label in cases.items():
            call = f"  call void @{name}{op}(ptr %row, ptr %arrays)"
            lines += [f"{label}:", call, f"  br label %{name}.done"]
        return "\n".join([*lines, f"{name}.done:", *self._ends(name, then)])

    def _ends(self, name: str, then: str) -> list[str]:
        """After the ask, on with the step; after the rest, another process where it is time."""
        if name == "ask":
            return [f"  br label %{then}", f"{then}:", "  br label %go"]
        if self.asks.switch is None:
            return [f"  br label %{then}"]
        return [
            f"  %place = getelementptr i32, ptr %row, i32 {self.layout.words['own.switches']}",
            "  %switches = load i32, ptr %place",
            "  %due = icmp ne i32 %switches, 0",
            f"  br i1 %due, label %another, label %{then}",
            "another:",
            "  call void @switch(ptr %row, ptr %arrays)",
            f"  br label %{then}",
        ]


def module(asks: Asks) -> tuple[str, lane.Lane]:
    """The text of the module, and how a lane of it is laid out.

    Raises `CannotTrace` where a rule uses what native code cannot do.
    """
    made = _Module(asks)
    return made.text(), made.layout
