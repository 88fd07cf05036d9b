"""What `validate` says of a zone in which one thing is wrong."""

import jax
import numpy as np
import pytest

from secretjax.mm.layout import (
    FREE_SHIFT,
    LRU_SHIFT,
    ORDER_SHIFT,
    WHERE_SHIFT,
    Use,
    Where,
    absent_at,
    table_at,
)
from secretjax.mm.load import load
from secretjax.mm.validate import validate
from secretjax.study.arms import Kernel
from tests.oracle import streams

PAGES = 32 * 512


@pytest.fixture
def zone():
    start = streams.make(1, pageblocks=32, requests=10, cma=0).start
    return jax.tree.map(np.array, load(start.on(Kernel(collapse="free")), 16))


def said(zone):
    return " / ".join(validate(zone, PAGES))


def test_a_sound_zone_has_nothing_wrong(zone):
    assert said(zone) == ""


@pytest.mark.parametrize(("name", "shift"), [("free", FREE_SHIFT), ("LRU", LRU_SHIFT)])
def test_a_pageblock_that_counts_one_page_more(zone, name, shift):
    count = int(zone.block[5]) >> shift & 1023
    zone.block[5] += 1 << shift
    assert f"pageblock 5 counts {count + 1} {name} pages, has {count}" in said(zone)


def test_a_page_that_is_on_an_lru_list_and_not_counted(zone):
    word = zone.link[: 2 * PAGES : 2]
    at = int(np.flatnonzero((word & Use.USED != 0) & (word & Use.LRU == 0))[0])
    count = int(zone.block[at >> 9]) >> LRU_SHIFT & 1023
    word[at] |= int(Use.LRU)
    assert f"pageblock {at >> 9} counts {count} LRU pages, has {count + 1}" in said(zone)


def test_an_absent_page_that_is_not_counted(zone):
    word = zone.link[: 2 * PAGES : 2]
    at = int(np.flatnonzero((word & Use.USED) != 0)[0])
    word[at] |= int(Use.UNMAPPED)
    assert f"pageblock {at >> 9} counts 0 absent pages, has 1" in said(zone)
    zone.block[absent_at(PAGES, at)] += 1
    assert said(zone) == ""


COUNTERS = ("free", "free_cma", "free_atomic", "free_blocks", "free_huge", "pcp_count")


@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_of_the_zone_that_is_one_off(zone, name):
    now = zone.now._replace(**{name: getattr(zone.now, name) + 1})
    assert str(int(getattr(now, name))) in said(zone._replace(now=now))


def first(zone, where, used):
    """The first page of a block: a free one of order 1 or more, or one in use."""
    word = zone.link[: 2 * PAGES : 2]
    has = (word & Use.USED != 0) if used else (word >> ORDER_SHIFT & 15) > 0
    return int(np.flatnonzero((word >> WHERE_SHIFT == where) & has)[0])


@pytest.mark.parametrize(
    ("place", "flip", "told"),
    [
        (lambda free, used: 2 * free + 1, 1, "does not point back"),
        (lambda free, used: 2 * free, 1 << ORDER_SHIFT, "has another order"),
        (lambda free, used: 2 * free + 2, 2, "inside a block is not 0"),
        (lambda free, used: 2 * used + 1, -4, "points elsewhere"),
    ],
)
def test_a_row_that_breaks_an_invariant_is_told(zone, place, flip, told):
    zone.link[place(first(zone, Where.BUDDY, False), first(zone, Where.NONE, True))] ^= flip
    assert told in said(zone)


def test_a_pageblock_of_another_type_than_its_lists_is_told(zone):
    zone.block[first(zone, Where.BUDDY, False) >> 9] ^= 1
    assert "lies in a pageblock of type" in said(zone)


def test_a_free_page_that_is_said_to_hold_a_table_is_told(zone):
    zone.block[table_at(PAGES, 0)] = 1 + first(zone, Where.BUDDY, False)
    assert "is said to hold a table" in said(zone)


def test_a_bit_of_a_list_that_is_wrong_is_told(zone):
    now = zone.now._replace(lists01=zone.now.lists01 ^ 1)
    assert "its bit says" in said(zone._replace(now=now))
