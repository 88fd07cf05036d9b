"""The machine against the plain-Python kernel, and what its compiled form must not do."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import engine, flow, xla
from secretjax.mm.load import lists, load
from secretjax.mm.words import PAGEBLOCK_PAGES
from secretjax.replay import replay
from secretjax.workloads import _recorded as recorded
from tests.oracle import streams
from tests.oracle.lists import K511, K610, K612Y

LANES = 24


def run_streams(batch):
    """Zones and lists at each snapshot of a batch of streams, each at its own pace."""
    bodies = [s.requests[s.requests[:, 0] != 2] for s in batch]
    stops = [
        [int((s.requests[:k, 0] != 2).sum()) for k in np.flatnonzero(s.requests[:, 0] == 2)]
        for s in batch
    ]
    handles = engine.rounded(max(int((b[:, 0] == 0).sum()) for b in bodies), 1 << 12)
    starts = zip(batch, bodies, strict=True)
    zones = flow.stack(
        [load(s.start, handles, whole=recorded.blocks_at_start(b), percpu=False) for s, b in starts]
    )
    pages = engine.pages_of(zones)
    rows = engine.rounded(max(map(len, bodies)) + 1, 1 << 12)  # one program for all batches
    table = np.zeros((len(batch), rows, 2), np.int32)
    for lane, body in enumerate(bodies):
        table[lane, : len(body)] = recorded.encode(body)
    table = jnp.asarray(table)
    own = recorded.Cursor(*(jnp.zeros(len(batch), jnp.int32) for _ in range(2)))
    shots = []
    for k in range(len(stops[0])):
        own = own._replace(stop=jnp.asarray([s[k] for s in stops], jnp.int32))
        zones, own = flow.run_to_stop(xla.stream_runner(pages), zones, own, table, 1 << 22)
        shots.append([lists(np.asarray(zones.link[lane]), pages) for lane in range(len(batch))])
    return zones, shots


@pytest.fixture(scope="module", params=[(11, K612Y), (12, K612Y), (13, K610), (14, K511)])
def ran(request):
    seed, fallback = request.param
    batch = streams.batch(LANES, seed=seed, fallback=fallback)
    return batch, *run_streams(batch)


def test_every_lane_hands_out_the_oracles_pfns(ran):
    batch, zones, _ = ran
    for lane, stream in enumerate(batch):
        expected = np.asarray(stream.request_pfn)
        np.testing.assert_array_equal(np.asarray(zones.handle[lane])[: len(expected)], expected)


def test_every_list_has_the_oracles_order_at_every_snapshot(ran):
    batch, _, shots = ran
    for k, shot in enumerate(shots):
        for lane, stream in enumerate(batch):
            expected: dict = {}
            for pfn, order, mt in stream.lists[k].tolist():
                expected.setdefault((order, mt), []).append(pfn)
            assert shot[lane] == expected, f"lane {lane}, snapshot {k}"


def test_pageblock_types_and_free_counts_agree(ran):
    batch, zones, shots = ran
    for lane, stream in enumerate(batch):
        words = np.asarray(zones.block[lane])
        blocks = len(stream.block_mt)
        np.testing.assert_array_equal(words[:blocks] & 7, stream.block_mt)
        free = np.zeros(blocks * PAGEBLOCK_PAGES, int)
        for (order, _), pfns in shots[-1][lane].items():
            for pfn in pfns:
                free[pfn : pfn + (1 << order)] = 1
        counted = (words[:blocks] >> 6) & 1023
        np.testing.assert_array_equal(counted, free.reshape(blocks, -1).sum(1))
        assert int(zones.now.free[lane]) == free.sum()


def test_no_lane_reports_a_fault_and_the_streams_reach_the_rare_paths(ran):
    batch, zones, _ = ran
    assert not np.asarray(zones.now.fault).any()
    seen = {}
    for stream in batch:
        for path, count in stream.counts.items():
            seen[path] = seen.get(path, 0) + count
    rare = {"claimed_by_moving", "stolen"}
    if batch[0].start.settings["fallback"] == K511:
        rare |= {"moved_without_label", "zone_begins_within"}
    else:
        rare |= {"claim_failed_test", "merged_with_retyping"}
    for path in rare:
        assert seen[path] > 0, path


def test_the_compiled_step_copies_no_big_array():
    """An array that is read after it was written in the same step would be copied each step."""
    batch = streams.batch(4, seed=1, requests=50)
    zones = flow.stack([load(s.start, 64, percpu=False) for s in batch])
    own = recorded.Cursor(*(jnp.zeros(4, jnp.int32) for _ in range(2)))
    table = jnp.zeros((4, 64, 2), jnp.int32)
    run = xla.stream_runner(engine.pages_of(zones))
    text = run.lower(zones, own, table, 10).compile().as_text()
    loops = [c for c in re.split(r"\n(?=%|ENTRY)", text) if "scatter" in c or " while(" in c]
    assert loops, "the compiled text has no loop: this test looks at nothing"
    assert "xla_cpu_small_call" in text, "the loop is not one native function"
    big = {zones.link.shape[1], zones.block.shape[1], zones.handle.shape[1]}
    for line in text.splitlines():
        found = re.search(r"= s32\[4,(\d+)\]\S* copy\(", line)
        assert not (found and int(found[1]) in big), line


def test_giving_back_twice_is_a_fault_and_not_a_corruption():
    stream = streams.make(3, requests=40)
    twice = np.array([[0, 0, 1, 0, 0], [1, 0, -1, 0, 0], [1, 0, -1, 0, 0]], np.int32)
    with pytest.raises(engine.UserError, match="BAD_FREE"):
        replay(stream.start, twice)


def test_a_batch_is_the_same_bits_as_its_lanes_alone():
    batch = streams.batch(5, seed=7)
    together, _ = run_streams(batch)
    alone = [run_streams([stream])[0] for stream in batch]
    digests = np.asarray(engine.digest(together))
    for lane, zones in enumerate(alone):
        np.testing.assert_array_equal(np.asarray(engine.digest(zones))[0], digests[lane])
    assert len({d.tobytes() for d in digests}) == len(batch)


def test_a_program_is_made_once():
    run = xla.stream_runner(64 * PAGEBLOCK_PAGES)
    assert run is xla.stream_runner(64 * PAGEBLOCK_PAGES)
    # JAX makes the attribute when it is imported
    assert jax.config.jax_enable_x64 is False  # pyright: ignore[reportAttributeAccessIssue]
