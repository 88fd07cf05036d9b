"""The model behind its per-CPU lists is the kernel, on what tasks asked for and gave back."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import engine, flow, xla
from secretjax.mm.layout import NODE, Use, pcp_head
from secretjax.mm.load import lists, load
from secretjax.mm.state import Op
from secretjax.mm.words import PCP_LISTS
from secretjax.proposals.base import command
from secretjax.workloads import _recorded as recorded
from tests.driver import do
from tests.kernel.test_pcp_oracle import NAMES, start_of
from tests.oracle import streams
from tests.oracle.kernel import REFUSED
from tests.oracle.lists import MOVABLE
from tests.oracle.pcp import Pcp
from tests.zones import fresh

NEVER = 1 << 30
HOPELESS = 16


def rows_of(tasks: np.ndarray, movable: np.ndarray) -> np.ndarray:
    """Script rows: allocation k is remembered under handle k; frees name the page."""
    gets = tasks[:, 0] == 0
    number = np.cumsum(gets) - 1
    word = np.where(gets, int(Op.GET), int(Op.PUT)) | tasks[:, 1] << recorded.ORDER
    word |= (np.where(gets, tasks[:, 2], -1) + 1) << recorded.TYPE
    on_lru = np.zeros(len(tasks), np.int64)
    on_lru[gets] = movable
    word |= on_lru << recorded.LRU | gets << recorded.FRESH
    return np.stack([word, np.where(gets, number, tasks[:, 3])], 1).astype(np.int32)


def whole_blocks(tasks: np.ndarray, pfns: np.ndarray) -> list[tuple[int, int]]:
    """(pfn, order) of the larger blocks that are given back and were in use at the start."""
    got, found, k = set(), [], 0
    for op, order, _, pfn in tasks.tolist():
        if op == 0:
            got.add(int(pfns[k]))
            k += 1
        elif pfn in got:
            got.remove(pfn)
        elif order:
            found.append((pfn, order))
    return found


def run(start, tasks: np.ndarray, movable: np.ndarray, whole):
    """The zone after the stream; background threads never get the CPU."""
    allocations = int((tasks[:, 0] == 0).sum())
    quiet: dict[str, Any] = {"period": NEVER, "score_high": 1000}
    zone = load(start, engine.rounded(allocations + 1), whole=whole, **quiet)
    zone = zone._replace(now=zone.now._replace(failures=jnp.asarray(HOPELESS, jnp.int32)))
    zones = flow.stack([zone])
    stream = np.zeros((1, engine.rounded(len(tasks) + 1), 2), np.int32)
    stream[0, : len(tasks)] = rows_of(tasks, movable)
    own = recorded.Cursor(jnp.zeros(1, jnp.int32), jnp.full(1, len(tasks), jnp.int32))
    runner = xla.stream_runner(engine.pages_of(zones))
    zones, _ = flow.run_to_stop(runner, zones, own, jnp.asarray(stream))
    return zones, np.asarray(zones.handle[0], np.int64)[:allocations]


def per_cpu(zones) -> list[int]:
    """The first pages of all blocks on per-CPU lists, list after list, head first."""
    pages = engine.pages_of(zones)
    link, found = np.asarray(zones.link[0]).reshape(-1, 2), []
    for k in range(PCP_LISTS):
        head = at = int(pcp_head(pages, k))
        while (at := int(link[at, 0] & NODE)) != head:
            found.append(at)
    return found


def scalars(zones) -> list[int]:
    """count, high, high_min, high_max, batch, alloc_factor, free_count."""
    now, limits = zones.now, zones.limits
    words = (now.pcp_count, now.pcp_high, limits.high_min, limits.high_max, limits.batch)
    return [int(w[0]) for w in (*words, now.alloc_factor, now.free_count)]


@pytest.mark.parametrize("name", NAMES)
def test_every_task_level_pfn_and_per_cpu_list_is_the_kernels(name, tmp_path):
    arrays, start = start_of(name, tmp_path)
    whole = whole_blocks(arrays["tasks"], arrays["pfn"])
    zones, pfns = run(start, arrays["tasks"].astype(np.int64), arrays["movable"], whole)
    assert int(zones.now.fault[0]) == 0
    differ = np.flatnonzero(pfns != arrays["pfn"])
    assert not len(differ), f"{len(differ)} of {len(pfns)}, first allocation {differ[0]}"
    assert scalars(zones) == arrays["pcp"].tolist()
    assert per_cpu(zones) == arrays["pcp_rows"][:, 0].tolist()


def random_tasks(seed: int, requests: int):
    """A start state with watermarks and per-CPU lists, tasks, and what the oracle answers."""
    stream = streams.make(seed, requests=40, ageing=2500)
    rng = np.random.default_rng([seed, 1])
    batch = int(rng.choice([4, 31, 63]))
    small = seed == 5  # lists that hold less than a batch: nr_pcp_alloc() and nr_pcp_free() say 1
    low = batch // 2 if small else int(rng.integers(1, 6)) * batch
    high = low if rng.random() < 0.3 else 12 * low
    known = {"batch": batch, "high": low, "high_min": low, "high_max": high}
    zone = stream.start.zone | {f"pcp_{key}": value for key, value in known.items()}
    sysctl = {"watermark_boost_factor": int(rng.choice([0, 15000]))}
    settings = stream.start.settings | {"sysctl": sysctl}
    start = replace(stream.start, zone=zone, settings=settings)
    pcp, held = Pcp.from_start(start), []
    tasks, movable, pfns = [], [], []
    while len(tasks) < requests:
        if rng.random() < rng.choice([0.35, 0.62]) or not held:
            order = int(rng.choice([0, 1, 2, 3, 5, 9], p=[0.55, 0.1, 0.1, 0.1, 0.05, 0.1]))
            mt = int(rng.choice(3, p=[0.4, 0.4, 0.2]))
            pfn = pcp.alloc(order, mt)
            tasks.append((0, order, mt, -1))
            pfns.append(pfn)
            movable.append(mt == MOVABLE)
            if pfn != REFUSED:
                held.append((pfn, order))
        else:
            pfn, order = held.pop(int(rng.integers(len(held))))
            pcp.free(pfn, order)
            tasks.append((1, order, -1, pfn))
    return start, np.array(tasks, np.int64), np.array(movable), np.array(pfns), pcp


@pytest.mark.parametrize("seed", range(6))
def test_random_tasks_get_what_the_oracle_gives_them(seed):
    start, tasks, movable, pfns, pcp = random_tasks(seed, 4000)
    zones, mine = run(start, tasks, movable, [])
    assert int(zones.now.fault[0]) == 0
    np.testing.assert_array_equal(mine, pfns)
    assert scalars(zones) == list(pcp.scalars().values())
    assert per_cpu(zones) == pcp.rows()[:, 0].tolist()
    assert int(zones.now.boost[0]) == pcp.boost
    shown = lists(np.asarray(zones.link[0]), engine.pages_of(zones))
    expected: dict = {}
    for pfn, order, mt in pcp.kernel.rows():
        expected.setdefault((order, mt), []).append(pfn)
    assert shown == expected


def test_lists_before_they_were_tuned_give_back_twice_as_much_each_time():
    """6.1.192, mm/page_alloc.c: nr_pcp_free(), nr_pcp_high(); batch 8, high 40."""
    start = fresh(8 * 512)
    known = {"pcp_batch": 8, "pcp_high": 40, "pcp_high_min": -1, "pcp_high_max": -1}
    settings = start.settings | {"fallback": "K511"}
    zone = load(replace(start, zone=start.zone | known, settings=settings), 101)
    asked: dict[str, Any] = {"type_": MOVABLE, "use": Use.USED | Use.LRU}
    zone, _ = do(zone, command(Op.GET, 1, owner=100, **asked))
    for k in range(100):
        zone, _ = do(zone, command(Op.GET, owner=k, **asked))
    counts = [int(zone.now.pcp_count)]
    for k in range(54):
        zone, _ = do(zone, command(Op.PUT, handle=k))
        counts.append(int(zone.now.pcp_count))
    # 8 drawn as 4 pairs, one of them used, and 104 one by one; 8, 16 and 32 go back at 40
    assert [counts[k] for k in (0, 29, 30, 38, 54)] == [10, 39, 32, 24, 8]
    zone, _ = do(zone, command(Op.PUT, 1, handle=100))
    assert int(zone.now.pcp_count) == 0  # free_high: all of them
    assert int(zone.now.fault) == 0
