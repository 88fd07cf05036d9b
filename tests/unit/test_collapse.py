"""Entries of the direct map that become whole again, and what the start says of their size.

Source: Linux 6.15, arch/x86/mm/pat/set_memory.c, cpa_collapse_large_pages(), collapse_pmd_page().
"""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from secretjax.ledger import PROCESSES, Counts
from secretjax.mm.layout import SPLIT, WHERE_SHIFT, Use, Where, table_at
from secretjax.mm.load import load
from secretjax.mm.reading import events_of, read
from secretjax.mm.state import Op, Tick
from secretjax.mm.validate import validate
from secretjax.mm.words import Event, Migratetype, Secret
from secretjax.proposals.base import command
from tests.driver import do, words
from tests.zones import fresh, scattered

PAGES = 8 * 512
USE = Use.USED | Use.LRU | Use.SECRET
POLL = 40_000_000  # units of time in which kcompactd wakes more than once


def zone_with(collapse: str, level: int = 2, start=None):
    start = start or fresh(PAGES, level)
    return load(replace(start, settings=start.settings | {"collapse": collapse}), 64)


def hide(zone, count: int, first: int = 0, type_=Migratetype.UNMOVABLE):
    """Secret pages with the handles from `first` on, out of the direct map."""
    for k in range(first, first + count):
        page = {"type_": type_, "use": USE, "owner": k}
        zone, got = do(zone, command(Op.GET, **page))
        assert got >= 0
        zone, _ = do(zone, command(Op.UNMAP, handle=k))
    return zone


def give(zone, handles):
    """They go back into the direct map, then to the buddy."""
    for k in handles:
        zone, order = do(zone, command(Op.MAP, handle=k))
        assert order == 0
        zone, _ = do(zone, command(Op.PUT, handle=k))
    return zone


def tables(zone) -> int:
    row = words(zone)
    in_use = ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.USED) != 0)
    return int((in_use & ((row & Use.TABLE) != 0)).sum())


def collapsed(zone) -> int:
    return int(zone.ticks[Tick.COLLAPSED])


