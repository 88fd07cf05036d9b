"""Random zones and request streams, with the answers of the oracle.

A stream swings between half empty and overfull while the wanted types and orders change, so that
every way through __rmqueue() and __free_one_page() is taken; `Stream.counts` says how often.
Everything hangs on the seed alone. A handle that was refused is never freed.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from secretjax.cases import CLASSES, ZONE_FIELDS, StartState
from tests.oracle.kernel import ALLOC, FREE, REFUSED, SNAPSHOT, Kernel
from tests.oracle.lists import (
    BLOCK_PAGES,
    CMA,
    HIGHATOMIC,
    K511,
    K612Y,
    MAX_ORDER,
    MERGEABLE,
    MOVABLE,
)

START_PAGE = -1
LABEL = -1
SWEEP = 0.03  # of the frees, where all of a pageblock is freed
PHASE = 120  # requests after which the regime changes
FILLS = (0.35, 0.7, 0.93, 1.1, 1.1)  # shares of memory that a regime steers to
ORDERS = {
    "small": (0.6, 0.2, 0.12, 0.08),
    "mixed": tuple(0.58**k for k in range(MAX_ORDER + 1)),
    "large": (0.1, 0, 0, 0.1, 0.15, 0.1, 0.1, 0.1, 0.1, 0.15, 0.1),
}


@dataclass(frozen=True, eq=False)
class Stream:
    """A start state, int32[R, 5] requests in replay format and what the oracle answers."""

    start: StartState
    requests: np.ndarray
    request_pfn: np.ndarray  # int64[allocations], -1 refused
    lists: list[np.ndarray]  # at each snapshot int64[blocks, 3]: pfn, order, type
    block_mt: list[int]  # in the end
    counts: Counter  # of paths taken by the requests


@dataclass
class Piece:
    """Pages in use that can be given back: order `order` at `offset` of `handle`."""

    handle: int
    offset: int
    order: int

    def halves(self) -> tuple["Piece", "Piece"]:
        order = self.order - 1
        upper = self.offset + (1 << order)
        return Piece(self.handle, self.offset, order), Piece(self.handle, upper, order)


class Source:
    """Draws requests, puts them to the oracle, and remembers what can be freed."""

    def __init__(
        self, zone: Kernel, rng: np.random.Generator, pieces: list[Piece], refill: int = 0
    ):
        self.zone, self.rng, self.pieces, self.refill = zone, rng, pieces, refill
        self.used = sum(1 << piece.order for piece in pieces)
        self.total = zone.end_pfn - zone.start_pfn
        self.rows, self.pfns = [], []

    def run(self, requests: int) -> None:
        """Appends exactly `requests` rows."""
        until = len(self.rows) + requests
        while len(self.rows) < until:
            fill = self.rng.choice(FILLS)
            orders = np.array(ORDERS[self.rng.choice(list(ORDERS))])
            types = self.rng.dirichlet((0.5, 0.7, 0.4))
            end = min(len(self.rows) + int(self.rng.integers(PHASE // 4, 2 * PHASE)), until)
            while len(self.rows) < end:
                want = 0.8 if self.used < fill * self.total else 0.2
                if self.rng.random() < want or not self.pieces:
                    order = int(self.rng.choice(len(orders), p=orders / orders.sum()))
                    self._refill(order, int(self.rng.choice(3, p=types)), end - len(self.rows))
                elif self.rng.random() < SWEEP:
                    self._sweep(end - len(self.rows))
                else:
                    self._free(int(self.rng.integers(len(self.pieces))))

    def _refill(self, order: int, mt: int, room: int) -> None:
        for _ in range(min(int(self.rng.integers(1, 2 + (15 >> order))), room)):
            pfn = self.zone.alloc(order, mt, refill=self.refill)
            handle = len(self.pfns)
            self.rows.append((ALLOC, order, mt, handle, self.refill))
            self.pfns.append(pfn)
            if pfn == REFUSED:
                break
            self.pieces.append(Piece(handle, 0, order))
            self.used += 1 << order
        self.refill += 1

    def _sweep(self, room: int) -> None:
        """Frees all of one or two pageblocks in random order: what makes blocks whole again."""
        blocks = int(self.rng.integers(1, 3)) * BLOCK_PAGES
        region = int(self.rng.integers(self.zone.end_pfn)) // blocks
        inside = [self._pfn(piece) // blocks == region for piece in self.pieces]
        within = [piece for piece, here in zip(self.pieces, inside, strict=True) if here]
        self.pieces = [piece for piece, here in zip(self.pieces, inside, strict=True) if not here]
        order = self.rng.permutation(len(within)).tolist()
        self.pieces += [within[i] for i in order[room:]]
        for i in order[:room]:
            self._give(within[i])

    def _pfn(self, piece: Piece) -> int:
        return piece.offset + (0 if piece.handle == START_PAGE else self.pfns[piece.handle])

    def _free(self, at: int) -> None:
        piece, self.pieces[at] = self.pieces[at], self.pieces[-1]
        self.pieces.pop()
        while piece.order and self.rng.random() < 0.12:
            halves = piece.halves()
            upper = int(self.rng.integers(2))
            self.pieces.append(halves[1 - upper])
            piece = halves[upper]
            self.zone.counts["halved_before_free"] += 1
        self._give(piece)

    def _give(self, piece: Piece) -> None:
        pfn, cached = self._pfn(piece), LABEL
        pageblock = self.zone.block_mt[pfn // BLOCK_PAGES]
        if self.zone.fallback == K511 and piece.order <= 3 and pageblock in MERGEABLE:
            cached = int(self.rng.choice([LABEL, LABEL, *MERGEABLE]))
        self.zone.free(pfn, piece.order, None if cached == LABEL else cached)
        self.rows.append((FREE, piece.order, cached, piece.handle, piece.offset))
        self.used -= 1 << piece.order

    def snapshot(self, number: int) -> np.ndarray:
        """Appends the row that asks for the lists; the oracle's lists."""
        self.rows.append((SNAPSHOT, 0, 0, number, 0))
        return self.zone.lists()


