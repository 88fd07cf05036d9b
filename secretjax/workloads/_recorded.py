"""A recorded request stream: what a kernel's per-CPU lists asked of its buddy lists, in order.

A request is a row of two words, so that one gather fetches it.
word 0   op (5) | order (4) | migratetype + 1 (4) | counts as movable (1) | new refill (1) |
         by handle (1) | offset within the block (10)
word 1   pfn, or handle
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32

from secretjax.mm.layout import Use
from secretjax.mm.state import Command, Op, Word
from secretjax.mm.words import Migratetype

ORDER, TYPE, LRU, FRESH, BY_HANDLE, OFFSET = 5, 9, 13, 14, 15, 16


def encode(requests: np.ndarray) -> np.ndarray:
    """Rows Int32 [requests, 2] of a replay case's `req` [requests, 5] without its snapshots."""
    op, order, mt, handle, extra = requests.astype(np.int64).T
    alloc = op == 0
    known = alloc | (handle >= 0)
    refill = np.where(alloc, extra, -1)
    before = np.concatenate([[-2], np.maximum.accumulate(np.where(alloc, refill, -1))[:-1]])
    fresh = alloc & (refill != before)
    word = np.where(alloc, int(Op.ALLOC), int(Op.FREE)) | order << ORDER | (mt + 1) << TYPE
    word |= (alloc & (mt == Migratetype.MOVABLE)) << LRU | fresh << FRESH | known << BY_HANDLE
    word |= np.where(alloc | ~known, 0, extra) << OFFSET
    return np.stack([word, np.where(known, handle, extra)], 1).astype(np.int32)


def blocks_at_start(requests: np.ndarray) -> list[tuple[int, int]]:
    """(pfn, order) of the larger blocks in use at the start that the stream gives back whole."""
    given = (requests[:, 0] == 1) & (requests[:, 3] < 0) & (requests[:, 1] > 0)
    return [(int(pfn), int(order)) for order, pfn in requests[given][:, [1, 4]]]


class Cursor(NamedTuple):
    """Place in the stream."""

    pc: Word
    stop: Word


def fetch(own, stream: Int32[Array, "rows 2"]) -> tuple[Word, Word]:
    """Both words of the row at `own.pc`; no operation at the place to wait."""
    at = jnp.minimum(own.pc, stream.shape[0] - 1)
    both = lax.dynamic_slice(stream, (at, 0), (1, 2))[0]
    return jnp.where(own.pc < own.stop, both[0], int(Op.NOTHING)), both[1]


def decode(word: Word, operand: Word) -> Command:
    """A row as a command to the zone."""
    op = word & 31
    alloc = (op == Op.ALLOC) | (op == Op.GET)
    by_handle = ((word >> BY_HANDLE) & 1) == 1
    use = Use.USED | jnp.where(((word >> LRU) & 1) == 1, int(Use.LRU), 0)
    return Command(
        op=op,
        order=(word >> ORDER) & 15,
        type=((word >> TYPE) & 15) - 1,
        use=use,
        handle=jnp.where(by_handle & ~alloc, operand, -1),
        owner=jnp.where(alloc, operand, -1),
        page=jnp.where(by_handle, (word >> OFFSET) & 1023, operand),
        fresh=(word >> FRESH) & 1,
        compact=jnp.zeros_like(word),
    )


def command(own: Cursor, stream: Int32[Array, "rows 2"]) -> Command:
    """The request at the cursor, or none at the place to wait."""
    return decode(*fetch(own, stream))


def advance(own: Cursor, finished, answer) -> Cursor:
    """The next request once this one is finished."""
    return own._replace(pc=own.pc + (finished & (own.pc < own.stop)))
