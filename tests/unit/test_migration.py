"""How a secret page is moved, step by step: it is never visible outside the protocol's window.

Protocols: David Hildenbrand, Mike Rapoport, linux-mm, February 2021. direct_map: map the source,
copy, unmap the destination. temporary: unmap the destination while it is empty, copy through a
window that one CPU sees.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from secretjax.mm.layout import SPLIT, WHERE_SHIFT, Use, Where
from secretjax.mm.load import load
from secretjax.mm.reading import events_of
from secretjax.mm.state import Op, Phase, Sub, Tick
from secretjax.mm.validate import validate
from secretjax.mm.words import Event, Migratetype, Secret
from secretjax.proposals.base import command
from tests.driver import do, words
from tests.zones import scattered

PAGES, COUNT = 8 * 512, 16
USE = Use.USED | Use.LRU | Use.SECRET
TEMPORARY, MAPPED = int(Secret.MOVES), int(Secret.MOVES | Secret.DIRECT_MAP)
TARGETS = {5}


def secret_pages(protocol: int, kind: str = "kernel_other"):
    """A zone with holes everywhere and COUNT secret pages in its first pageblocks.

    kind: the class of the other pages in use.
    """
    zone = load(scattered(PAGES, kind), COUNT)
    zone = zone._replace(limits=zone.limits._replace(secret=jnp.asarray(protocol, jnp.int32)))
    for k in range(COUNT):
        page = {"type_": Migratetype.UNMOVABLE, "use": USE, "owner": k}
        zone, got = do(zone, command(Op.GET, **page))
        assert got >= 0
        zone, _ = do(zone, command(Op.UNMAP, handle=k))
    return zone


def unmapped(row):
    """How many pages in use are absent from the direct map."""
    return int((in_use(row) & ((row & Use.UNMAPPED) != 0)).sum())


def in_use(row):
    return ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.USED) != 0)


class Watch:
    """What can be seen of secrets after each step."""

    def __init__(self):
        self.visible, self.phases, self.targets, self.spots = [], [], [], []

    def __call__(self, zone):
        row = words(zone)
        secret = in_use(row) & ((row & Use.SECRET) != 0)
        moved = (row & Use.MOVED) != 0  # its content is elsewhere, itself zeroed
        seen = np.flatnonzero(secret & ~moved & ((row & Use.UNMAPPED) == 0))
        self.visible.append(frozenset(seen.tolist()))
        self.phases.append(int(zone.now.phase))
        asked = zone.now.page if int(zone.now.sub) == Sub.TARGET else -1
        self.targets.append(int(jnp.maximum(zone.now.target, asked)))
        self.spots.append(int(zone.now.spot))
        for page in np.flatnonzero(moved & secret):  # what has moved is hidden where it is now
            assert row[int(zone.handle[int(zone.link[2 * page + 1])])] & Use.UNMAPPED


def compact(protocol, split=()):
    zone, watch = secret_pages(protocol), Watch()
    for block in split:
        zone = zone._replace(block=zone.block.at[block].set(zone.block[block] | SPLIT))
    before = np.asarray(zone.handle[:COUNT])
    zone, _ = do(zone, command(Op.COMPACT), watch)
    assert validate(zone, PAGES) == []
    assert int(zone.now.fault) == 0
    return zone, watch, before


@pytest.fixture(scope="module", params=[TEMPORARY, MAPPED])
def ran(request):
    return request.param, *compact(request.param)


def test_pages_move_and_stay_hidden(ran):
    _, zone, _, before = ran
    after = np.asarray(zone.handle[:COUNT])
    assert (after != before).any()
    row = words(zone)
    assert ((row[after] & (Use.SECRET | Use.UNMAPPED)) == (Use.SECRET | Use.UNMAPPED)).all()
    assert unmapped(row) == COUNT


def test_only_the_empty_destination_or_both_pages_of_a_move_are_ever_visible(ran):
    """Both only in P7a: from the source's return until it is zeroed, after the destination left."""
    protocol, _, watch, _ = ran
    most = 0
    for k, seen in enumerate(watch.visible):
        target, source = watch.targets[k], watch.spots[k]
        allowed = {target}
        if protocol == MAPPED and target >= 0:
            allowed = {target, source}
        if protocol == MAPPED and watch.phases[k] == Phase.MARK:
            allowed = {source}
        assert seen <= allowed
        most = max(most, len(seen))
    assert most == (1 if protocol == TEMPORARY else 2)


