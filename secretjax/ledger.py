"""Who holds what: a row for each process, and one for each user.

A process is one address space (an mm); it belongs to a user, who is the tenant of limits and
charges. The program keeps both tables in step with what a row of its script changed.
"""

from enum import IntEnum
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32

from secretjax.mm.state import Word

PROCESSES = 16  # and as many users
FILES = 256  # that a demand of several processes may have
VICTIM = PROCESSES - 1  # process and user of whoever comes last, where a demand has a victim


class Column(IntEnum):
    """What is counted: pages, but for the last one."""

    HELD = 0  # pages of its files that it has touched
    MAPPED = 1  # mapped and not yet touched
    CHARGED = 2  # held, or pageblocks of its pools whole with the single pages beside them
    GRANTED = 3  # ever
    REFUSED_MMAP = 4
    REFUSED_FAULT = 5
    KILLED = 6  # how often the OOM killer came


Table = Int32[Array, "rows columns"]


class Owners(NamedTuple):
    """Whose the processes are, and the handles of their pages; the same all the time."""

    user: Int32[Array, " processes"]
    first: Int32[Array, " processes"]  # handles of its pages: from here,
    behind: Int32[Array, " processes"]  # to before here
    present: Int32[Array, " users"]  # 1: a user of the demand


class Ledger(NamedTuple):
    """Both tables."""

    process: Table
    user: Table


def empty() -> Ledger:
    """Nobody holds anything."""
    return Ledger(*(np.zeros((PROCESSES, len(Column)), np.int32) for _ in Ledger._fields))


def at(rows: Array, who: Word, column: Column | None = None) -> Word:
    """One number of a table, or of a list of `Owners`."""
    if column is None:
        return lax.dynamic_slice(rows, (who,), (1,))[0]
    return lax.dynamic_slice(rows, (who, jnp.asarray(int(column), who.dtype)), (1, 1))[0, 0]


def entered(ledger: Ledger, process: Word, user: Word, change: dict[Column, Word]) -> Ledger:
    """The ledger after a step that changed these counts of one process of this user."""
    row = jnp.stack([change.get(column, jnp.zeros_like(process)) for column in Column])

    def add(table, who):
        return table + jnp.where((jnp.arange(PROCESSES) == who)[:, None], row, 0)

    return Ledger(add(ledger.process, process), add(ledger.user, user))


def largest(ledger: Ledger, owners: Owners, user: Word) -> Word:
    """The process of this user that holds most, the first of several.

    mm/oom_kill.c: oom_badness() counts resident pages, and touched secret pages are resident.
    """
    held = jnp.where(owners.user == user, ledger.process[:, Column.HELD], -1)
    return jnp.argmax(held).astype(jnp.int32)
