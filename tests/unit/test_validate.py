"""What `validate` says of a zone in which one thing is wrong."""

import jax
import numpy as np
import pytest

from secretjax.mm.layout import FREE_SHIFT, LRU_SHIFT, Use, absent_at
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


@pytest.mark.parametrize("name", ["free", "free_blocks", "free_huge", "pcp_count"])
def test_a_counter_of_the_zone_that_is_one_off(zone, name):
    now = zone.now._replace(**{name: getattr(zone.now, name) + 1})
    assert str(int(getattr(now, name))) in said(zone._replace(now=now))