def test_the_last_page_that_comes_back_makes_the_entry_whole():
    zone = hide(zone_with("free"), 3)
    free = int(zone.now.free)
    zone = give(zone, (0, 2))
    assert (collapsed(zone), tables(zone)) == (0, 1)
    zone = give(zone, (1,))
    assert (collapsed(zone), tables(zone)) == (1, 0)
    assert not (np.asarray(zone.block[: PAGES // 512]) & SPLIT).any()
    assert int(zone.now.free) == free + 3 + 1  # the table's page too
    assert validate(zone, PAGES) == []
    events = events_of(zone.ticks, {})
    assert events[Event.COLLAPSED_2M] == events[Event.SPLIT_2M] == 1
    assert events[Event.FLUSH] == 3 + 1 + 1  # removals, the split, the collapse


def test_without_collapse_the_entry_stays_split_and_keeps_its_table():
    zone = give(hide(zone_with("never"), 3), range(3))
    assert (collapsed(zone), tables(zone)) == (0, 1)
    assert (np.asarray(zone.block[: PAGES // 512]) & SPLIT).sum() == SPLIT


def test_an_entry_can_be_split_and_made_whole_again_and_again():
    zone = zone_with("free")
    for _ in range(3):
        zone = give(hide(zone, 2), range(2))
    assert collapsed(zone) == int(zone.ticks[Tick.UNMAPPED_SPLIT]) == 3
    assert tables(zone) == 0
    assert validate(zone, PAGES) == []


@pytest.mark.parametrize("collapse", ["free", "scan"])
def test_what_was_split_before_the_run_stays_so(collapse):
    zone = give(hide(zone_with(collapse, level=1), 2), range(2))
    zone, _ = do(zone, command(Op.WAIT, page=POLL))
    assert collapsed(zone) == tables(zone) == 0
    assert ((np.asarray(zone.block[: PAGES // 512]) & SPLIT) != 0).all()


def test_a_scan_finds_what_is_whole_when_kcompactd_wakes():
    zone = zone_with("scan", start=scattered(PAGES))
    zone = hide(hide(zone, 20), 20, 20, Migratetype.MOVABLE)
    place = np.asarray(zone.handle[:40]) >> 9
    last = place == place.max()
    assert 0 < last.sum() < 40, "secrets were to lie in two pageblocks"
    zone = give(zone, np.flatnonzero(~last).tolist())
    assert collapsed(zone) == 0
    zone, _ = do(zone, command(Op.WAIT, page=POLL))
    assert collapsed(zone) == len(set(place[~last].tolist()))
    assert tables(zone) == 1
    kept = np.asarray(zone.block[table_at(PAGES, 0) :][: PAGES // 512])
    assert np.flatnonzero(kept).tolist() == [place.max()]
    assert int(zone.now.scan) == -1
    assert validate(zone, PAGES) == []


@pytest.mark.parametrize("protocol", [Secret.MOVES, Secret.MOVES | Secret.DIRECT_MAP])
def test_pages_that_move_away_leave_a_whole_entry(protocol):
    zone = load(replace_settings(scattered(PAGES), collapse="free"), 64)
    limits = zone.limits._replace(secret=zone.limits.secret + int(protocol))
    zone = hide(zone._replace(limits=limits), 16)
    before = set((np.asarray(zone.handle[:16]) >> 9).tolist())
    zone, _ = do(zone, command(Op.COMPACT))
    after = set((np.asarray(zone.handle[:16]) >> 9).tolist())
    assert before.isdisjoint(after), "all pages were to move"
    assert collapsed(zone) == len(before)
    split = np.asarray(zone.block[: PAGES // 512]) & SPLIT
    assert set(np.flatnonzero(split).tolist()) == after
    assert tables(zone) == len(after)
    assert validate(zone, PAGES) == []
    assert int(zone.now.fault) == 0


def replace_settings(start, **settings):
    return replace(start, settings=start.settings | settings)


@pytest.mark.parametrize(
    ("settings", "tried"),
    [
        ({"mapping": "unevictable"}, True),
        ({"mapping": "inaccessible"}, False),
        ({"compact_unevictable_allowed": 0}, False),
    ],
)
def test_compaction_isolates_unevictable_secrets_in_vain_and_others_not(settings, tried):
    """mm/compaction.c: isolate_migratepages_block() and its ISOLATE_UNEVICTABLE."""
    zone = hide(load(replace_settings(scattered(PAGES), **settings), 64), 16)
    before = np.asarray(zone.handle[:16])
    zone, _ = do(zone, command(Op.COMPACT))
    assert (int(zone.ticks[Tick.MIGRATE_FAILED]) > 0) == tried
    np.testing.assert_array_equal(np.asarray(zone.handle[:16]), before)
    assert validate(zone, PAGES) == []


@pytest.mark.parametrize(
    ("size", "entries"), [("4K", (PAGES, 0, 0)), ("2M", (0, 8, 0)), ("1G", (0, 0, 1))]
)
def test_a_start_with_entries_of_one_size(size, entries):
    for level in (1, 2):
        zone = load(fresh(PAGES, level).with_entries(size))
        zero = zone.now.free * 0
        nobody = jnp.zeros((PROCESSES, len(Counts._fields)), jnp.int32)
        known = dict.fromkeys(("pool_pages", "pool_idle", "promised", "files_up"), zero)
        found = read(zone, PAGES, {}, easy=zero, held=zero, program=known | {"users": nobody})
        assert tuple(found.entries.tolist()) == entries


def test_a_zone_that_ends_within_a_block_of_order_10_has_one_entry_too():
    start = fresh(PAGES)
    lists = {f"list_{k}": getattr(start, f"list_{k}")[:-1] for k in ("pfn", "order", "mt", "kind")}
    blocks = {f"block_{k}": getattr(start, f"block_{k}")[:-1] for k in ("pfn", "mt")}
    zone = start.zone | {"end_pfn": PAGES - 512}
    short = replace(start, zone=zone, page_class=start.page_class[:-512], **lists, **blocks)
    assert int(load(short.with_entries("1G")).now.giants) == 1
