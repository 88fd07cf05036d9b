"""Native code gives the bits of XLA's programs."""

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from secretjax import admission, engine, flow, proposals, runners, workloads
from secretjax.errors import UserError
from secretjax.mm.load import load
from secretjax.mm.state import FULL
from secretjax.mm.words import Fallback
from secretjax.native import build, emit, lane
from secretjax.native.emit import Function, Store
from secretjax.native.graph import INT, Graph
from secretjax.native.run import SOURCES, Native
from secretjax.native.trace import CannotTrace, Memory, Trace
from secretjax.proposals.per_page import PerPage
from secretjax.workloads import _recorded as recorded
from secretjax.workloads.base import Do, Script
from tests.oracle import streams

ADVERSARY = {
    "processes": 3,
    "percent_each": 12,
    "files_each": 3,
    "victim_percent": 10,
    "churn_per_64_pages": 4,
}
GROWTH = {"percents": (5, 20, 45), "churn_per_64_pages": 8, "huge_pages": 4}
ARMS = (
    ("pmd_pool", {"shared": True}, "reservation", "adversary", ADVERSARY),
    ("per_page", {}, "memcg", "adversary", ADVERSARY),
    ("cma_pool", {}, "none", "growth", GROWTH),
    ("migratable", {}, "none", "growth", GROWTH),
)


def machines(fallback=Fallback.K612y):
    """Small aged zones of the same size."""
    made = [streams.make(seed, pageblocks=32, requests=10, cma=0).start for seed in (1, 2)]
    return [
        engine.replace(
            m,
            zone={**m.zone, "managed": 16000},
            settings={**m.settings, "fallback": fallback.name},
        )
        for m in made
    ]


def simulated(monkeypatch, which: str, proposal, rule, demand, states=5) -> engine.Outcome:
    monkeypatch.setenv("SECRETJAX_ENGINE", which)
    runners.of_arm.cache_clear()
    out = engine.simulate(
        machines(), demand, proposal, rule, states=states, seed=5, ageing_events=300
    )
    runners.of_arm.cache_clear()
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "rule", "demand", "asked"), ARMS, ids=lambda x: str(x))
def test_an_arm_ends_in_the_same_bits(monkeypatch, name, options, rule, demand, asked):
    arm = proposals.make(name, **options), admission.make(rule), workloads.make(demand, **asked)
    one, other = (simulated(monkeypatch, which, *arm) for which in runners.ENGINES)
    np.testing.assert_array_equal(one.digests, other.digests)
    assert one.values["granted"][:, -1].sum() > 0
    for metric, values in other.values.items():
        np.testing.assert_array_equal(one.values[metric], values, metric)


def test_threads_and_company_change_nothing(monkeypatch):
    arm = proposals.make("per_page"), admission.make("none"), workloads.make("growth", **GROWTH)
    monkeypatch.setenv("NPROC", "1")
    alone = simulated(monkeypatch, "native", *arm, states=3)
    monkeypatch.setenv("NPROC", "3")
    together = simulated(monkeypatch, "native", *arm, states=11)
    np.testing.assert_array_equal(alone.digests, together.digests[:3])


@pytest.mark.parametrize("which", runners.ENGINES)
def test_a_counter_that_is_full_stays_so_and_is_reported(monkeypatch, which):
    arm = proposals.make("per_page"), admission.make("none"), workloads.make("growth", **GROWTH)
    owned, ends = engine.owned, []

    def counted(*of):
        zone = owned(*of)
        return zone._replace(ticks=np.full_like(zone.ticks, FULL - 5))

    look = engine.check_faults
    monkeypatch.setattr(engine, "owned", counted)

    def kept(zones, *of):
        ends.append(np.asarray(zones.ticks))
        look(zones, *of)

    monkeypatch.setattr(engine, "check_faults", kept)
    with pytest.raises(UserError, match=r"COUNTER in .* counter of 32 bits"):
        simulated(monkeypatch, which, *arm)
    assert ends[0][0].min() == FULL - 5 and ends[0][0].max() == FULL


def test_a_demand_for_more_than_can_be_counted_is_one_sentence():
    script = Script()
    for _ in range(5):
        script.do(Do.OPEN, 1 << 29)
    with pytest.raises(UserError, match="2,147,483,647 can be counted"):
        script.array()


