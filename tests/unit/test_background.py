"""Background work: its random numbers, and which free memory counts where it is begun."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from secretjax.mm.background import half_second, next_random
from secretjax.mm.layout import Use
from secretjax.mm.load import load
from secretjax.mm.state import Bit, Op, Tick
from secretjax.mm.words import DIRECT, PAGEBLOCK_ORDER, Migratetype
from secretjax.proposals.base import command
from tests.driver import do
from tests.zones import fresh, scattered

CALM: dict[str, Any] = {"min": 0, "low": 0, "high": 0, "boost": 0, "score_high": 1000}
PER_CPU = {"pcp_batch": 8, "pcp_high": 40, "pcp_high_min": 40, "pcp_high_max": 40}


def test_random_words_are_those_of_xorshift32():
    """George Marsaglia, Xorshift RNGs, 2003: shifts by 13, 17 and 5, begun at 1."""
    x, found = jnp.int32(1), []
    for _ in range(4):
        x = next_random(x)
        found.append(int(x))
    assert found == [270369, 67634689, -1647531835, 307599695]


def test_the_task_does_1_to_6_4_times_the_least_in_half_a_second():
    zone = load(fresh(1024))
    seeds = np.random.default_rng(1).integers(1, 1 << 31, 4096, dtype=np.int32)
    drawn = lambda seed: half_second(zone.now._replace(random=seed), zone.limits)[0]  # noqa: E731
    pace = jax.vmap(drawn)(jnp.asarray(seeds))
    factor = np.asarray(pace) / int(zone.limits.period)
    assert (factor >= 1).all() and (factor < 6.4).all()
    assert factor.max() > 6 and factor.min() < 1.05
    assert np.median(factor) == pytest.approx(2.6, rel=0.1)


def half_of_type(kind: Migratetype, used: str):
    """16 pageblocks: 3072 free pages in small pieces, and 4096 in whole pageblocks of this type."""
    start = scattered(16 * 512, used, below=8 * 512)
    label, listed = start.block_mt.copy(), start.list_mt.copy()
    label[8:] = listed[start.list_pfn >= 8 * 512] = int(kind)
    return replace(start, block_mt=label, list_mt=listed, zone=start.zone | PER_CPU)


@pytest.mark.parametrize("kind", [Migratetype.CMA, Migratetype.HIGHATOMIC])
@pytest.mark.parametrize(("high", "left"), [(1000, 0), (3000, 7)])
def test_lists_are_drained_if_enough_is_free_without_cma_and_reserve(kind, high, left):
    """mm/vmscan.c: compaction_ready(): above high and two huge pages, 1024; 3071 pages count."""
    zone = load(half_of_type(kind, "kernel_other"), 64, **CALM | {"high": high})
    deferred = {"shift": 6, "considered": 0, "failed_order": 0}
    given = {name: jnp.int32(value) for name, value in deferred.items()}
    zone = zone._replace(now=zone.now._replace(**given))
    zone, _ = do(zone, command(Op.GET, 0, Migratetype.UNMOVABLE, Use.USED, owner=1))
    assert int(zone.now.pcp_count) == 7
    huge = command(Op.GET, PAGEBLOCK_ORDER, Migratetype.UNMOVABLE, Use.USED, compact=DIRECT)
    zone, answer = do(zone, huge)
    assert (answer, int(zone.now.pcp_count)) == (-1, left)


@pytest.mark.parametrize(("least", "moves"), [(3000, True), (3500, False)])
def test_compaction_takes_no_target_if_the_rest_is_below_min_without_the_reserve(least, moves):
    """mm/page_alloc.c: __isolate_free_page(): zone_watermark_ok() of 3072 pages that count."""
    start = half_of_type(Migratetype.HIGHATOMIC, "anon_lru")
    zone, _ = do(load(start, percpu=False, **CALM | {"min": least}), command(Op.COMPACT))
    assert (int(zone.ticks[Tick.MIGRATED]) > 0) is moves


@pytest.mark.parametrize("boost", [0, 1000])
def test_a_claim_boosts_unless_the_factor_is_0(boost):
    """mm/page_alloc.c: boost_watermark() is false, so ZONE_BOOSTED_WATERMARK is not set."""
    zone, seen = load(scattered(16 * 512), percpu=False, **CALM | {"boost": boost}), set()
    asked = command(Op.ALLOC, 0, Migratetype.UNMOVABLE, Use.USED)
    do(zone, asked, lambda z: seen.add(int(z.now.flags) & int(Bit.BOOSTED) != 0))
    assert seen == {boost > 0}
