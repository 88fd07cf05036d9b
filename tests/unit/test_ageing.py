"""Aged memory: reproducible by (seed, number), sound, and where it was published to be."""

import numpy as np
import pytest

from secretjax import admission, cases, engine
from secretjax.ageing import LLFree, MetaLike, control, make
from secretjax.ageing.boot import booted, check_pages
from secretjax.ageing.portrait import portrait
from secretjax.ageing.run import age, start_states, starts_of
from secretjax.cases.start import ARRAYS
from secretjax.errors import UserError
from secretjax.mm.load import load
from secretjax.mm.validate import validate
from secretjax.mm.words import PAGEBLOCK_PAGES

PAGES, SEED = 1 << 15, 7


@pytest.fixture(scope="module")
def servers():
    """A block of eight servers, and their start states."""
    recipe = MetaLike()
    (block,) = age(recipe, PAGES, 8, SEED)
    return block, list(starts_of(recipe, block, SEED))


@pytest.fixture(scope="module")
def benchmarked():
    (block,) = age(LLFree(iterations=20), PAGES, 2, SEED)
    return block


def arrays(start):
    """All that a start state is, but its name."""
    return {name: getattr(start, name) for name in ARRAYS if hasattr(start, name)}


def same(one, other):
    assert one.zone == other.zone and one.settings == other.settings
    for name, array in arrays(one).items():
        np.testing.assert_array_equal(array, getattr(other, name), name)


def test_a_state_depends_on_its_seed_and_number_only(servers):
    _, together = servers
    alone = next(start_states(MetaLike(), PAGES, range(5, 6), SEED))
    assert alone.name == "meta_like_7_5"
    same(alone, together[5])
    digests = {start.list_pfn.tobytes() for start in together}
    assert len(digests) == len(together)


@pytest.mark.parametrize("which", ["servers", "benchmarked"])
def test_aged_zones_are_sound(which, request):
    block = request.getfixturevalue(which)
    block = block[0] if which == "servers" else block
    for lane in (0, len(block.numbers) - 1):
        assert validate(block.zone(lane), PAGES) == []


def test_a_start_state_is_the_zone_again(servers):
    block, starts = servers
    zone, again = block.zone(3), load(starts[3])
    assert validate(again, PAGES) == []
    blocks = PAGES // PAGEBLOCK_PAGES
    np.testing.assert_array_equal(again.block[:blocks], np.asarray(zone.block)[:blocks])
    for name in ("lists01", "lists23", "free", "free_huge", "free_blocks", "pcp_count"):
        assert int(getattr(again.now, name)) == int(getattr(zone.now, name)), name
    rows, back = (np.asarray(z.link).reshape(-1, 2) for z in (zone, again))
    listed = rows[:, 0] >> 27 > 0
    np.testing.assert_array_equal(rows[listed], back[listed])


def test_a_start_state_is_a_case_and_survives_its_file(servers, tmp_path):
    _, starts = servers
    cases.write_start(tmp_path / "aged.predict.npz", starts[2])
    same(cases.read(tmp_path / "aged.predict.npz"), starts[2])


def test_with_percpu_lists_the_threads_are_at_rest_and_the_lists_are_kept():
    recipe = MetaLike(percpu=True, bursts=1, calm=1, free=120)
    (block,) = age(recipe, 1 << 14, 2, SEED)
    assert validate(block.zone(0), 1 << 14) == []
    start = next(starts_of(recipe, block, SEED))
    assert start.zone["pcp_count"] == int(block.zones.now.pcp_count[0]) > 0
    assert int(load(start).now.pcp_full) == int(block.zones.now.pcp_full[0])


def test_proposals_run_on_aged_states(servers):
    from secretjax.proposals.pmd_pool import PmdPool
    from secretjax.workloads.growth import Growth

    demand = Growth(percents=(2,), churn_per_64_pages=4, huge_pages=1)
    found = engine.simulate(
        servers[1][:2], demand, PmdPool(), admission.make("none"), states=2, seed=1, ageing_events=0
    )
    assert (found.values["granted"][:, -1] > 0).all()