def _booted(
    rng: np.random.Generator, pageblocks: int, cma: int, highatomic: int, fallback: str
) -> Kernel:
    """An empty zone: pfn 0 outside, CMA at its end, HIGHATOMIC pageblocks strewn."""
    types = [MOVABLE] * pageblocks
    types[pageblocks - cma :] = [CMA] * cma
    for block in rng.choice(np.arange(1, pageblocks - cma), highatomic, replace=False):
        types[block] = HIGHATOMIC
    zone = Kernel(1, pageblocks * BLOCK_PAGES, types, fallback)
    zone.in_use[1:] = b"\1" * (zone.end_pfn - 1)
    for order in range(9):
        zone.free(1 << order, order)
    for pfn in range(BLOCK_PAGES, zone.end_pfn, BLOCK_PAGES):
        zone.free(pfn, 9)
    return zone


def start_state(zone: Kernel, name: str, per_cpu: list[int]) -> StartState:
    """The oracle's zone as a case would give it; `per_cpu`: pages to be on such lists."""
    rows = np.concatenate([zone.lists(), [(pfn, 0, MOVABLE) for pfn in per_cpu]]).astype(np.int64)
    kind = np.zeros(len(rows), np.int64)
    kind[len(rows) - len(per_cpu) :] = 1
    end = zone.end_pfn
    in_use = np.frombuffer(bytes(zone.in_use), np.uint8)
    movable = np.frombuffer(bytes(zone.movable), np.uint8)
    page_class = np.where(movable, CLASSES.index("anon_lru"), CLASSES.index("kernel_other"))
    page_class[in_use == 0] = CLASSES.index("free_buddy")
    page_class[per_cpu] = CLASSES.index("free_pcp")
    page_class[: zone.start_pfn] = CLASSES.index("outside_zone")
    regions = np.arange(0, end, BLOCK_PAGES)
    marks = dict(start_pfn=zone.start_pfn, end_pfn=end, managed=end - 1, min=64, low=80, high=96)
    return StartState(
        name=name,
        zone={**dict.fromkeys(ZONE_FIELDS, 0), **marks, "pcp_count": len(per_cpu)},
        list_pfn=rows[:, 0], list_order=rows[:, 1], list_mt=rows[:, 2], list_kind=kind,
        block_pfn=regions, block_mt=np.array(zone.block_mt, np.int64),
        page_class=page_class.astype(np.uint8), page_classes=CLASSES,
        dm_pfn=regions, dm_level=np.full(len(regions), 2), dm_nonpresent=regions * 0,
        settings={
            "kernel": "6.12.29", "fallback": zone.fallback, "cpus": 1, "thp": "madvise",
            "khugepaged": "off", "compact_unevictable_allowed": 1, "sysctl": {},
            "secret_pool": "none", "cma": None, "total_pages": end - 1,
        },
    )  # fmt: skip


def make(
    seed: int,
    pageblocks: int = 32,
    requests: int = 3000,
    ageing: int = 3000,
    cma: int | None = None,
    highatomic: int = 2,
    snapshots: int = 2,
    fallback: str = K612Y,
) -> Stream:
    """A zone of `pageblocks`, aged by `ageing` requests, then a stream of exactly `requests` rows.

    `cma` pageblocks of CMA (None: drawn, up to half of memory) and `highatomic` of that type. The
    lists are asked for `snapshots` times, evenly, the last time in the last row.
    """
    rng = np.random.default_rng([seed, pageblocks, requests])
    cma = int(rng.choice([0, 2, pageblocks // 2])) if cma is None else cma
    aged = Source(_booted(rng, pageblocks, cma, highatomic, fallback), rng, [])
    aged.run(ageing)
    old = [
        Piece(START_PAGE, aged.pfns[piece.handle] + piece.offset, piece.order)
        for piece in aged.pieces
    ]
    single = [piece.offset for piece in old if piece.order == 0]
    per_cpu = sorted(rng.choice(single, min(20, len(single)), replace=False).tolist())
    start = start_state(aged.zone, f"random_{seed}", per_cpu)
    source = Source(Kernel.from_start(start), rng, old)
    lists = []
    for k in range(snapshots):
        share = (requests - snapshots) * (k + 1) // snapshots - len(source.rows) + k
        source.run(share)
        lists.append(source.snapshot(k))
    return Stream(
        start=start,
        requests=np.array(source.rows, np.int32),
        request_pfn=np.array(source.pfns, np.int64),
        lists=lists,
        block_mt=list(source.zone.block_mt),
        counts=source.zone.counts,
    )


def batch(lanes: int, seed: int = 0, **options) -> list[Stream]:
    """Streams of equal shape, each its own: lane i has seed `seed + i`."""
    return [make(seed + lane, **options) for lane in range(lanes)]
