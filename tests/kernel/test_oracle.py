"""The oracle is the kernel: on recorded requests, and on paths that the recordings do not take."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests import expect
from tests.oracle.kernel import REFUSED, ImpossibleFree, Kernel, replay
from tests.oracle.lists import K511, K610, K612Y, MOVABLE, RECLAIMABLE, UNMOVABLE
from tests.oracle.streams import batch, make

CASES = Path(__file__).parents[2] / "params" / "kernel"
SMALL = ["f_thp_s1", "f_pt_s1", "f_sock_s1", "f_secretfrag_s1"]
OLDER = ["f_pt_s1_k61", "f_sock_s1_k61", "f_secretfrag_s1_k61", "f_subsecret_s1_k61"]


def lists_of(answer) -> list[np.ndarray]:
    rows = np.stack([answer[f"list_{k}"].astype(np.int64) for k in ("pfn", "order", "mt")], axis=1)
    return np.split(rows, answer["list_off"][1:-1])


@pytest.mark.parametrize("name", [*SMALL, *OLDER])
def test_every_pfn_and_list_is_the_kernels(name):
    case = expect.replay(CASES / f"{name}.replay.npz")
    zone = Kernel.from_start(case.start)
    pfns, lists = replay(zone, case.requests)
    with np.load(CASES / f"{name}.replay.expected.npz") as kernel:
        np.testing.assert_array_equal(pfns, kernel["request_pfn"])
        expected = lists_of(kernel)
    assert len(lists) == len(expected) == len(case.snapshots)
    for mine, theirs in zip(lists, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def zone_of(
    types: list[int],
    free: list[tuple[int, int]],
    movable: bool = False,
    fallback: str = K612Y,
) -> Kernel:
    """A zone of 512-page blocks in use, but for the (pfn, order) given back in that order."""
    zone = Kernel(1, 512 * len(types), types, fallback)
    zone.in_use[1:] = b"\1" * (zone.end_pfn - 1)
    zone.movable[1:] = bytes([movable]) * (zone.end_pfn - 1)
    for pfn, order in free:
        zone.free(pfn, order)
    return zone


def rows(zone: Kernel) -> list[tuple[int, int, int]]:
    return list(zone.rows())


def test_claiming_moves_free_blocks_to_the_tails_by_address():
    free = [(1024, 5), (1024 + 64, 4), (1024 + 128, 7), (1024 + 32 + 256, 4), (512, 4)]
    zone = zone_of([UNMOVABLE, MOVABLE, RECLAIMABLE], free)
    zone._retype(512, 9, UNMOVABLE)
    zone._remove(512, 4, MOVABLE)
    zone._add(512, 4, UNMOVABLE)
    for pfn in range(1024 + 256 + 64, 1024 + 512, 64):
        zone.free(pfn, 6)
    assert zone.alloc(6, UNMOVABLE) == 1024 + 256 + 64
    assert zone.block_mt == [UNMOVABLE, UNMOVABLE, UNMOVABLE]
    assert zone.counts["claimed_by_moving"] == 1
    order_4 = [pfn for pfn, order, mt in rows(zone) if (order, mt) == (4, UNMOVABLE)]
    assert order_4 == [512, 1024 + 64, 1024 + 32 + 256]
    assert not [row for row in rows(zone) if row[2] == RECLAIMABLE]


def test_stealing_takes_the_smallest_and_leaves_the_rest_where_it_was():
    zone = zone_of([UNMOVABLE, MOVABLE], [(512, 3), (576, 1)], movable=True)
    assert zone.alloc(0, UNMOVABLE, refill=1) == 576
    assert rows(zone) == [(577, 0, MOVABLE), (512, 3, MOVABLE)]
    assert zone.counts["claim_failed_test"] == 2
    assert zone.counts["stolen"] == 1
    assert zone.block_mt[1] == MOVABLE


def test_k610_cuts_the_page_out_of_the_largest_block():
    zone = zone_of([UNMOVABLE, MOVABLE], [(512, 3), (576, 1)], movable=True, fallback=K610)
    assert zone.alloc(0, UNMOVABLE) == 512
    left = [(513, 0), (514, 1), (576, 1), (516, 2)]
    assert rows(zone) == [(pfn, order, MOVABLE) for pfn, order in left]
    assert zone.block_mt[1] == MOVABLE


def test_k511_takes_all_that_is_free_in_the_pageblock_and_its_label_only_by_the_test():
    zone = zone_of([UNMOVABLE, MOVABLE], [(512, 3), (576, 1)], movable=True, fallback=K511)
    assert zone.alloc(0, UNMOVABLE) == 576, "the smallest, not the one that was found"
    assert rows(zone) == [(577, 0, UNMOVABLE), (512, 3, UNMOVABLE)]
    assert zone.block_mt[1] == MOVABLE
    zone = zone_of([UNMOVABLE, MOVABLE], [(512, 3), (576, 1)], movable=False, fallback=K511)
    zone.alloc(0, UNMOVABLE)
    assert zone.block_mt[1] == UNMOVABLE


def test_k511_a_movable_request_takes_the_smallest_block_whole():
    free = [(512, 3), (576, 1)]
    zone = zone_of([MOVABLE, UNMOVABLE], free, movable=True, fallback=K511)
    assert zone.alloc(0, MOVABLE) == 576
    assert rows(zone) == [(577, 0, MOVABLE), (512, 3, UNMOVABLE)]


def test_k511_puts_a_page_on_the_list_of_its_cached_type():
    zone = zone_of([UNMOVABLE, MOVABLE], [], fallback=K511)
    zone.free(512, 0, UNMOVABLE)
    zone.free(513, 0)
    assert rows(zone) == [(512, 1, MOVABLE)]
    assert zone.block_mt[1] == MOVABLE


def test_within_a_refill_stealing_goes_on():
    def second(refill):
        zone = zone_of([UNMOVABLE, MOVABLE], [(512, 3), (576, 1)], movable=True)
        zone.alloc(0, UNMOVABLE, refill=1)
        zone.free(4, 2)
        return zone.alloc(0, UNMOVABLE, refill=refill)

    assert second(1) == 577
    assert second(2) == 4


def test_the_first_pageblock_cannot_be_claimed_since_pfn_0_is_not_in_the_zone():
    zone = zone_of([MOVABLE, UNMOVABLE], [(256, 8), (128, 7)])
    assert zone.alloc(0, UNMOVABLE) == 128
    assert zone.block_mt == [MOVABLE, UNMOVABLE]
    assert zone.counts["claim_failed_zone_edge"] == 2


def test_a_movable_request_claims_no_small_block():
    zone = zone_of([MOVABLE, UNMOVABLE], [(512 + 64, 3)], movable=True)
    assert zone.alloc(0, MOVABLE) == 512 + 64
    assert zone.block_mt == [MOVABLE, UNMOVABLE]
    assert zone.counts["claim_left_small"] == 1


def test_merging_across_pageblocks_takes_the_type_of_what_was_freed_last():
    zone = zone_of([UNMOVABLE, UNMOVABLE, MOVABLE, RECLAIMABLE], [(1024, 9), (1536, 9)])
    assert rows(zone) == [(1024, 10, RECLAIMABLE)]
    assert zone.block_mt[2:] == [RECLAIMABLE, RECLAIMABLE]


def test_an_order_10_block_is_freed_pageblock_by_pageblock():
    zone = zone_of([MOVABLE] * 4, [(1024, 10)])
    assert rows(zone) == [(1024, 10, MOVABLE)]
    zone = zone_of([MOVABLE, MOVABLE, MOVABLE, 4], [(1024, 10)])
    assert rows(zone) == [(1024, 9, MOVABLE), (1536, 9, 4)]


def test_movable_requests_prefer_cma_while_it_is_over_half_of_what_is_free():
    zone = zone_of([MOVABLE, MOVABLE, MOVABLE, 4], [(1024, 1), (1536, 2)])
    got = [zone.alloc(0, MOVABLE) for _ in range(3)]
    assert got == [1536, 1537, 1024]
    assert zone.counts["cma_preferred"] == 2
    assert zone.alloc(2, UNMOVABLE) == REFUSED


def test_what_is_not_in_use_cannot_be_freed():
    zone = zone_of([MOVABLE, MOVABLE], [(512, 3)])
    for pfn, order in [(512, 0), (0, 0), (513, 1), (1020, 3), (-1, 0)]:
        with pytest.raises(ImpossibleFree):
            zone.free(pfn, order)


ALWAYS = {
    "claimed_whole", "claimed_by_moving", "claim_left_small", "stolen", "cma_before_fallback",
    "cma_preferred", "freed_to_tail", "halved_before_free", "merge_forbidden", "refused",
}  # fmt: skip
SINCE_6_10 = {
    "claim_failed_test", "claim_failed_zone_edge", "freed_in_two_pageblocks",
    "merged_with_retyping",
}  # fmt: skip
PATHS = {
    K511: ALWAYS | {"moved_without_label"},
    K610: ALWAYS | SINCE_6_10,
    K612Y: ALWAYS | SINCE_6_10 | {"stolen_in_steal_mode"},
}


@pytest.mark.parametrize("fallback", PATHS)
def test_streams_take_every_path_and_are_what_a_fresh_oracle_answers(fallback):
    counts = Counter()
    for stream in batch(8, seed=1, requests=2000, fallback=fallback):
        assert stream.requests.shape == (2000, 5)
        zone = Kernel.from_start(stream.start)
        pfns, lists = replay(zone, stream.requests)
        np.testing.assert_array_equal(pfns, stream.request_pfn)
        for mine, theirs in zip(lists, stream.lists, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert zone.block_mt == stream.block_mt
        counts += stream.counts
    never = PATHS[fallback] - {path for path, n in counts.items() if n > 0}
    assert not never
    orders = {row[1] for row in stream.requests.tolist() if row[0] == 0}
    assert orders == set(range(11))


def test_a_seed_gives_the_same_stream_and_another_seed_another():
    first, again, other = (make(seed, requests=400, ageing=400) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.requests, again.requests)
    np.testing.assert_array_equal(first.request_pfn, again.request_pfn)
    assert not np.array_equal(first.requests, other.requests)
