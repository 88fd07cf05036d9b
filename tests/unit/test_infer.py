"""From what a stock kernel shows back to start states, held against the lab's truth."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from secretjax.cases import CLASSES
from secretjax.errors import UserError
from secretjax.machine import infer, lab, mapping, types
from secretjax.mm.load import load
from secretjax.mm.validate import validate
from secretjax.mm.words import PAGEBLOCK_PAGES
from tests import expect

KERNEL = Path(__file__).parents[2] / "params" / "kernel"
FILES = sorted(f for f in KERNEL.glob("*.npz") if f.name.endswith((".predict.npz", ".replay.npz")))
AGED = ["a_512_s1", "a_512_s3_frag2_k61", "a_1024_s7", "b_512_s1", "p2a_512_s3_frag2"]


def start_of(name: str):
    return expect.start(KERNEL / f"{name}.predict.npz")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name.removesuffix(".npz"))
def test_the_free_blocks_of_every_lab_case_are_rebuilt(file):
    """Exactly, pages on per-CPU lists or not: these have a class of their own in the lab."""
    start = expect.start(file)
    seen = lab.shown(start)
    assert lab.rebuilt(seen.zones[0]) == lab.blocks(start)


def test_a_page_on_a_per_cpu_list_is_not_shown_as_free():
    start = start_of("b_512_s1")
    zone = lab.shown(start).zones[0]
    pages = start.list_pfn[start.list_kind == 1] - start.zone["start_pfn"]
    assert len(pages) > 1000
    assert (expect.there(zone.page_class)[pages] == CLASSES.index("kernel_other")).all()


@pytest.mark.parametrize("name", AGED)
def test_what_is_drawn_shows_what_was_seen(name):
    start = start_of(name)
    seen = lab.shown(start)
    drawn = infer.start_state(seen, seen.zones[0], 3)
    again = lab.shown(drawn)
    zone, theirs = seen.zones[0], again.zones[0]
    np.testing.assert_array_equal(theirs.type_blocks, zone.type_blocks)
    np.testing.assert_array_equal(theirs.buddy_free, zone.buddy_free)
    off = np.abs(expect.there(theirs.type_free) - expect.there(zone.type_free)).sum()
    assert off <= zone.buddy_free.sum() // 1000
    np.testing.assert_array_equal(theirs.page_class, zone.page_class)
    assert again.direct_map == seen.direct_map
    assert drawn.zone["pcp_count"] == (start.list_kind == 1).astype(int) @ (1 << start.list_order)
    assert drawn.settings == start.settings


@pytest.mark.parametrize("name", AGED)
def test_what_is_drawn_is_a_sound_zone(name):
    seen = lab.shown(start_of(name))
    zone = load(infer.start_state(seen, seen.zones[0], 3))
    pages = zone.link.shape[-1] // 2 - 128
    assert validate(jax.tree.map(np.asarray, zone), pages) == []


@pytest.mark.parametrize("name", ["a_512_s1", "a_1024_s7", "b_512_s1"])
def test_nearly_all_pageblocks_get_their_own_type(name):
    start = start_of(name)
    seen = lab.shown(start)
    drawn = infer.start_state(seen, seen.zones[0], 3)
    assert (drawn.block_mt != start.block_mt).sum() <= len(start.block_mt) // 50


def test_without_the_totals_the_types_would_be_wrong():
    """Pages alone do not tell the type of a pageblock that is wholly free."""
    start = start_of("a_1024_s7")
    seen = lab.shown(start)
    zone = seen.zones[0]
    blind = replace(zone, type_free=np.zeros_like(zone.type_free))
    drawn = infer.start_state(replace(seen, zones=(blind,)), blind, 3)
    order9 = (drawn.list_order >= 9) & (drawn.list_mt == 0)
    assert not order9.any() and (start.list_order[start.list_mt == 0] >= 9).any()


def same(a, b) -> bool:
    fields = ("list_pfn", "list_order", "list_mt", "list_kind", "block_mt", "dm_level")
    return all(np.array_equal(getattr(a, f), getattr(b, f)) for f in fields)


def test_a_state_draws_from_the_seed_and_its_number_only():
    seen = lab.shown(start_of("a_512_s1"))
    one = [infer.start_state(seen, seen.zones[0], 7, k) for k in (0, 1, 0)]
    assert same(one[0], one[2]) and not same(one[0], one[1])
    assert not same(one[0], infer.start_state(seen, seen.zones[0], 8, 0))


@pytest.mark.parametrize("part", ["types", "order", "percpu", "mapping"])
def test_one_part_can_be_drawn_and_the_rest_known(part):
    start = start_of("a_1024_s7")
    seen = lab.shown(start)
    drawn = infer.start_state(seen, seen.zones[0], 1, 0, start, (part,))
    buddy = [s.list_pfn[s.list_kind == 0] for s in (drawn, start)]
    percpu = [s.list_pfn[s.list_kind == 1] for s in (drawn, start)]
    kept = {
        "types": np.array_equal(drawn.block_mt, start.block_mt),
        "order": np.array_equal(buddy[0], buddy[1]),
        "percpu": np.array_equal(percpu[0], percpu[1]),
        "mapping": np.array_equal(drawn.dm_level, start.dm_level),
    }
    follows = {"types": {"order"}}.get(part, set())  # other types, other lists
    assert {name for name, same_ in kept.items() if not same_} == {part} | follows


def test_with_no_part_drawn_the_start_state_is_the_known_one():
    for name in AGED:
        start = start_of(name)
        seen = lab.shown(start)
        drawn = infer.start_state(seen, seen.zones[0], 1, 0, start, ())
        assert same(drawn, start), name
        assert drawn.zone == start.zone


def test_before_6_10_lists_differ_from_pageblocks_as_the_totals_say():
    rng = np.random.default_rng(1)
    order, kinds = np.array([0, 0, 0, 0, 3]), np.array([1, 1, 1, 0, 1])
    totals = np.zeros((6, 11), np.int64)
    totals[[1, 0, 2], 0] = 1, 2, 1
    totals[1, 3] = 1
    moved = infer.moved_lists(rng, order, kinds, totals, "K511")
    assert np.bincount(moved[:4], minlength=3).tolist() == [2, 1, 1] and moved[4] == 1
    np.testing.assert_array_equal(infer.moved_lists(rng, order, kinds, totals, "K612y"), kinds)


def test_types_add_up_where_pages_say_nothing():
    """Only the totals of free blocks tell these pageblocks apart."""
    rng = np.random.default_rng(2)
    free = np.zeros((40, 11), np.int64)
    free[:, 0] = rng.integers(0, 60, 40)
    truth = np.repeat([0, 1], 20)
    totals = np.zeros((6, 11), np.int64)
    totals[:2, 0] = free[:20, 0].sum(), free[20:, 0].sum()
    blocks = np.bincount(truth, minlength=6)
    found = types.draw(rng, np.zeros((40, 3), np.int64), free, blocks, totals)
    assert np.bincount(found, minlength=6).tolist() == blocks.tolist()
    assert abs(free[found == 0, 0].sum() - totals[0, 0]) <= 1


def test_what_the_totals_say_outweighs_what_pages_say():
    """UNMOVABLE pageblocks that look MOVABLE, and the other way round."""
    rng = np.random.default_rng(4)
    free, counts = np.zeros((80, 11), np.int64), np.zeros((80, 3), np.int64)
    truth = np.repeat([0, 1], 40)
    free[:40, 5], free[40:, 6] = rng.integers(4, 12, 40), rng.integers(0, 2, 40)
    counts[:40, 0], counts[40:, 1] = 512 - 32 * free[:40, 5], 512 - 64 * free[40:, 6]
    totals = np.stack([free[truth == t].sum(0) for t in range(6)])
    blocks = np.bincount(truth, minlength=6)
    found = types.draw(rng, counts, free, blocks, totals)
    assert np.bincount(found, minlength=6).tolist() == blocks.tolist()
    got = np.stack([free[found == t].sum(0) for t in range(6)])
    assert np.abs(got - totals).sum() <= 0.02 * totals.sum(), (got[:2], totals[:2])


def test_a_free_block_of_order_10_has_one_type():
    rng = np.random.default_rng(3)
    free = np.zeros((8, 11), np.int64)
    free[::2, 10] = 1
    totals = np.zeros((6, 11), np.int64)
    totals[[0, 1], 10] = 1, 3
    found = types.draw(rng, np.zeros((8, 3), np.int64), free, np.array([2, 6, 0, 0, 0, 0]), totals)
    assert (found[::2] == found[1::2]).all() and (found == 0).sum() == 2


def test_splits_since_boot_are_drawn_in_unmovable_pageblocks():
    start = start_of("a_512_s1")
    seen = lab.shown(start)
    seen = replace(
        seen,
        direct_map={"4k": 20 * 512, "2M": 236, "1G": 0},
        counters=seen.counters | {"direct_map_level2_splits": 16},
    )
    level = mapping.draw(np.random.default_rng(1), seen, seen.zones[0], 1, start.block_mt)
    assert (level == 1).sum() == 20 and level[0] == 1
    split = np.flatnonzero(level == 1)
    image = start.page_class.reshape(-1, PAGEBLOCK_PAGES) == start.page_classes.index("reserved")
    assert ((start.block_mt[split] == 0) | image.any(1)[split]).all()
    assert (start.block_mt[split] == 0).sum() >= 16


def test_gibs_with_one_entry_are_whole_gibs():
    classes = np.full(3 << 18, CLASSES.index("anon_lru"), np.uint8)
    classes[(2 << 18) + 100] = CLASSES.index("nopage")
    seen = lab.shown(start_of("b_512_s1"))
    zone = replace(
        seen.zones[0],
        fields=seen.zones[0].fields | {"start_pfn": 1 << 18, "end_pfn": 4 << 18},
        page_class=classes,
        present=(3 << 18) - 1,
    )
    seen = replace(seen, zones=(zone,), direct_map={"4k": 512, "2M": 1023, "1G": 1})
    types_ = np.ones(3 * 512, np.int64)
    types_[:100] = 0  # the kernel has been in the first GiB
    level = mapping.draw(np.random.default_rng(1), seen, zone, 1 << 18, types_)
    gib = level.reshape(-1, 512)
    assert len(level) == 4 * 512 and (gib[0] == 2).all() and not (gib[3] == 3).any()
    assert (gib[2] == 3).all() and not (gib[1] == 3).any()
    assert (level == 1).sum() == 1 and gib[3][0] == 1  # the one that a hole cuts


def test_without_root_no_state_is_drawn():
    seen = lab.shown(start_of("b_512_s1"))
    zone = replace(seen.zones[0], page_class=None)
    with pytest.raises(UserError, match="capture as root"):
        infer.start_state(seen, zone, 1)


@pytest.mark.parametrize("name", AGED)
def test_free_blocks_of_order_10_are_listed_by_address(name):
    """As boot lists them, and as every captured start state has them."""
    start = start_of(name)
    seen = lab.shown(start)
    drawn = infer.start_state(seen, seen.zones[0], 3)
    for kind in (0, 1):
        mine, theirs = (
            s.list_pfn[(s.list_order == 10) & (s.list_mt == kind)] for s in (drawn, start)
        )
        assert len(mine) == len(theirs) and (np.diff(mine) > 0).all()
        assert len(mine) > 5 or kind == 0
        if set(start.list_mt[start.list_order == 10]) == {1}:  # else whose is which is drawn
            np.testing.assert_array_equal(mine, theirs)


def gibs(count: int, zone):
    """A capture of a zone of so many GiBs, all of anonymous memory, that begins at 1 GiB."""
    seen = lab.shown(start_of("b_512_s1"))
    fields = zone.fields | {"start_pfn": 1 << 18, "end_pfn": (1 + count) << 18}
    classes = np.full(count << 18, CLASSES.index("anon_lru"), np.uint8)
    zone = replace(zone, fields=fields, page_class=classes, present=count << 18)
    return replace(seen, zones=(zone,)), zone


@pytest.mark.parametrize(
    "counted, since, before, whole",
    [(6, 0, 0, 4), (6, 1, 0, 3), (6, 0, 1, 3), (6, 2, 1, 1), (4, 1, 1, 2), (7, 5, 0, 0)],
)
def test_an_entry_of_1_gib_that_was_counted_again_at_boot_is_one(counted, since, before, whole):
    """phys_pud_init() counts the entry that a step meets again; splits at boot are not counted."""
    seen, zone = gibs(4, lab.shown(start_of("b_512_s1")).zones[0])
    split = since + before
    seen = replace(
        seen,
        direct_map={"4k": 0, "2M": 512 * split, "1G": counted - split},
        counters={"direct_map_level3_splits": since + 1, "direct_map_level3_collapses": 1},
    )
    level = mapping.draw(np.random.default_rng(1), seen, zone, 1 << 18, np.ones(4 * 512, np.int64))
    assert (level[512:] == 3).sum() == 512 * whole


def test_an_entry_split_since_boot_is_likely_where_kernel_memory_was_freed():
    """What was freed stays split, and is handed out again before other memory is."""
    seen, zone = gibs(1, lab.shown(start_of("b_512_s1")).zones[0])
    kinds = np.ones(512, np.int64)
    kinds[:40] = 0  # UNMOVABLE: the first 10 mostly free, the next 10 hold secret pages
    pages = expect.there(zone.page_class).reshape(512, PAGEBLOCK_PAGES)
    pages[:40] = CLASSES.index("slab")
    pages[:10, :400] = CLASSES.index("free_buddy")
    pages[10:20, :400] = CLASSES.index("unevictable")
    pages[100:] = CLASSES.index("free_buddy")
    seen = replace(
        seen,
        direct_map={"4k": 20 * 512, "2M": 492, "1G": 0},
        counters={"direct_map_level2_splits": 20},
    )
    level = mapping.draw(np.random.default_rng(1), seen, zone, 1 << 18, kinds)[512:]
    assert (level == 1).sum() == 20 and (level[:20] == 1).sum() >= 19
    assert (level[40:] == 2).all()


def test_a_pageblock_without_a_flag_may_be_a_huge_page_on_a_per_cpu_list():
    """pcp_allowed_order(): huge pages are kept there too, a flag has none of them."""
    start = start_of("a_1024_s7")
    seen = lab.shown(start)
    zone, first = seen.zones[0], start.zone["start_pfn"] >> 9
    pages = expect.there(zone.page_class).copy()
    taken = np.flatnonzero((start.list_order == 10) & (start.list_mt == 1))[:2]
    blocks = (start.list_pfn[taken] >> 9) - first
    less = np.zeros_like(zone.type_free)
    for block in blocks:  # of each block of two MOVABLE pageblocks the second stays free
        pfn = (block + first) * PAGEBLOCK_PAGES - start.zone["start_pfn"]
        pages[pfn : pfn + PAGEBLOCK_PAGES] = CLASSES.index("kernel_other")
        less[1, 10] -= 1
        less[1, 9] += 1
    cpus = np.array([[1024 + 63, 5000, 500, 5000, 63], [0, 5000, 500, 5000, 63]])
    zone = replace(zone, page_class=pages, type_free=zone.type_free + less, cpus=cpus)
    seen = replace(seen, zones=(zone,), counters=seen.counters | {"thp_fault_alloc": 9})
    drawn = [infer.start_state(seen, zone, 3, k) for k in range(8)]
    orders = [s.list_order[s.list_kind == 1] for s in drawn]
    assert {(o == 9).sum() for o in orders} == {2, 0}
    for state, order in zip(drawn, orders, strict=True):
        on = state.list_kind == 1
        huge = state.list_pfn[on & (state.list_order == 9)]
        assert (1 << order).sum() == state.zone["pcp_count"] in (1024 + 63, 0)
        assert set(huge >> 9) <= set(blocks + first) and (state.block_mt[blocks] == 1).all()
    few = replace(zone, cpus=np.array([[600, 5000, 500, 5000, 63]]))
    unused = infer.start_state(replace(seen, counters={}), zone, 3)
    assert (unused.list_order[unused.list_kind == 1] == 0).all()
    alone = infer.start_state(replace(seen, zones=(few,)), few, 3)
    assert (alone.list_order[alone.list_kind == 1] == 0).all()  # room for one: then whose is which?


def test_each_zone_of_several_has_its_own_part_of_the_direct_map():
    """DirectMap* are of the machine: what one zone cannot have is the other's."""
    seen, low = gibs(2, lab.shown(start_of("b_512_s1")).zones[0])
    high = replace(
        low,
        node=1,
        fields=low.fields | {"start_pfn": 8 << 18, "end_pfn": 11 << 18},
        page_class=np.full(3 << 18, CLASSES.index("anon_lru"), np.uint8),
        present=3 << 18,
    )
    hole = expect.there(low.page_class).copy()
    hole[::512] = CLASSES.index("nopage")  # every entry of the lower zone is cut
    low = replace(low, page_class=hole)
    seen = replace(seen, zones=(low, high), direct_map={"4k": 1024 * 512, "2M": 0, "1G": 3})
    rng, kinds = np.random.default_rng(1), np.ones(3 * 512, np.int64)
    mine = mapping.draw(rng, seen, high, 1 << 18, kinds)
    theirs = mapping.draw(rng, seen, low, 1 << 18, kinds[:1024])
    assert len(mine) == 4 * 512 and (mine[512:] == 3).all()
    assert len(theirs) == 3 * 512 and (theirs[512:] == 1).all()
