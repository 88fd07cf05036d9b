"""Pools: what they do when they are filled, empty, idle, and what growing them may do."""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import admission, engine, proposals
from secretjax.cases import CLASSES
from secretjax.errors import UserError
from secretjax.mm.layout import Use
from secretjax.mm.load import load
from secretjax.mm.state import Op, Run, Tick
from secretjax.mm.words import DIRECT, LIGHT, NORETRY, PAGEBLOCK_ORDER, THP, Migratetype
from secretjax.proposals.base import command
from secretjax.study import plugins
from secretjax.workloads.base import Do, Script, Workload
from tests.driver import do
from tests.zones import fresh, scattered

PAGES = 32 * 512


@dataclass(frozen=True)
class Rows(Workload):
    """A demand given as rows, measured at the start and after each."""

    rows: tuple[tuple[int, int], ...]

    def secret(self, total):
        return sum(count for op, count in self.rows if op == Do.GROW)

    def events(self, total):
        return 0

    def write(self, script: Script, total, churn):
        script.measure("start")
        for k, (op, count) in enumerate(self.rows):
            script.do(Do(op), count)
            script.measure(f"row_{k}")


def file(pages):
    return ((int(Do.OPEN), pages), (int(Do.GROW), pages))


def run(rows, proposal, start=None, **options):
    """{metric: values at each measuring point} of one state."""
    made = proposals.make(proposal, **options)
    starts = [start or scattered(PAGES, below=1024)]
    out = engine.simulate(starts, Rows(rows), made, admission.make("none"), states=4, seed=1)
    return {name: value[0] for name, value in out.values.items()}


