"""The step of a zone as native code: a function for each kind of step.

`i32 step(row, arrays)` does one step, with the command that stands in the row, and returns its
kind. What the step decides is written at its end, where XLA's program does it at the next one.
"""

from typing import Any

from secretjax.mm.machine import bare, kind_of
from secretjax.mm.plan import NOWHERE
from secretjax.mm.state import FULL, Op, Phase, Registers, Tick
from secretjax.native import emit, lane
from secretjax.native.emit import Function, Store
from secretjax.native.graph import Graph
from secretjax.native.trace import Trace

FIRST_PHASE = min(p for p in Phase if p != Phase.FETCH)
ROOM = {"link": "size.link", "block": "size.block", "handle": "size.handle"}


def module(layout: lane.Lane) -> str:
    """The text of the whole module. layout: of any lane, whose first words are the zone's."""
    graph = Graph()
    trace, zone, asked = Trace(graph), lane.zone(graph), lane.command(graph)
    kind = graph.var("kind")
    after, finished, answer = trace(bare, zone, asked, kind, graph.var("pages"))
    roots = {f"now.{name}": x for name, x in after.now._asdict().items()}
    roots |= after.writes._asdict() | {"finished": finished, "answer": answer}
    kinds = sorted({int(k) for k in (*Op, *Phase)})
    texts = []
    for k in kinds:
        known: dict[Any, int] = {kind: graph.const(k)}
        if k < FIRST_PHASE:  # begins a command
            known[zone.now.phase] = graph.const(int(Phase.FETCH))
        texts.append(_kind(trace, layout, k, graph.specialized(roots, known)))
    chosen = Function(graph, layout).text("kind", trace(kind_of, zone.now, asked))
    return "\n".join([emit.HEADER, _dispatch(kinds), chosen, *texts, "!0 = !{}"])


def _kind(trace: Trace, layout: lane.Lane, kind: int, roots: dict) -> str:
    """The step of one kind."""
    graph = trace.graph
    stores = [("link", roots[f"cell{slot}"], roots[f"word{slot}"]) for slot in range(6)]
    stores += [(name, roots[name], roots[f"{name}_word"]) for name in ("block", "handle")]
    stores = [
        Store(array, index, value, graph.var(ROOM[array]))
        for array, index, value in stores
        if graph.value(index) != NOWHERE
    ]
    if graph.value(roots["tick"]) != NOWHERE:
        at = trace.clamped(0, roots["tick"], len(Tick) - 1)
        before = graph.load("ticks", at)
        room = graph.make("sub", graph.const(FULL), before)
        counted = graph.make("add", before, graph.make("min", roots["amount"], room))
        stores.append(Store("ticks", roots["tick"], counted, graph.const(len(Tick))))
    names = [*(f"now.{name}" for name in Registers._fields), "finished", "answer"]
    words = {name: roots[name] for name in names}
    function = Function(graph, layout)
    function.finish(words, stores)
    return function.text(f"kind{kind}")


def _dispatch(kinds: list[int]) -> str:
    """The function that a step enters by; the first of the module."""
    lines = ["define i32 @step(ptr %row, ptr %arrays) #0 {"]
    lines.append("  %k = call i32 @kind(ptr %row, ptr %arrays)")
    lines.append(emit.switch("%k", {k: f"do{k}" for k in kinds}, "none"))
    for k in kinds:
        lines += [f"do{k}:", f"  call void @kind{k}(ptr %row, ptr %arrays)", "  ret i32 %k"]
    return "\n".join([*lines, "none:", "  ret i32 -1", "}"])
