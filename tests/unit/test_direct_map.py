"""Splits, tables and levels of the direct map: the model against a plain-Python one."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import engine, flow, xla
from secretjax.mm.layout import SPLIT, WHERE_SHIFT, Use, Where
from secretjax.mm.load import load
from secretjax.mm.state import Fault, Op, Tick
from secretjax.mm.validate import validate
from secretjax.workloads import _recorded as recorded
from tests.oracle.directmap import DirectMap
from tests.zones import fresh

GIB = 1 << 18
BY_HANDLE = 1 << recorded.BY_HANDLE | 1 << recorded.FRESH


def alloc(order, handle, type_=0):
    return [
        int(Op.ALLOC) | order << recorded.ORDER | (type_ + 1) << recorded.TYPE | BY_HANDLE,
        handle,
    ]


def act(op, handle, order=0):
    return [int(op) | order << recorded.ORDER | BY_HANDLE, handle]


def after(start, rows, handles):
    """The zone after these rows, with its handles."""
    zones = flow.stack([load(start, engine.rounded(handles, 1 << 10))])
    pages = engine.pages_of(zones)
    table = np.zeros((1, engine.rounded(len(rows) + 1, 1 << 10), 2), np.int32)
    table[0, : len(rows)] = rows
    table = jnp.asarray(table)
    own = recorded.Cursor(jnp.zeros(1, jnp.int32), jnp.full(1, len(rows), jnp.int32))
    zones, _ = flow.run_to_stop(xla.stream_runner(pages), zones, own, table, 1 << 20)
    one = jax.tree.map(lambda x: x[0], zones)
    return one._replace(handle=one.handle[:handles])


def run(start, rows, handles):
    """The same, sound and without a fault."""
    one = after(start, rows, handles)
    assert validate(one, engine.pages_of(one)) == []
    assert int(one.now.fault) == 0
    return one


def levels(zone, pages):
    """(1 GiB, 2 MiB, 4 KiB) entries."""
    words = np.asarray(zone.block)
    blocks = pages // 512
    split = int(((words[:blocks] & SPLIT) != 0).sum())
    giants = int(words[blocks : blocks + -(-blocks // 512)].sum())
    return giants, blocks - split - 512 * giants, 512 * split


def ticks(zone):
    return {tick: int(zone.ticks[tick]) for tick in Tick}


@pytest.mark.parametrize(
    "orders, splits, tables, entries",
    [
        ([0], (1, 1), 2, (0, 511, 512)),
        ([0, 0], (1, 1), 2, (0, 511, 512)),
        ([9], (1, 0), 1, (0, 512, 0)),
    ],
)
def test_removing_from_a_1_gib_entry_splits_as_the_kernel_does(orders, splits, tables, entries):
    """KERNEL vectors: one page, a second in the same 2 MiB, one aligned 512-page chunk."""
    rows = [alloc(order, k) for k, order in enumerate(orders)]
    rows += [act(Op.UNMAP, k, order) for k, order in enumerate(orders)]
    zone = run(fresh(GIB, level=3), rows, len(orders))
    counted = ticks(zone)
    assert (counted[Tick.SPLIT_1G], counted[Tick.UNMAPPED_SPLIT]) == splits
    assert counted[Tick.OWN] + counted[Tick.CLAIMED_WHOLE] - len(orders) == tables
    assert levels(zone, GIB) == entries


def test_pages_removed_one_by_one_split_each_2_mib_once():
    """Half of a zone of 64 pageblocks under one entry of 1 GiB."""
    pages = 1 << 15
    count = pages // 2
    rows = [alloc(0, k) for k in range(count)] + [act(Op.UNMAP, k) for k in range(count)]
    zone = run(fresh(pages, level=3), rows, count)
    counted = ticks(zone)
    touched = len({int(p) >> 9 for p in np.asarray(zone.handle)})
    assert counted[Tick.SPLIT_1G] == 1
    assert counted[Tick.UNMAPPED_SPLIT] == touched == count // 512
    assert counted[Tick.UNMAPPED] + counted[Tick.UNMAPPED_SPLIT] == count


@pytest.mark.parametrize("collapse", ["never", "free"])
@pytest.mark.parametrize("seed", range(4))
def test_random_removals_and_returns_agree_with_the_oracle(seed, collapse):
    rng = np.random.default_rng(seed)
    pages, level = 1 << 15, int(rng.integers(2, 4))
    handles, rows, live, hidden = 0, [], [], set()
    sizes = {}
    for _ in range(600):
        what = rng.random()
        if what < 0.4:
            order = int(rng.choice([0, 0, 0, 9]))
            rows.append(alloc(order, handles, int(rng.integers(0, 3))))
            sizes[handles] = order
            live.append(handles)
            handles += 1
        elif what < 0.8 and live:
            k = int(rng.choice(live))
            if k not in hidden:
                rows.append(act(Op.UNMAP, k, sizes[k]))
                hidden.add(k)
        elif hidden:
            k = int(rng.choice(sorted(hidden)))
            rows.append(act(Op.MAP, k))
            hidden.remove(k)
    start = fresh(pages, level)
    zone = run(replace(start, settings=start.settings | {"collapse": collapse}), rows, handles)
    place = np.asarray(zone.handle)
    assert (place >= 0).all(), "memory was to suffice"
    oracle = DirectMap.of_size(GIB if level == 3 else pages, {2: "2M", 3: "1G"}[level])
    oracle.collapse = collapse == "free"
    for word, k in rows:
        op, count = word & 15, 1 << sizes[k]
        if op == Op.UNMAP:
            oracle.remove(int(place[k]), count)
        elif op == Op.MAP:
            oracle.put_back(int(place[k]), count)
    counted = ticks(zone)
    beyond = (GIB - pages) // 512 if level == 3 else 0
    entries = oracle.entries()
    assert counted[Tick.SPLIT_1G] == (1 if level == 3 and entries["1G"] == 0 else 0)
    giants, twos, fours = levels(zone, pages)
    if not giants:
        assert (twos + beyond, fours) == (entries["2M"], entries["4K"])
    assert sum(1 << sizes[k] for k in hidden) == oracle.absent_pages()
    assert counted[Tick.UNMAPPED_SPLIT] == oracle.counts["split_2M"]
    assert counted[Tick.COLLAPSED] == oracle.counts["collapse_2M"]
    assert (counted[Tick.COLLAPSED] > 0) == oracle.collapse
    row = np.asarray(zone.link[: 2 * pages : 2])
    table = ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.TABLE) != 0)
    assert table.sum() == oracle.counts["tables"]


def stale(op):
    """Of handle 0, which must be known: not the first that is heard of it."""
    return [int(op) | 1 << recorded.BY_HANDLE, 0]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([alloc(0, 0), act(Op.UNMAP, 0), act(Op.FREE, 0)], Fault.FREED_UNMAPPED),
        ([stale(Op.FREE)], Fault.BAD_HANDLE),
        ([stale(Op.MAP)], Fault.BAD_HANDLE),
        ([alloc(0, 0), stale(Op.FREE), alloc(0, 1), stale(Op.FREE)], Fault.BAD_FREE),
    ],
)
def test_what_is_given_back_wrongly_is_a_fault(rows, fault):
    assert int(after(fresh(1 << 15), rows, 2).now.fault) == fault
