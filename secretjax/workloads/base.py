"""What a workload is: for each state a script of rows, made beforehand from its seed.

A script does not depend on the proposal, so every proposal faces the same requests (common random
numbers) and differences are paired.
"""

from dataclasses import dataclass, field, fields
from enum import IntEnum
from itertools import pairwise
from typing import ClassVar, overload

import numpy as np
from jaxtyping import Int

from secretjax.errors import UserError
from secretjax.ledger import FILES, PROCESSES
from secretjax.mm.state import FULL, Op
from secretjax.mm.words import PAGEBLOCK_PAGES, Migratetype
from secretjax.workloads._recorded import BY_HANDLE, FRESH, LRU, OFFSET, ORDER, TYPE


class Do(IntEnum):
    """Script rows that are no commands to the zone. Word 1 is the count."""

    OPEN = 16  # a file of so many pages is created and mapped
    GROW = 17  # its next pages are touched in order
    CLOSE = 18  # the oldest pages go: they are all of one file
    PROBE = 19  # others ask for so many huge pages, and give them back
    SHRINK = 20  # wholly idle pageblocks of a shared pool are asked back
    DRAIN = 21  # others ask for huge pages until one is refused, and keep them
    TAKES = 22  # others ask for pageblocks of the CMA area in the same way
    FILL = 23  # before all else: the pool is to hold so many pages (written by the engine)
    FILE = 24  # what follows is about another file (`Script.turn_to`)


GIVE = int(Op.PUT) | 1 << BY_HANDLE | 1 << FRESH  # the block of a handle, if it is known
BATCH = 64  # pages touched between two rounds of background work


def ascending(percents: tuple[int, ...]) -> None:
    """`ValueError` unless these are steps of growth."""
    if not percents or not all(a < b for a, b in pairwise((0, *percents, 101))):
        raise ValueError(f"percents: found {list(percents)}, allowed are 1 to 100, ascending")


def rounds(pages: int) -> int:
    """Rounds of background work while so many pages are touched."""
    return -(-pages // BATCH)


@overload
def take(kind: int) -> int: ...


@overload
def take(kind: np.ndarray) -> np.ndarray: ...


def take(kind: np.ndarray | int) -> np.ndarray | int:
    """Word of a row that takes a page of this type for a handle, on an LRU list if movable."""
    on_lru = (kind == Migratetype.MOVABLE) << LRU
    return int(Op.GET) | (kind + 1) << TYPE | on_lru | 1 << FRESH | 1 << BY_HANDLE


@dataclass
class Script:
    """Rows [rows, 2], the rows to wait at for measuring, and what the handles stand for."""

    secret: int = 0  # handles 0.. are pages of secret files, in the order they are touched
    rows: list[np.ndarray] = field(default_factory=list)
    length: int = 0
    stops: list[tuple[str, int]] = field(default_factory=list)
    rng: np.random.Generator | None = None  # of the state, for what the demand draws
    files: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)  # see `turn_to`

    def add(self, rows: np.ndarray) -> None:
        """Rows at the end."""
        self.rows.append(rows.reshape(-1, 2))
        self.length += len(self.rows[-1])

    def do(self, op: Do, count: int = 0) -> None:
        """One event of users, see `Do`."""
        self.add(np.array([[op, count]]))

    def turn_to(self, handle: int, pages: int, process: int, user: int) -> None:
        """The next rows are about the file with these pages, of this process of this user.

        The pages of a process have handles next to each other, whatever the order of its files.
        """
        number = self.files.setdefault(handle, (len(self.files), pages, process, user))[0]
        if number >= FILES:
            raise UserError(f"the demand has more than {FILES} files of several processes")
        # the process takes the bits of an order and of a type
        word = int(Do.FILE) | process << ORDER | 1 << BY_HANDLE | number << OFFSET
        self.add(np.array([[word, handle]]))

    def draws(self) -> np.random.Generator:
        """What a demand draws from."""
        assert self.rng is not None
        return self.rng

    def owners(self) -> dict[str, np.ndarray]:
        """What `ledger.begin` wants; without `turn_to` everything is process 0's of user 0."""
        files = self.files or {0: (0, self.secret, 0, 0)}
        owner, first, behind, present = np.zeros((4, PROCESSES), np.int32)
        first[:] = self.secret
        for handle, (_, pages, process, whose) in files.items():
            owner[process], present[whose] = whose, 1
            first[process] = min(first[process], handle)
            behind[process] = max(behind[process], handle + pages)
        return {"owner": owner, "first": first, "behind": behind, "present": present}

    def measure(self, step: str) -> None:
        """All states wait here and are measured."""
        self.stops.append((step, self.length))

    def array(self) -> Int[np.ndarray, "rows 2"]:
        """All rows. `UserError` if users ask for more pages than a counter of 32 bits holds."""
        rows = np.concatenate([*self.rows, np.zeros((1, 2), np.int64)])
        asked = int(rows[rows[:, 0] == Do.OPEN, 1].sum())
        if asked > FULL:
            raise UserError(f"the demand asks for {asked:,} pages in all, {FULL:,} can be counted")
        return rows.astype(np.int32)