EDGES = np.array(
    [0, 1, -1, 2, 31, 32, 33, -32, 1 << 30, -(1 << 31), (1 << 31) - 1, 12345], np.int32
)
OPERATIONS = {
    "add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply, "div": lax.div, "rem": lax.rem,
    "floor": jnp.floor_divide, "mod": jnp.mod, "and": jnp.bitwise_and, "or": jnp.bitwise_or,
    "xor": jnp.bitwise_xor, "max": jnp.maximum, "min": jnp.minimum,
    "left": lax.shift_left, "right": lax.shift_right_arithmetic,
    "logical": lax.shift_right_logical, "eq": jnp.equal, "ne": jnp.not_equal, "lt": jnp.less,
    "le": jnp.less_equal, "gt": jnp.greater, "ge": jnp.greater_equal,
    "not": lambda a, b: ~a, "neg": lambda a, b: -a, "clz": lambda a, b: lax.clz(a),
    "count": lambda a, b: lax.population_count(a), "sign": lambda a, b: jnp.sign(a),
    "clip": lambda a, b: jnp.clip(a, -5, b), "where": lambda a, b: jnp.where(a < b, a, 7),
    "flags in order": lambda a, b: ((a < b) < (b < 3)) | ((a == 1) >= (b > 3)),
    "flags": lambda a, b: (a < b) & ~(a == 1) | (b > 3),
    "unsigned": lambda a, b: a.astype(jnp.uint32) // jnp.maximum(b, 1).astype(jnp.uint32),
    "unsigned less": lambda a, b: a.astype(jnp.uint32) < b.astype(jnp.uint32),
}  # fmt: skip


def called(text: str, layout: lane.Lane, row: np.ndarray, arrays: dict) -> None:
    """Runs the first function of a module on one lane."""
    code = build.Code(build.machine_code(text))
    places = np.zeros(len(lane.ARRAYS), np.uintp)
    for name, array in arrays.items():
        places[lane.ARRAYS.index(name)] = array.ctypes.data
    kind = build.ctypes.CFUNCTYPE(None, build.ctypes.c_void_p, build.ctypes.c_void_p)
    kind(code.address)(row.ctypes.data, places.ctypes.data)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_xlas(name):
    a, b = (x.reshape(-1) for x in np.meshgrid(EDGES, EDGES))
    function = lambda a, b: jnp.asarray(OPERATIONS[name](a, b)).astype(jnp.int32)  # noqa: E731
    expected = np.asarray(jax.vmap(jax.jit(function))(a, b))
    layout, graph = lane.Lane.of(()), Graph()
    found = Trace(graph)(function, graph.var("word"), graph.var("count"))
    made = Function(graph, layout)
    made.store({"answer": found})
    text = emit.HEADER + made.text("f").replace("internal ", "") + "\n!0 = !{}"
    row, at = np.zeros(len(layout.words), np.int32), layout.words
    code = build.Code(build.machine_code(text))
    call = build.ctypes.CFUNCTYPE(None, build.ctypes.c_void_p, build.ctypes.c_void_p)(code.address)
    for x, y, right in zip(a, b, expected, strict=True):
        row[at["word"]], row[at["count"]] = x, y
        call(row.ctypes.data, None)
        assert row[at["answer"]] == right, (name, x, y)
        known = {graph.var("word"): graph.const(int(x)), graph.var("count"): graph.const(int(y))}
        folded = graph.specialized({"answer": found}, known)["answer"]
        assert graph.value(folded) == right, (name, x, y)


def test_what_is_outside_of_an_array_is_not_written():
    layout, graph = lane.Lane.of(()), Graph()
    words = np.arange(12, dtype=np.int32)
    at, size = graph.var("word"), graph.var("size.link")
    made = Function(graph, layout)
    made.store({}, [Store("link", at, graph.const(99), size)])
    text = emit.HEADER + made.text("f").replace("internal ", "") + "\n!0 = !{}"
    row = np.zeros(len(layout.words), np.int32)
    row[layout.words["size.link"]] = 10
    for place in (-1, 10, 11, 1 << 30, -(1 << 31), 3):
        row[layout.words["word"]] = place
        called(text, layout, row, {"link": words})
    assert words.tolist() == [0, 1, 2, 99, 4, 5, 6, 7, 8, 9, 10, 11]


def test_an_array_is_read_as_xla_reads_it():
    words = np.arange(100, 112, dtype=np.int32).reshape(6, 2)
    layout, graph = lane.Lane.of(()), Graph()

    def function(table, row, column):
        best = jnp.argmax(table[:, 1] * jnp.where(jnp.arange(6) == row, 2, 1))
        return table[row, column] + 3 * best.astype(jnp.int32) + table.sum(dtype=jnp.int32)

    memory = Memory("script", (6, 2))
    found = Trace(graph)(function, memory, graph.var("word"), graph.var("count"))
    made = Function(graph, layout)
    made.store({"answer": found})
    text = emit.HEADER + made.text("f").replace("internal ", "") + "\n!0 = !{}"
    for row, column in ((0, 0), (5, 1), (-1, -1), (-6, 0), (2, 1), (9, 0), (-9, 5)):
        words_of = np.zeros(len(layout.words), np.int32)
        words_of[layout.words["word"]], words_of[layout.words["count"]] = row, column
        called(text, layout, words_of, {"script": words})
        right = jax.jit(function)(words, jnp.int32(row), jnp.int32(column))
        assert words_of[layout.words["answer"]] == right, (row, column)


