"""What is read off a zone, against plain Python from the kernel's source, page by page."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import metrics
from secretjax.cases import CLASSES
from secretjax.ledger import PROCESSES, Counts
from secretjax.mm.layout import ORDER_SHIFT, TAKEN, Use
from secretjax.mm.load import load
from secretjax.mm.reading import events_of, read
from secretjax.mm.state import Tick
from secretjax.mm.words import NR_PAGE_ORDERS, Event, Migratetype
from tests.zones import fresh

BLOCK, MEMORY = 512, 32768
PAGES = 2 * MEMORY + MEMORY // 2
MOVES, INACCESSIBLE, THROUGH_MAP, GROUPED = 1, 2, 4, 8
HUGE = {"pool": Use.USED | Use.SECRET | Use.UNMAPPED, "hugetlb": Use.USED}
KERNEL, ANON = CLASSES.index("kernel_other"), CLASSES.index("anon_lru")
FREE = CLASSES.index("free_buddy")
NAMES = (
    "offline_refused", "offline_endless", "offline_blocked", "polluted_pages", "polluted_blocks",
    "cma_stuck_pages", "secret_misplaced", "unmovable_blocks", "offline_pool", "offline_pool_moves",
    "vmemmap_split", "vmemmap_saved",
)  # fmt: skip


class Memory:
    """Every other pageblock free, the others in use by movable pages; to be changed."""

    def __init__(self):
        self.kind = np.full(PAGES, ANON)
        self.kind.reshape(-1, 2 * BLOCK)[:, BLOCK:] = FREE
        self.type = np.full(PAGES // BLOCK, int(Migratetype.MOVABLE))
        self.taken = np.zeros(PAGES // BLOCK, bool)
        self.secret = np.zeros(PAGES, bool)
        self.fixed = np.zeros(PAGES, bool)
        self.huge = {}  # pageblock: whose huge page it is, of `HUGE`

    def zone(self, moves=0):
        start = fresh(PAGES)
        free = np.flatnonzero((self.kind.reshape(-1, BLOCK) == FREE).all(1))
        start = replace(
            start, list_pfn=free * BLOCK, list_order=np.full_like(free, 9),
            list_mt=self.type[free], list_kind=np.zeros_like(free), block_mt=self.type,
            page_class=self.kind.astype(np.uint8),
        )  # fmt: skip
        zone = load(start)
        link, block = np.array(zone.link), np.array(zone.block)
        link[2 * np.flatnonzero(self.secret)] |= int(Use.SECRET)
        link[2 * np.flatnonzero(self.fixed)] |= int(Use.FIXED)
        block[: len(self.taken)] |= self.taken * TAKEN
        for number, whose in self.huge.items():
            link[2 * number * BLOCK : 2 * (number + 1) * BLOCK : 2] = 0
            link[2 * number * BLOCK] = int(HUGE[whose]) | (9 << ORDER_SHIFT)
        limits = zone.limits._replace(secret=jnp.int32(moves))
        return zone._replace(link=jnp.asarray(link), block=jnp.asarray(block), limits=limits)

    def found(self, moves=0):
        """The metrics as the model reads them."""
        reading = read_zone(self.zone(moves))
        return {name: int(metrics.METRICS[name].read(reading)) for name in NAMES}

    def has_unmovable_pages(self, block):
        """mm/page_isolation.c, for MIGRATE_MOVABLE, as offline_pages() asks."""
        if self.type[block] == Migratetype.CMA or block in self.huge:
            return True
        return any(self.kind[p] == KERNEL for p in range(block * BLOCK, (block + 1) * BLOCK))

    def expected(self, moves=0):
        """The same from the source."""
        out = dict.fromkeys(NAMES, 0)
        stays = [
            self.kind[p] == KERNEL
            or p // BLOCK in self.huge
            or (self.kind[p] == ANON and bool((self.secret[p] and not moves) or self.fixed[p]))
            for p in range(PAGES)
        ]
        for block, label in enumerate(self.type):
            mine = range(block * BLOCK, (block + 1) * BLOCK)
            count = sum(stays[p] for p in mine)
            out["unmovable_blocks"] += count > 0
            if self.taken[block] or label not in (Migratetype.MOVABLE, Migratetype.CMA):
                continue
            out["polluted_blocks"] += count > 0
            out["polluted_pages" if label == Migratetype.MOVABLE else "cma_stuck_pages"] += count
            whose = self.huge.get(block)
            secret = BLOCK * (whose == "pool") if whose else sum(map(bool, self.secret[mine]))
            out["secret_misplaced"] += secret
        for first in range(0, PAGES, MEMORY):
            mine = range(first, min(first + MEMORY, PAGES))
            blocks = range(mine[0] // BLOCK, (mine[-1] + 1) // BLOCK)
            pools = [b for b in blocks if self.huge.get(b) == "pool"]
            others = any(self.has_unmovable_pages(b) for b in blocks if b not in pools)
            small = [p for p in mine if p // BLOCK not in self.huge]
            listed = any(self.fixed[p] or (self.secret[p] and not moves) for p in small)
            if pools and not others and not listed:
                out["offline_pool"] += 1
                out["offline_pool_moves"] += len(pools)
            if pools or others:
                out["offline_refused"] += 1
            elif listed:
                out["offline_endless"] += 1
            # mm/hugetlb_vmemmap.c: 8 pages of struct pages a huge page, of which one is kept
            hugetlb = [b for b in blocks if self.huge.get(b) == "hugetlb"]
            out["vmemmap_split"] += bool(hugetlb)
            out["vmemmap_saved"] += 7 * len(hugetlb) - bool(hugetlb)
        out["offline_blocked"] = out["offline_refused"] + out["offline_endless"]
        return out


def read_zone(zone, **own):
    zero = jnp.int32(0)
    users: dict[str, Any] = dict.fromkeys(("pool_pages", "pool_idle", "promised", "files_up"), zero)
    users |= {k: jnp.int32(v) for k, v in own.items()}
    users["users"] = jnp.zeros((PROCESSES, len(Counts._fields)), jnp.int32)
    held = users.pop("held", zero)
    return read(zone, PAGES, {}, easy=zero, held=held, program=users)


def test_movable_memory_can_be_offlined():
    assert set(Memory().found().values()) == {0}


def test_one_kernel_page_is_refused_and_one_secret_page_is_tried_for_ever():
    memory = Memory()
    memory.kind[5] = KERNEL
    memory.secret[MEMORY + 3] = True
    found = memory.found()
    assert (found["offline_refused"], found["offline_endless"]) == (1, 1)
    assert memory.found(moves=1)["offline_endless"] == 0


def test_what_cannot_be_isolated_at_all_is_not_tried():
    memory = Memory()
    memory.kind[5] = KERNEL
    memory.secret[6] = True
    found = memory.found()
    assert (found["offline_refused"], found["offline_endless"]) == (1, 0)


def test_an_empty_cma_area_alone_keeps_memory_online():
    memory = Memory()
    memory.type[64] = Migratetype.CMA
    assert memory.found() == memory.expected()
    assert memory.found()["offline_refused"] == 1


def test_a_pool_that_is_idle_keeps_memory_online():
    start = fresh(PAGES)
    assert int(metrics.METRICS["offline_blocked"].read(read_zone(load(start)))) == 0
    pooled = replace(start, list_mt=np.where(start.list_pfn == 0, int(Migratetype.POOL), 1))
    found = read_zone(load(pooled))
    assert int(metrics.METRICS["offline_refused"].read(found)) == 1


def test_what_pools_alone_keep_online_is_told_from_what_others_keep_too():
    memory = Memory()
    memory.huge = {0: "pool", 4: "pool", 64: "pool", 66: "hugetlb"}
    found = memory.found()
    assert (found["offline_refused"], found["offline_pool"], found["offline_pool_moves"]) == (
        2,
        1,
        2,
    )
    memory.fixed[2 * BLOCK] = True
    assert memory.found()["offline_pool"] == 0


def test_a_huge_page_splits_one_entry_of_the_vmemmap_for_its_128_mib():
    memory = Memory()
    memory.huge = {0: "hugetlb", 2: "hugetlb", 64: "hugetlb", 4: "pool"}
    found = memory.found()
    assert (found["vmemmap_split"], found["vmemmap_saved"]) == (2, 3 * 7 - 2)


def test_secret_pages_of_a_block_taken_whole_are_where_they_belong():
    memory = Memory()
    memory.type[[0, 2]] = Migratetype.CMA
    memory.taken[0] = True
    memory.secret[[3, 4, 2 * BLOCK]] = True
    assert memory.found()["secret_misplaced"] == 1
    assert memory.found() == memory.expected()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("moves", [0, MOVES, INACCESSIBLE, MOVES | THROUGH_MAP, MOVES | GROUPED])
def test_random_memory_is_read_as_the_source_says(seed, moves):
    random = np.random.default_rng(seed)
    memory = Memory()
    used = np.flatnonzero(memory.kind == ANON)
    memory.kind[random.choice(used, random.integers(0, 4), replace=False)] = KERNEL
    on_list = np.flatnonzero(memory.kind == ANON)
    memory.secret[random.choice(on_list, random.integers(0, 4), replace=False)] = True
    memory.fixed[random.choice(on_list, random.integers(0, 2), replace=False)] = True
    label = random.choice([0, 1, 2], PAGES // BLOCK)
    label[random.integers(0, PAGES // BLOCK, random.integers(0, 2))] = Migratetype.CMA
    memory.type = label
    memory.taken = (random.random(PAGES // BLOCK) < 0.2) & (memory.kind[::BLOCK] == ANON)
    whole = random.choice(np.arange(0, PAGES // BLOCK, 2), random.integers(0, 4), replace=False)
    memory.huge = {int(b): str(random.choice(list(HUGE))) for b in whole}
    assert memory.found(moves) == memory.expected(moves & MOVES)


def with_free(counts, **own):
    """A reading with these free MOVABLE blocks by order."""
    free = np.zeros((Migratetype.POOL, NR_PAGE_ORDERS), np.int32)
    free[Migratetype.MOVABLE] = [counts.get(order, 0) for order in range(NR_PAGE_ORDERS)]
    return read_zone(load(fresh(PAGES)), **own)._replace(free_blocks=jnp.asarray(free))


@pytest.mark.parametrize(
    "counts, whole, share",
    [
        ({}, 0, 1000),
        ({0: 512}, 0, 0),
        ({9: 1}, 1, 1000),
        ({9: 1, 8: 1}, 1, 666),
        ({10: 3, 8: 2}, 6, 857),
    ],
)
def test_contiguity_and_what_was_drained(counts, whole, share):
    reading = with_free(counts)
    assert int(metrics.METRICS["contiguity_2m"].read(reading)) == share
    assert int(metrics.METRICS["drained_2m"].read(reading)) == -whole
    assert metrics.METRICS["drained_2m"].counter


@pytest.mark.parametrize(
    "held, idle, use, per_block",
    [(0, 0, 1000, 0), (512, 511, 1, 511), (1024, 1023, 0, 511), (1536, 0, 1000, 0)],
)
def test_use_and_stranding_of_pools(held, idle, use, per_block):
    reading = with_free({}, pool_pages=held, pool_idle=idle)
    assert int(metrics.METRICS["pool_use"].read(reading)) == use
    assert int(metrics.METRICS["stranded_per_block"].read(reading)) == per_block


@pytest.mark.parametrize(
    ("event", "ticks"),
    [
        (Event.ALLOCATED, {Tick.OWN, Tick.STOLEN, Tick.CLAIMED_WHOLE}),
        (Event.FREED, {Tick.FREED}),
        (Event.CLAIMED, {Tick.CLAIMED_WHOLE, Tick.CLAIMED_PART}),
        (Event.STOLEN, {Tick.STOLEN}),
        (Event.TAKEN, {Tick.TAKEN}),
        (Event.TAKE_FAILED, {Tick.TAKE_FAILED}),
        (Event.MIGRATED, {Tick.MIGRATED, Tick.MIGRATED_SECRET}),
        (Event.COMPACT_STALL, {Tick.STALLED}),
        (Event.KSWAPD_RUN, {Tick.KSWAPD}),
        (Event.KCOMPACTD_RUN, {Tick.KCOMPACTD}),
    ],
)
def test_an_event_is_the_sum_of_its_counters(event, ticks):
    """Each counter has a bit of its own, so that none is left out, added or taken twice."""
    assert len(Tick) < 31
    found = events_of(jnp.int32(1) << jnp.arange(len(Tick)), {})
    assert int(found[event]) == sum(1 << tick for tick in ticks)