@dataclass(frozen=True)
class Workload:
    """Interface. A leaf is a frozen dataclass whose fields are its options.

    name      its file's name
    label     for people
    source    where such a demand is known from
    captures  patterns of the names of the captured cases that asked like that
    least     {option: its least value}; whole numbers without one may be 0
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str]
    slot: ClassVar[int]
    captures: ClassVar[tuple[str, ...]] = ()
    least: ClassVar[dict[str, int]] = {}

    def __post_init__(self):
        for option in fields(self):
            value, least = getattr(self, option.name), self.least.get(option.name, 0)
            if isinstance(value, int) and value < least:
                raise ValueError(f"{option.name}: found {value}, {least} is the least")

    def secret(self, total: int) -> int:
        """Secret pages that the script will ask for, given the managed pages of the zone."""
        raise NotImplementedError

    def events(self, total: int) -> int:
        """Background events that the script will hold, given the managed pages of the zone."""
        raise NotImplementedError

    def floor(self) -> int:
        """Free pages below which users of secret memory stop by themselves."""
        return 0

    def pinned(self, anonymous: int) -> int:
        """How many of so many anonymous pages never move; which, is drawn for each state."""
        return 0

    def write(self, script: Script, total: int, churn: "Churn") -> None:
        """Writes the demand into a script that may already hold other rows."""
        raise NotImplementedError


class Churn:
    """Background work of everybody else: blocks come back and others are handed out.

    Pages of the start state are given back at random and as many of the same kind handed out a
    little later, so that the load stays, and lists and places change. Kinds by weight: movable 83,
    unmovable 17 of 100 pages, computed from the operations of the captured kernel's own churn
    (anonymous 50, file 12, pipe 3, socket 3, page table 4, small file 25, with the pages that each
    takes; slab, whose pages hardly ever go one by one, and blocks of order 2 are left out).
    """

    SHARES: ClassVar = {Migratetype.MOVABLE: 0.83, Migratetype.UNMOVABLE: 0.17}
    WINDOW = 256  # pages away at a time

    def __init__(self, pages: "Pages", rng: np.random.Generator, first_handle: int, events: int):
        """Plans `events` events; handles from `first_handle` on name the pages they use."""
        given = [pages.of_type[t] for t in self.SHARES]
        share = np.array(
            [s if len(p) else 0.0 for s, p in zip(self.SHARES.values(), given, strict=True)]
        )
        slots = self.slots(events)
        wanted = rng.multinomial(slots, share / (share.sum() or 1))  # a zone may be all free
        picked = [
            rng.choice(p, min(n, len(p)), replace=False) for p, n in zip(given, wanted, strict=True)
        ]
        kind = np.repeat([int(t) for t in self.SHARES], [len(p) for p in picked])
        self.pfn = np.concatenate(picked)
        self.handle = first_handle + np.arange(len(self.pfn))
        order = rng.permutation(len(self.pfn))
        self.turns = np.concatenate([order] * (2 + events // max(len(order), 1)))
        self.kind = kind
        self.first_handle = first_handle
        self.spare = first_handle + len(self.pfn)  # for whoever needs a handle for a moment
        self.at = 0

    @classmethod
    def slots(cls, events: int) -> int:
        """The most handles that so many events need."""
        return events // 2 + cls.WINDOW

    def rows(self, events: int) -> np.ndarray:
        """The next events as script rows: give back, and hand out what went WINDOW ago, in turn.

        Int [events, 2]; nothing where the first ones to be handed out have not gone yet, or
        where the zone is all free.
        """
        if not len(self.turns):
            return np.zeros((events, 2), np.int64)
        at = self.at + np.arange(events)
        self.at += events
        gives = at % 2 == 0
        slot = self.turns[np.where(gives, at // 2, at // 2 - self.WINDOW)]
        words = np.where(gives, GIVE, take(self.kind[slot]))
        rows = np.stack([words, self.first_handle + slot], 1)
        return rows * (gives | (at // 2 >= self.WINDOW))[:, None]

    def during(self, pages: int, events: int) -> np.ndarray:
        """Rows that touch the next pages of the open file, so many events after each `BATCH`."""
        touched = np.minimum(BATCH, pages - np.arange(0, pages, BATCH))
        steps = np.stack([np.full_like(touched, int(Do.GROW)), touched], 1)
        between = self.rows(len(steps) * events).reshape(len(steps), events, 2)
        return np.concatenate([steps[:, None], between], 1).reshape(-1, 2)


class Pages:
    """Single pages in use of a start state that background work may give back.

    of_type   {migratetype they were asked for as: pfns}. Pages in pageblocks with hardly a free
              page are left alone: nothing comes and goes there (the kernel's own since boot)
    anonymous pfns of those that somebody may pin
    """

    GAPS = 32  # free pages

    def __init__(self, start):
        name = np.array(start.page_classes)[start.page_class]
        free = np.zeros(-(-len(name) // PAGEBLOCK_PAGES) * PAGEBLOCK_PAGES, bool)
        for pfn, order in zip(start.list_pfn.tolist(), start.list_order.tolist(), strict=True):
            free[pfn : pfn + (1 << order)] = True
        busy = free.reshape(-1, PAGEBLOCK_PAGES).sum(1) >= self.GAPS
        busy = np.repeat(busy, PAGEBLOCK_PAGES)[: len(name)]
        kinds = {
            Migratetype.MOVABLE: np.isin(name, ["anon_lru", "file_lru"]),
            Migratetype.UNMOVABLE: np.isin(name, ["kernel_other", "pgtable"]) & busy,
        }
        free = free[: len(name)]
        self.anonymous = np.flatnonzero((name == "anon_lru") & ~free)
        self.of_type = {mt: np.flatnonzero(chosen & ~free) for mt, chosen in kinds.items()}