def test_the_order_of_steps(ran):
    """temporary: destination out. direct_map: source back, then destination out."""
    protocol, zone, watch, _ = ran
    moves = int(zone.ticks[Tick.MIGRATED_SECRET])
    assert moves > 0
    assert watch.phases.count(int(Phase.SHOW)) == (moves if protocol == MAPPED else 0)
    for k, phase in enumerate(watch.phases):
        if phase == Phase.SHOW:
            target, source = watch.targets[k], watch.spots[k]
            assert watch.visible[k] == {target}  # allocated, still empty
            assert watch.visible[k + 1] == {target, source}
            assert watch.phases[k + 1] == Phase.UNMAP_1G


def test_what_a_move_costs_is_counted_by_protocol(ran):
    protocol, zone, _, _ = ran
    moves = int(zone.ticks[Tick.MIGRATED_SECRET])
    count = events_of(zone.ticks, {}, protocol)
    assert count[Event.SECRET_COPIED] == count[Event.MAP_CALL] == count[Event.ZEROED] == moves
    assert count[Event.COPIED_MAPPED] == (moves if protocol == MAPPED else 0)
    assert count[Event.WINDOW] == (0 if protocol == MAPPED else moves)
    assert count[Event.UNMAP_CALL] == COUNT + moves  # one flush each, and one a split
    splits = int(zone.ticks[Tick.UNMAPPED_SPLIT])
    assert count[Event.FLUSH] == COUNT + moves + splits


@pytest.mark.parametrize("protocol", [TEMPORARY, MAPPED])
def test_grouped_moves_split_nothing(protocol):
    zone, watch, before = compact(protocol | int(Secret.GROUPED), TARGETS)
    split = np.flatnonzero(np.asarray(zone.block[: PAGES // 512] & SPLIT) != 0)
    after = np.asarray(zone.handle[:COUNT])
    assert set(split.tolist()) == {*TARGETS, *(before >> 9).tolist()}
    assert set((after[after != before] >> 9).tolist()) == TARGETS
    row = words(zone)
    assert unmapped(row) == COUNT
    assert not watch.visible[-1]


def test_a_target_that_was_isolated_for_another_page_is_not_split_for_a_secret_one():
    """mm/directmap.py: `barred`. A batch isolates targets for all kinds of pages that move."""
    zone = secret_pages(TEMPORARY | int(Secret.GROUPED), "anon_lru")
    before = zone.ticks
    zone, _ = do(zone, command(Op.COMPACT))
    assert zone.ticks[Tick.MIGRATED] > before[Tick.MIGRATED]
    assert zone.ticks[Tick.UNMAPPED_SPLIT] == before[Tick.UNMAPPED_SPLIT]
    assert validate(zone, PAGES) == []


def test_without_a_page_table_the_page_stays_hidden_where_it_was():
    """The destination cannot leave the direct map: it is freed, the source hidden again."""
    zone, watch = secret_pages(MAPPED), Watch()
    before = np.asarray(zone.handle[:COUNT])

    def tight(zone):
        least = jnp.where(zone.now.phase == Phase.SHOW, zone.now.free, zone.limits.min)
        return zone._replace(limits=zone.limits._replace(min=least))

    zone, _ = do(zone, command(Op.COMPACT), watch, tight)
    hides = [k for k, phase in enumerate(watch.phases) if phase == Phase.HIDE]
    assert hides
    assert all(watch.visible[k] == {watch.targets[k], watch.spots[k]} for k in hides)
    assert all(watch.visible[k + 1] == {watch.targets[k]} for k in hides)
    assert int(zone.ticks[Tick.MIGRATED_SECRET]) == 0
    np.testing.assert_array_equal(np.asarray(zone.handle[:COUNT]), before)
    assert validate(zone, PAGES) == []
    row = words(zone)
    assert ((row[before] & Use.UNMAPPED) != 0).all()
    assert unmapped(row) == COUNT
