"""cma_alloc one page further after -EBUSY: ranges that lie in two pageblocks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from secretjax.cases import CLASSES
from secretjax.mm.cma import ONE_FURTHER
from secretjax.mm.contig import IN_AREA
from secretjax.mm.layout import ORDER_SHIFT, WHERE_SHIFT, Use
from secretjax.mm.load import lists, load
from secretjax.mm.state import Op, Tick
from secretjax.mm.validate import validate
from secretjax.mm.words import Migratetype
from secretjax.proposals.base import command
from tests.driver import do, words
from tests.oracle import streams
from tests.oracle.cma import Area
from tests.oracle.kernel import Kernel
from tests.zones import fresh

BLOCKS, CMA_BLOCKS = 24, 6
PAGES, BASE = BLOCKS * 512, (BLOCKS - CMA_BLOCKS) * 512
TAKE = command(Op.TAKE, 1 << 20, -1, Use.USED, page=ONE_FURTHER)
CALM: dict[str, Any] = {"min": 0, "low": 0, "high": 0, "boost": 0, "score_high": 1000}


def aged(seed: int, pins: int):
    """A random start state and as many pinned pages of its CMA area."""
    start = streams.make(
        seed, pageblocks=BLOCKS, requests=10, ageing=4000, cma=CMA_BLOCKS, highatomic=0
    ).start
    anonymous = np.flatnonzero(start.page_class == CLASSES.index("anon_lru"))
    rng = np.random.default_rng(seed)
    inside = anonymous[anonymous >= BASE]
    return start, rng.choice(inside, min(pins, len(inside)), replace=False)


def zone_of(start, pinned):
    zone = load(start, percpu=False, **CALM)
    link = np.array(zone.link)
    link[2 * pinned] |= int(Use.FIXED)
    return zone._replace(link=link)


def free_lists(oracle) -> dict:
    found: dict = {}
    for pfn, order, mt in oracle.rows():
        found.setdefault((order, mt), []).append(pfn)
    return found


@pytest.mark.parametrize(
    "seed, pins, unaligned",
    [(1, 3, 3), (2, 1, 4), (3, 3, 0), (4, 8, 3), (5, 8, 1), (6, 2, 0), (7, 8, 2)],
)
def test_every_call_is_answered_as_the_kernel_does_and_leaves_the_same_lists(seed, pins, unaligned):
    start, pinned = aged(seed, pins)
    zone, oracle = zone_of(start, pinned), Kernel.from_start(start)
    area = Area(oracle, BASE, PAGES, set(pinned.tolist()))
    inside = 0
    for _ in range(CMA_BLOCKS + 1):
        zone, answer = do(zone, TAKE)
        expected = area.alloc()
        assert answer == (-1 if expected is None else expected)
        assert int(zone.ticks[Tick.TAKE_FAILED]) == area.busy
        assert int(zone.ticks[Tick.MIGRATED]) == area.migrated
        assert lists(np.asarray(zone.link), PAGES) == free_lists(oracle)
        assert (np.asarray(zone.block)[:BLOCKS] & 7).tolist() == oracle.block_mt
        assert validate(zone, PAGES) == []
        assert not int(zone.now.fault)
        if expected is None:
            break
        inside += expected % 512 > 0
    assert inside == unaligned and area.busy > 0


def test_without_memory_for_a_page_that_moves_no_other_range_is_tried():
    """mm/cma.c: cma_alloc() goes on after -EBUSY only; migrate_pages() says -ENOMEM here."""
    start, none = fresh(8 * 512), np.zeros(0, np.int64)
    label = np.where(start.block_pfn >= 5 * 512, int(Migratetype.CMA), start.block_mt)
    kinds = [CLASSES.index(name) for name in ("kernel_other", "anon_lru")]
    empty = dict.fromkeys(("list_pfn", "list_order", "list_mt", "list_kind"), none)
    full = np.repeat(kinds, [5 * 512, 3 * 512]).astype(np.uint8)
    zone = load(replace(start, page_class=full, block_mt=label, **empty), percpu=False, **CALM)
    for page in (IN_AREA, ONE_FURTHER):
        after, answer = do(zone, command(Op.TAKE, 1 << 20, -1, Use.USED, page=page))
        assert (answer, int(after.ticks[Tick.TAKE_FAILED])) == (-1, 1)
        assert (int(after.now.area), int(after.now.tries)) == (0, 0)
        assert validate(after, 8 * 512) == []


def test_a_range_in_two_pageblocks_is_held_in_aligned_pieces_that_can_be_given_back():
    start, _ = aged(2, 0)
    used = np.flatnonzero(start.page_class == CLASSES.index("anon_lru"))
    pinned = used[used >= BASE][:1]
    zone, first = do(zone_of(start, pinned), TAKE)
    assert first > pinned[0] and first % 512
    word = words(zone)
    in_use = word >> WHERE_SHIFT == 0
    heads = np.flatnonzero(in_use & ((word & Use.RANGE) != 0))
    sizes = 1 << (word[heads] >> ORDER_SHIFT)
    assert heads[0] == first and sizes.sum() == 512
    np.testing.assert_array_equal(heads[1:], (heads + sizes)[:-1])
    assert (heads % sizes == 0).all()
    for pfn, size in zip(heads.tolist(), sizes.tolist(), strict=True):
        zone, _ = do(zone, command(Op.FREE, size.bit_length() - 1, page=pfn))
    assert validate(zone, PAGES) == []
    assert not int(zone.now.fault)
    zone, again = do(zone, TAKE)
    assert again == first