def last_block():
    """One free pageblock, all else in use, one entry of 1 GiB: no page for the table of a split."""
    start = fresh(PAGES, level=3)
    names = ["anon_lru", "free_buddy"] + ["kernel_other"] * (PAGES // 512 - 2)
    kinds = [CLASSES.index(name) for name in names]
    return replace(
        start, list_pfn=np.array([512]), list_order=np.array([9]), list_mt=np.array([1]),
        list_kind=np.array([0]), page_class=np.repeat(kinds, 512).astype(np.uint8),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["pmd_pool", "unmapped_blocks"])
def test_a_block_that_cannot_leave_the_direct_map_is_nobodys_secret(name):
    options = {"shared": True, "fallback": False} if name == "pmd_pool" else {}
    value = run(file(10), name, last_block(), **options)
    for metric in ("granted", "secret_pages", "pool_pages", "nonpresent", "dm_1g_split"):
        assert (value[metric] == 0).all(), metric
    assert value["refused_fault"][-1] == 10
    assert (value["free_pages"] + value["pcp_pages"] == 512).all()
    assert value["free_2m"][-1] == 1


class TestFixedPool:
    """25 % of 32 pageblocks is 8 blocks, 4096 pages."""

    ROWS = (*file(6000), (int(Do.CLOSE), 6000))

    def test_it_is_filled_before_the_demand_and_never_shrinks(self):
        value = run(self.ROWS, "fixed_pool", percent=25)
        assert (value["pool_pages"] == 4096).all()
        np.testing.assert_array_equal(value["stranded_pages"], [4096, 4096, 0, 4096])
        assert (value["nonpresent"] == 4096).all()

    def test_nothing_is_split_or_unmapped_at_run_time(self):
        value = run(self.ROWS, "fixed_pool", percent=25)
        for name in ("dm_2m_split", "unmap_call", "map_call", "flush", "taken"):
            assert (value[name] == 0).all(), name

    @pytest.mark.parametrize("when_empty, faults", [("oom", (1, 0)), ("sigbus", (0, 1))])
    def test_when_it_is_empty_the_fault_is_refused(self, when_empty, faults):
        value = run(self.ROWS, "fixed_pool", percent=25, when_empty=when_empty)
        assert value["granted"][2] == 4096
        assert value["refused_fault"][2] == 6000 - 4096
        assert (value["oom_fault"][2], value["sigbus_fault"][2]) == faults

    def test_or_a_single_page_is_taken_as_in_per_page(self):
        value = run(self.ROWS, "fixed_pool", percent=25, when_empty="fallback")
        assert value["granted"][2] == 6000
        assert value["fallback_pages"][2] == value["unmap_call"][2] == 6000 - 4096
        assert value["dm_2m_split"][2] >= (6000 - 4096) // 512
        assert value["pool_pages"][3] == value["stranded_pages"][3] == 4096

    def test_what_others_use_is_moved_out_of_it_first(self):
        value = run(file(1), "fixed_pool", scattered(PAGES, "anon_lru"), percent=25)
        assert (value["pool_pages"] == 4096).all()

    def test_a_block_that_cannot_be_emptied_is_left_out(self):
        value = run(file(1), "fixed_pool", scattered(PAGES, "kernel_other"), percent=25)
        assert (value["pool_pages"] == 0).all()
        assert value["refused_fault"][2] == 1

    def test_a_wrong_option_is_refused(self):
        for given, match in (({"when_empty": "panic"}, "'oom', 'sigbus'"), ({"percent": 95}, "90")):
            with pytest.raises(UserError, match=match):
                plugins.options("proposal", "fixed_pool", given, "mine.yaml", "options")


def grow(flags, start=None, **now):
    """Runs of compaction seen while a block is asked for, and the zone after it."""
    zone = load(start or scattered(PAGES), 4)
    given = {name: jnp.asarray(value, jnp.int32) for name, value in now.items()}
    zone = zone._replace(now=zone.now._replace(**given))
    runs = set()
    asked = command(Op.GET, PAGEBLOCK_ORDER, Migratetype.UNMOVABLE, Use.USED, compact=flags)
    zone, answer = do(zone, asked, lambda z: runs.add(Run(int(z.now.run))))
    assert answer == -1
    return runs - {Run.NONE}, zone


class TestFlags:
    """__alloc_pages_slowpath() where no compaction can help."""

    DEFERRED: ClassVar = {"shift": 6, "considered": 0, "failed_order": 0}

    def test_direct_compacts_twice_the_second_time_harder(self):
        runs, zone = grow(DIRECT)
        assert runs == {Run.ASYNC, Run.SYNC_LIGHT}
        assert int(zone.now.stalls) == int(zone.ticks[Tick.STALLED]) == 2

    def test_noretry_stays_async(self):
        runs, zone = grow(NORETRY)
        assert runs == {Run.ASYNC}
        assert int(zone.now.stalls) == 2

    def test_noretry_gives_up_where_compaction_is_deferred(self):
        runs, zone = grow(NORETRY, **self.DEFERRED)
        assert (runs, int(zone.now.stalls)) == (set(), 1)
        runs, zone = grow(DIRECT, **self.DEFERRED)
        assert (runs, int(zone.now.stalls)) == (set(), 2)

    @pytest.mark.parametrize(
        "flags, wakes", [(0, True), (DIRECT, True), (THP, False), (LIGHT, False)]
    )
    def test_light_does_not_compact_and_does_not_wake_kswapd(self, flags, wakes):
        runs, zone = grow(flags)
        assert (int(zone.now.kswapd_order) == PAGEBLOCK_ORDER) is wakes
        assert bool(runs) is (flags in (DIRECT, THP))

    def test_where_free_blocks_are_large_compaction_is_not_begun(self):
        """mm/vmstat.c: __fragmentation_index() is 469, of vm.extfrag_threshold's 500."""
        start, halves = fresh(PAGES), np.arange(0, PAGES, 512)
        kinds = [CLASSES.index(name) for name in ("free_buddy", "kernel_other")]
        lists = {"list_pfn": halves, "list_order": np.full_like(halves, 8)}
        lists |= {"list_mt": np.ones_like(halves), "list_kind": np.zeros_like(halves)}
        classes = np.tile(np.repeat(kinds, 256), len(halves)).astype(np.uint8)
        runs, zone = grow(DIRECT, replace(start, page_class=classes, **lists))
        assert (runs, int(zone.now.stalls)) == (set(), 0)


class TestUnmappedBlocks:
    ROWS = (*file(600), (int(Do.CLOSE), 600), (int(Do.DRAIN), 64))

    def test_a_pageblock_is_unmapped_in_one_call_and_its_pages_are_zeroed_apart(self):
        value = run(self.ROWS, "unmapped_blocks")
        assert value["unmap_call"][2] == value["flush"][2] == 2  # two blocks for 600 pages
        assert value["pool_pages"][2] == 1024
        assert value["dm_2m_split"][2] == 0
        assert value["window"][2] == value["zeroed"][2] == 600

    def test_freed_pages_stay_unmapped(self):
        value = run(self.ROWS, "unmapped_blocks")
        assert value["stranded_pages"][3] == value["nonpresent"][3] == 1024
        assert value["map_call"][3] == 0

    @pytest.mark.parametrize(
        "back, closed, drained", [("never", 1024, 1024), ("pressure", 1024, 0), ("at_once", 0, 0)]
    )
    def test_whole_free_blocks_go_back(self, back, closed, drained):
        value = run(self.ROWS, "unmapped_blocks", back=back)
        np.testing.assert_array_equal(value["pool_pages"][3:], [closed, drained])
        assert value["huge_ok"][4] == 30 - drained // 512
        assert value["map_call"][4] == (1024 - drained) // 512

    def test_no_single_page_is_taken_where_no_block_is_to_be_had(self):
        value = run(file(1), "unmapped_blocks", scattered(PAGES))
        assert (value["granted"][2], value["refused_fault"][2]) == (0, 1)


@pytest.mark.parametrize("align_mib", [2, 16, 32])
def test_a_cma_area_lies_in_aligned_ranges_that_the_zone_holds_whole(align_mib):
    start = fresh(PAGES)
    per = align_mib // 2  # pageblocks in a range
    known = np.zeros(PAGES >> PAGEBLOCK_ORDER, bool)
    known[start.block_pfn >> PAGEBLOCK_ORDER] = True
    whole = known.reshape(-1, per).all(1).repeat(per)
    made = proposals.make("cma_pool", area_percent=50, align_mib=align_mib).prepare(start)
    area = made.block_pfn[made.block_mt == Migratetype.CMA] >> PAGEBLOCK_ORDER
    assert len(area) and whole[area].all()
    movable = start.block_pfn[start.block_mt == Migratetype.MOVABLE] >> PAGEBLOCK_ORDER
    assert set(area) == set(sorted(b for b in movable if whole[b])[-len(area) :])


def test_a_cma_area_has_no_pageblock_with_a_page_that_stays():
    made = proposals.make("cma_pool", area_percent=100).prepare(scattered(PAGES, below=1024))
    assert made.block_mt.tolist() == [1, 1] + [int(Migratetype.CMA)] * 30


def test_an_alignment_that_no_range_has_is_one_sentence():
    with pytest.raises(UserError, match="no range of 1024 MiB lies in its 64 MiB whole"):
        proposals.make("cma_pool", align_mib=1024).prepare(fresh(PAGES))
    with pytest.raises(ValueError, match="2, 4, 8"):
        proposals.make("cma_pool", align_mib=3)