def test_servers_spread_what_was_put_in(servers):
    """A few states of 128 MiB; 64 of 512 MiB reach 34 %, see params/ageing.yaml."""
    found = [portrait(start).numbers for start in servers[1]]
    share = np.mean([n["unmovable"] for n in found]) / 10
    blocks = np.mean([n["unmovable_blocks"] for n in found]) / 10
    assert share == pytest.approx(7, abs=0.4)
    assert 20 < blocks < 50


def test_a_portrait_counts_every_managed_page_once(servers):
    for start in servers[1][:2]:
        found = portrait(start)
        whole = found.free + found.stays + found.movable
        assert whole.sum() == start.zone["managed"]
        assert whole.max() == PAGEBLOCK_PAGES
        assert found.numbers["free_pages"] == found.free.sum()


def test_what_was_never_handed_out_stays_so(benchmarked):
    """(0.98 - 0.90) / (0.98 - 0.45) of free memory is in huge frames, and stays there.

    Less a frame that is broken at either end of what was never handed out.
    """
    assert benchmarked.looks == tuple(str(k) for k in range(21))
    assert (benchmarked.free == benchmarked.free[:, :1]).all()
    whole = 0.08 / 0.53 * benchmarked.free / PAGEBLOCK_PAGES
    assert (whole - 2 <= benchmarked.huge).all() and (benchmarked.huge <= whole).all()
    assert (benchmarked.huge == benchmarked.huge[:, :1]).all()


def test_the_kernels_lists_keep_the_share_at_fifteen_percent():
    (block,) = age(LLFree(iterations=8), 1 << 17, 1, SEED)
    share = 100 * PAGEBLOCK_PAGES * block.huge / block.free
    assert abs(share[:, -1] - 15).max() < 1


@pytest.mark.parametrize("pages", [1 << 18, 1 << 20])
def test_the_control_repairs_fragmentation_along_an_s(pages):
    free, huge = control.run(LLFree(), pages, SEED)
    share = 100 * PAGEBLOCK_PAGES * huge / free
    assert (free == free[0]).all()
    assert share[0] == pytest.approx(15, abs=1) and share[100] == pytest.approx(95, abs=3)
    steps = np.diff(share)
    early, middle, late = steps[:30].sum(), steps[40:70].sum(), steps[80:].sum()
    assert middle > 50 and middle > 5 * late and middle > 20 * early
    published = {k: 100 * PAGEBLOCK_PAGES * n / control.PUBLISHED_FREE
                 for k, n in control.PUBLISHED.items()}  # fmt: skip
    assert all(abs(share[k] - published[k]) < 10 for k in published)


def test_the_control_depends_on_its_seed_and_number_only():
    one, other = (control.run(LLFree(iterations=3), PAGES, SEED, 2)[1] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    free = control.Memory(np.full(64, PAGEBLOCK_PAGES))
    free.take(PAGEBLOCK_PAGES + 5)
    assert free.reserved == 0 and (free.free[:2] == [0, PAGEBLOCK_PAGES - 5]).all()


def test_a_booted_zone_has_the_watermarks_of_the_captured_machine():
    """512 MiB and 1 GiB with khugepaged's minimum of 22 MiB: as in the captures' zones."""
    for pages, low, high in ((1 << 17, 7040, 8448), (1 << 18, 7040, 8448)):
        zone = booted(pages).zone
        assert (zone["min"], zone["low"], zone["high"]) == (5632, low, high)
    assert booted(1 << 17).zone["pcp_batch"] == 31 and booted(1 << 18).zone["pcp_batch"] == 63
    assert validate(load(booted(1 << 15)), 1 << 15) == []


@pytest.mark.parametrize("pages", [100, 1 << 23, (1 << 17) + 512])
def test_a_size_that_cannot_be_aged_is_refused(pages):
    with pytest.raises(UserError, match="can be aged"):
        check_pages(pages)


def test_an_unknown_recipe_is_named():
    with pytest.raises(UserError, match="did you mean 'meta_like'"):
        make("metalike")
