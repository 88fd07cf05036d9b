"""Native code that branches does what native code that computes everything does."""

import ctypes
import re

import numpy as np
import pytest

from secretjax.native import branch, build, emit, lane
from secretjax.native.branch import Store, Work
from secretjax.native.emit import Function
from secretjax.native.graph import BOOL, Graph

LAYOUT = lane.Lane.of(())
OUT = ("answer", "free", "now.page", "now.order", "now.cursor")


@pytest.fixture
def graph():
    return Graph()


def chain(graph: Graph, start: int, length: int) -> int:
    """So many operations one after the other."""
    for k in range(length):
        start = graph.make("mul", start, graph.const(2 * k + 3))
        start = graph.make("xor", start, graph.const(k))  # the first is left out, it is with 0
    return start


def text_of(graph: Graph, way: str, words: dict, stores=()) -> str:
    made = Function(graph, LAYOUT)
    getattr(made, way)(words, stores)
    return made.text("f")


def function(text: str):
    """A call with a row and one array, by the name of that array."""
    code = build.Code(
        build.machine_code(f"{emit.HEADER}{text}\n!0 = !{{}}".replace("internal ", ""))
    )
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(code.address)

    def run(row: np.ndarray, link: np.ndarray) -> None:
        places = np.zeros(len(lane.ARRAYS), np.uintp)
        places[lane.ARRAYS.index("link")] = link.ctypes.data
        call(row.ctypes.data, places.ctypes.data)

    run.code = code
    return run


class Made:
    """Expressions at random, of words of the row and of one array."""

    OPS = ("add", "sub", "mul", "and", "or", "xor", "max", "min")

    def __init__(self, graph: Graph, seed: int):
        self.graph, self.rng = graph, np.random.default_rng(seed)
        names = ("word", "count", "now.page", "now.order")
        self.words = [graph.var(name) for name in names]
        self.words += [graph.const(int(k)) for k in self.rng.integers(-4, 5, 3)]
        self.flags: list[int] = []
        for _ in range(160):
            self.more()

    def one(self, of: list[int]) -> int:
        """Any, but rather a late one."""
        return of[-1 - int(len(of) * self.rng.random() ** 2)]

    def more(self) -> None:
        graph, draw = self.graph, self.rng.random()
        a, b = self.one(self.words), self.one(self.words)
        if draw < 0.2 or not self.flags:
            self.flags.append(graph.make(str(self.rng.choice(["eq", "lt", "le"])), a, b))
        elif draw < 0.35:
            op = str(self.rng.choice(["and", "or"]))
            self.flags.append(graph.make(op, self.one(self.flags), self.one(self.flags)))
            self.flags.append(graph.make("not", self.one(self.flags)))
        elif draw < 0.6:
            self.words.append(graph.select(self.one(self.flags), a, b))
        elif draw < 0.7:
            self.words.append(graph.load("link", graph.make("and", a, graph.const(15))))
        else:
            self.words.append(graph.make(str(self.rng.choice(self.OPS)), a, b))


@pytest.mark.parametrize("seed", range(12))
def test_it_writes_what_it_would_write_without_branches(graph, seed, monkeypatch):
    monkeypatch.setattr(branch, "LEAST", 4)
    made = Made(graph, seed)
    open_ = [flag for flag in made.flags if graph.value(flag) is None]
    words = {
        name: graph.select(
            made.one(open_), chain(graph, made.one(made.words), 5), made.one(made.words)
        )
        for name in OUT
    }
    size = graph.const(16)
    stores = [Store("link", made.one(made.words), made.one(made.words), size) for _ in range(3)]
    texts = [text_of(graph, way, words, stores) for way in ("store", "finish")]
    straight, branched = map(function, texts)
    assert "br i1" not in texts[0] and "br i1" in texts[1]
    assert texts[1].count("ret void") == 1 + texts[1].count("br i1")
    for _ in range(300):
        row = made.rng.integers(-6, 20, len(LAYOUT.words)).astype(np.int32)
        link = made.rng.integers(-9, 9, 16).astype(np.int32)
        found = []
        for run in (straight, branched):
            mine, array = row.copy(), link.copy()
            run(mine, array)
            mine[LAYOUT.words["nowhere"]] = 0
            found.append((mine.tolist(), array.tolist()))
        assert found[0] == found[1]


def test_what_only_one_outcome_needs_is_computed_there(graph):
    word, count = graph.var("word"), graph.var("count")
    flag = graph.make("eq", word, graph.const(3))
    rare = chain(graph, count, 20)
    text = text_of(graph, "finish", {"answer": graph.select(flag, rare, count)})
    before, yes, no = re.split(r"(?m)^(?:yes|no)\d+:$", text)
    assert "mul" not in before and yes.count("mul") == 20 and "mul" not in no
    assert branch.best(graph, [graph.select(flag, rare, count)]) == (flag, 39)


def test_what_both_outcomes_need_saves_nothing(graph):
    word, count = graph.var("word"), graph.var("count")
    flag, both = graph.make("eq", word, graph.const(3)), chain(graph, count, 20)
    root = graph.select(flag, graph.make("add", both, word), graph.make("sub", both, word))
    assert branch.best(graph, [root]) == (flag, 2)
    assert "br i1" not in text_of(graph, "finish", {"answer": root})


def test_a_flag_counts_all_choices_that_depend_on_it(graph):
    """Each of three chains is behind another choice of one flag, and in two of them a part."""
    word, count = graph.var("word"), graph.var("count")
    flag, shared = graph.make("lt", word, graph.const(3)), chain(graph, count, 9)
    roots = [
        graph.select(flag, graph.make("add", shared, graph.var("free")), count),
        graph.select(flag, graph.make("sub", shared, word), word),
    ]
    assert branch.best(graph, roots) == (flag, 20), "9 products, 8 sums, and three more"


def test_an_outcome_decides_the_flags_that_it_consists_of(graph):
    word = graph.var("word")
    a, b = (graph.make("lt", word, graph.const(k)) for k in (3, 9))
    neither = graph.make("and", graph.make("not", a), graph.make("not", b))
    yes, no = graph.const(1, BOOL), graph.const(0, BOOL)
    assert branch.decided(graph, neither, True).items() >= {(a, no), (b, no), (neither, yes)}
    assert branch.decided(graph, neither, False) == {neither: no}
    assert branch.decided(graph, graph.make("or", a, b), False).items() >= {(a, no), (b, no)}


def test_a_function_has_no_more_ends_than_it_may(graph, monkeypatch):
    monkeypatch.setattr(branch, "MOST", 5)
    word, answer = graph.var("word"), graph.var("count")
    for k in range(12):
        flag = graph.make("eq", word, graph.const(k))
        answer = graph.select(flag, chain(graph, graph.var("free"), 10 + k), answer)
    assert text_of(graph, "finish", {"answer": answer}).count("ret void") == 5
    work = branch.branched(graph, Work({"answer": answer}, []))
    assert work.flag == graph.make("eq", word, graph.const(11)), "the longest first"
