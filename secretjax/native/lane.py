"""What native code knows of one state: a row of words, and the places of its arrays.

The row holds the zone's limits and registers, the registers of its program, the command of the
step and what became of it, and how long its arrays are.
"""

from typing import Any, NamedTuple, TypeVar

import jax

from secretjax.ledger import FILES, PROCESSES, Counts, Tables
from secretjax.mm.state import Command, Limits, Registers, Tick, Writes, Zone
from secretjax.native.graph import Graph
from secretjax.native.trace import Memory

# While a rule is traced, a length that is a word of the row is one of these (see `trace.Memory`).
LINK, BLOCK, HANDLE, ROWS = 1_000_003, 200_003, 300_007, 100_003
COUNTS = len(Counts._fields)
Tree = TypeVar("Tree", Limits, Registers, Command, Writes)
TABLES: dict[str, tuple[int, ...]] = {
    "owner": (PROCESSES,),
    "first": (PROCESSES,),
    "behind": (PROCESSES,),
    "present": (PROCESSES,),
    "process": (PROCESSES, COUNTS),
    "user": (PROCESSES, COUNTS),
    "shut": (FILES,),
}
"""Their shapes, in the order of `Tables`."""
ARRAYS = ("link", "block", "handle", "ticks", "script", *(f"tables.{n}" for n in TABLES))
OURS = (
    "size.link", "size.block", "size.handle", "size.script", "pages", "nowhere",
    "word", "count", "free", "finished", "answer",
)  # fmt: skip
"""word, count: of the script's row in force; free: free pages before the step; finished, answer:
what became of it; nowhere: takes what is not to be written."""


def blank(of: type[Tree], word: Any = 0) -> Tree:
    """A tree of words of which every one is this."""
    return of(*[word] * len(of._fields))


def _array(*given) -> Any:
    """`Memory` of these, in place of an array while a rule is traced."""
    return Memory(*given)


def paths(tree, prefix: str) -> list[str]:
    """A name for each leaf of a tree, in the order of its leaves."""
    found, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [
        f"{prefix}.{jax.tree_util.keystr(path, simple=True, separator='.')}" for path, _ in found
    ]


class Lane(NamedTuple):
    """How a row is laid out.

    words  the place of each word
    spans  of the words of the limits, the registers, the command, and of `own`
    own    a tree without arrays, alike a state's registers beside the zone's
    """

    words: dict[str, int]
    spans: dict[str, slice]
    own: object

    @classmethod
    def of(cls, own) -> "Lane":
        """own: as above."""
        parts = {"limits": blank(Limits), "now": blank(Registers), "command": blank(Command)}
        names, spans = list(OURS), {}
        for prefix, tree in (parts | {"own": own}).items():
            found = paths(tree, prefix)
            spans[prefix] = slice(len(names), len(names) + len(found))
            names += found
        return cls({name: k for k, name in enumerate(names)}, spans, own)


def words(graph: Graph, tree, prefix: str):
    """The tree with the expressions of these words of the row as leaves."""
    return jax.tree.unflatten(
        jax.tree.structure(tree), [graph.var(name) for name in paths(tree, prefix)]
    )


def zone(graph: Graph) -> Zone:
    """A zone of expressions. Nothing is left to be written: that happens at the end of a step."""
    return Zone(
        link=_array("link", (LINK,), "size.link"),
        block=_array("block", (BLOCK,), "size.block"),
        handle=_array("handle", (HANDLE,), "size.handle"),
        ticks=_array("ticks", (len(Tick),)),
        limits=words(graph, blank(Limits), "limits"),
        now=words(graph, blank(Registers), "now"),
        writes=blank(Writes, graph.const(0)),
    )


def command(graph: Graph) -> Command:
    """The command in force."""
    return words(graph, blank(Command), "command")


def tables() -> Tables:
    """The tables of a ledger."""
    return Tables(**{name: _array(f"tables.{name}", shape) for name, shape in TABLES.items()})


def script() -> Memory:
    """The rows of a script."""
    return Memory("script", (ROWS, 2), "size.script")
