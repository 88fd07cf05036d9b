"""States that come and go on few lanes, against the plain-Python kernel."""

from typing import Any, cast

import jax
import numpy as np
import pytest

from secretjax import flow, xla
from secretjax.errors import UserError
from secretjax.mm.load import lists, load
from secretjax.workloads import _recorded as recorded
from tests.oracle import streams

LANES, GROUP, STEPS = 4, 2, 64
ZERO: Any = np.int32(0)


@pytest.fixture(scope="module")
def batch():
    """Streams of one size of zone, every third one four times as long as the others."""
    lengths = [800 if k % 3 == 2 else 200 for k in range(11)]
    return [streams.make(k, pageblocks=16, requests=n, cma=0) for k, n in enumerate(lengths)]


@pytest.fixture
def small(monkeypatch):
    """Looks after fewer steps, in smaller groups."""
    for name, value in {"STEPS": STEPS, "GROUP": GROUP, "PATIENCE": 1, "FEW": 3 / 4}.items():
        monkeypatch.setattr(flow, name, value)


def task(number: int, stream) -> flow.Task:
    body = stream.requests[stream.requests[:, 0] != 2]
    marks = np.flatnonzero(stream.requests[:, 0] == 2)
    stops = [(str(k), int((stream.requests[:m, 0] != 2).sum())) for k, m in enumerate(marks)]
    zone = load(stream.start, 1 << 12, whole=recorded.blocks_at_start(body), percpu=False)
    table = np.zeros((len(body) + 1, 2), np.int32)
    table[:-1] = recorded.encode(body)
    own: Any = recorded.Cursor(ZERO, ZERO)
    return flow.Task(number, jax.tree.map(np.asarray, zone), own, table, stops)


def ran(batch, lanes: int):
    """What was seen of each state, [(point, handles, lists)], and the widths of all runs."""
    widths, seen = [], {k: [] for k in range(len(batch))}
    pages = batch[0].start.zone["end_pfn"]
    compiled = xla.stream_runner(pages)

    def run(zones, own, table, steps):
        widths.append(len(own.pc))
        return compiled(zones, own, table, steps)

    for found in flow.Flow(run, (task(k, s) for k, s in enumerate(batch)), lanes):
        for lane, state in enumerate(found.tasks):
            free = lists(np.asarray(found.zones.link[lane]), pages)
            handles = np.asarray(found.zones.handle[lane])
            seen[state.number].append((state.point, handles, free))
    return seen, widths


def test_every_state_answers_as_the_oracle_at_each_of_its_stops(batch, small):
    seen, widths = ran(batch, LANES)
    for k, stream in enumerate(batch):
        assert [point for point, _, _ in seen[k]] == list(range(len(stream.lists)))
        for (_, _, free), expected in zip(seen[k], stream.lists, strict=True):
            rows = [(p, *key) for key in sorted(free) for p in free[key]]
            np.testing.assert_array_equal(rows, expected)
        _, handles, _ = seen[k][-1]
        np.testing.assert_array_equal(handles[: len(stream.request_pfn)], stream.request_pfn)
    assert set(widths) == {LANES, GROUP}


def walked(lengths: list[int], lanes: int) -> tuple[dict, int]:
    """Stops seen of states that only walk their rows, by number, and how many looks it took.

    The zone of a state is its number; its table has that number in each of its rows.
    """
    looks, seen = 0, {}

    def run(zones, own, tables, steps):
        nonlocal looks
        looks += steps == STEPS
        own = recorded.Cursor(*cast(Any, map(np.asarray, own)))
        for number, pc, stop, table in zip(*map(np.asarray, (zones, *own, tables)), strict=True):
            rows = 1 + lengths[number]
            assert (table[:rows] == number).all() and not table[rows:].any()
            assert max(pc, stop) <= lengths[number]
        return zones, own._replace(pc=np.maximum(own.pc, np.minimum(own.pc + steps, own.stop)))

    def begun(number: int) -> flow.Task:
        rows = lengths[number]
        table = np.full((rows + 1, 2), number, np.int32)
        own: Any = recorded.Cursor(ZERO, ZERO)
        stops = [("start", 0), ("half", rows // 2), ("end", rows)]
        return flow.Task(number, cast(Any, np.int32(number)), own, table, stops)

    for found in flow.Flow(run, map(begun, range(len(lengths))), lanes):
        for lane, state in enumerate(found.tasks):
            assert found.zones[lane] == state.number
            assert found.own.pc[lane] == state.stops[state.point][1]
            seen.setdefault(state.number, []).append(state.point)
    return seen, looks


def test_a_long_state_keeps_nobody_waiting(small):
    lengths = [40 * STEPS] + 30 * [4 * STEPS]
    seen, looks = walked(lengths, LANES)
    assert seen == {number: [0, 1, 2] for number in range(31)}
    # three lanes beside the long one, 1 + 2 + 2 looks each; block after block: 41 + 7 * 5
    assert looks <= 10 * 5 + 1


def test_a_later_state_may_have_a_longer_script_and_one_lane_is_enough(small):
    lengths = [10, 700, 5, 300, 6, 900]
    for lanes in (1, 2, 6, 64):
        assert walked(lengths, lanes)[0] == {number: [0, 1, 2] for number in range(6)}


def test_who_comes_to_no_stop_is_told_of(batch, small, monkeypatch):
    monkeypatch.setattr(flow, "LIMIT", 10 * STEPS)
    stands = lambda zones, own, table, steps: (zones, own)  # noqa: E731
    with pytest.raises(UserError, match=r"2 states did not come to the end .* within 640 steps"):
        list(flow.Flow(stands, (task(k, s) for k, s in enumerate(batch[:2])), LANES))
