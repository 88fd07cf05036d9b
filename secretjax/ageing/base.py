"""What a recipe is, and its requests as rows of a recorded stream.

Memory is asked for through slots, as many as blocks may be held at once: a slot is empty, or it
holds the block that was handed out for it. Whether a request is granted is the allocator's
business; giving back what was refused does nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int, Integer

from secretjax.cases import CLASSES
from secretjax.mm.state import Op
from secretjax.mm.words import Migratetype
from secretjax.workloads._recorded import BY_HANDLE, FRESH, LRU, ORDER, TYPE


@dataclass(frozen=True, eq=False)
class Slots:
    """What each slot asks for, and through which door.

    order   of the block
    type    migratetype of the request; MOVABLE is on an LRU list
    use     place in `cases.CLASSES`: what the pages of the block are used for
    percpu  True: alloc_pages() and __free_pages(), with per-CPU lists, watermarks and the threads
            beside them; False: straight to the buddy lists
    """

    order: Integer[np.ndarray, " slots"]
    type: Integer[np.ndarray, " slots"]
    use: Integer[np.ndarray, " slots"]
    percpu: bool

    def rows(
        self, slot: Integer[np.ndarray, " rows"], gives: Bool[np.ndarray, " rows"]
    ) -> Int[np.ndarray, "rows 2"]:
        """One row a request: gives the block of this slot back, or asks for one."""
        mt, order = self.type[slot].astype(np.int64), self.order[slot].astype(np.int64)
        back, ask = (Op.PUT, Op.GET) if self.percpu else (Op.FREE, Op.ALLOC)
        word = np.where(gives, int(back), int(ask)) | order << ORDER | 1 << FRESH | 1 << BY_HANDLE
        asked = (mt + 1) << TYPE | (mt == Migratetype.MOVABLE) << LRU
        return np.stack([word | np.where(gives, 0, asked), slot.astype(np.int64)], 1)


def slots(kinds: list[tuple[int, int, Migratetype, str]], percpu: bool) -> Slots:
    """Slots of these kinds in turn: (how many, order, migratetype, class) each."""
    count = [kind[0] for kind in kinds]
    column = lambda k: np.repeat([int(kind[k]) for kind in kinds], count)  # noqa: E731
    use = np.repeat([CLASSES.index(kind[3]) for kind in kinds], count)
    return Slots(column(1), column(2), use, percpu)


@dataclass(frozen=True, eq=False)
class Plan:
    """All requests of one state.

    slots    what they are about
    longest  most rows of a piece
    pieces   (name, rows) each; after a piece with a name the memory is looked at
    """

    slots: Slots
    longest: int
    pieces: Iterator[tuple[str, Int[np.ndarray, "rows 2"]]]


@dataclass(frozen=True)
class Recipe:
    """Interface. A leaf is a frozen dataclass whose fields are its options.

    name    as in `secretjax age`
    label   for people
    source  where it is published
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str]

    def plan(self, pages: int, rng: np.random.Generator) -> Plan:
        """The requests for a zone of so many pages; states differ by `rng` only."""
        raise NotImplementedError


def cut(rows: Int[np.ndarray, "rows 2"], longest: int) -> Iterator[tuple[str, np.ndarray]]:
    """Rows in pieces without a name."""
    for first in range(0, len(rows), longest):
        yield "", rows[first : first + longest]