def test_folding_keeps_words_in_32_bits():
    graph = Graph()
    kept = {"add": 2147483645, "mul": 2, "shl": 0, "sub": -2147483647}
    for op, right in kept.items():
        found = graph.value(graph.make(op, graph.const((1 << 31) - 1), graph.const(-2)))
        assert found == right, op
    assert graph.type(graph.const(5)) == INT


@pytest.fixture
def folder(tmp_path):
    """Where compiled programs are kept meanwhile."""
    # JAX makes the attribute when it is imported
    before = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / "native"
    jax.config.update("jax_compilation_cache_dir", before)


def test_a_damaged_file_of_code_is_made_again(folder):
    graph, layout = Graph(), lane.Lane.of(())
    made = Function(graph, layout)
    made.store({"answer": graph.const(7)})
    text = emit.HEADER + made.text("f").replace("internal ", "") + "\n!0 = !{}"
    texts = []

    def ask():
        texts.append(text)
        return text

    build.compiled("one", ask)
    build.compiled("one", ask)
    assert len(texts) == 1
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o022 == 0
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:10], b"", bytes([whole[0] ^ 1]) + whole[1:]):
        file.write_bytes(damaged)
        build.compiled("one", ask)
        assert file.read_bytes() == whole
    assert len(texts) == 5


def test_code_that_needs_a_linker_is_refused():
    text = "@x = external global i32\ndefine i32 @f() {\n  %v = load i32, ptr @x\n  ret i32 %v\n}"
    with pytest.raises(RuntimeError, match=r"\.rela\.text"):
        build.machine_code(text)


def test_a_state_that_goes_nowhere_is_reported():
    made = streams.make(3, pageblocks=32, requests=40, cma=0)
    zones = flow.stack([load(made.start, 64, percpu=False)])
    rows = recorded.encode(made.requests)
    own = recorded.Cursor(*cast(Any, np.array([[0], [len(rows)]], np.int32)))
    runner = runners.of_stream(engine.pages_of(zones))
    assert isinstance(runner, Native)
    with pytest.raises(UserError, match="1 states did not come to the end of their work within 9"):
        runner.to_stop(zones, own, rows[None], limit=9)


class Loops(PerPage):
    """A plug-in with a rule that native code cannot do."""

    def advance(self, own, event, answer):
        turns = lax.while_loop(lambda n: n < answer, lambda n: n + 1, jnp.zeros_like(answer))
        return super().advance(own, event, jnp.where(turns > answer, turns, answer))


def test_what_cannot_be_traced_is_left_to_xla():
    graph = Graph()
    with pytest.raises(CannotTrace, match="while"):
        Trace(graph)(
            lambda n: lax.while_loop(lambda k: k < n, lambda k: k + 1, n), graph.var("word")
        )
    found = runners.of_arm(Loops(), admission.make("none").program(), 32 * 512)
    assert isinstance(found, runners.Xla)


def test_a_system_that_forbids_it_is_told_and_served_by_xla(monkeypatch):
    def forbids(self, code):
        raise OSError(13, "the system does not let memory be executed")

    monkeypatch.setattr(build.Code, "__init__", forbids)
    runners.of_stream.cache_clear()
    with pytest.warns(UserWarning, match="no native code here, XLA's programs are slower"):
        assert isinstance(runners.of_stream(1 << 14), runners.Xla)
    runners.of_stream.cache_clear()


def test_an_engine_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setenv("SECRETJAX_ENGINE", "nativ")
    runners.of_stream.cache_clear()
    with pytest.raises(UserError, match="SECRETJAX_ENGINE: 'nativ' is no engine; it is one of"):
        runners.of_stream(1 << 14)


def test_sources_of_the_step_are_its_key():
    """A change of any file that the step is traced from gives other code."""
    program = (
        "import sys, secretjax.mm.machine, secretjax.native.zone\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('secretjax')))"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True, check=True
    )
    found = {Path(f).relative_to(root / "secretjax").parts[0] for f in ran.stdout.split()}
    assert "mm" in found
    assert found - {"__init__.py"} <= {*SOURCES}
