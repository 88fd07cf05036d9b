"""Who holds what: one row a process, kept in step with the registers of the program.

A process is one address space (an mm) and belongs to a user, the tenant of limits and charges.
"""

from enum import IntEnum

import jax.numpy as jnp
from jaxtyping import Array, Int32

from secretjax.mm.state import Flag, Word

PROCESSES = 16  # and as many users
VICTIM = PROCESSES - 1  # process and user of whoever comes last, where a demand has a victim


class Column(IntEnum):
    """Columns of a ledger; all but the first are counts of pages or of kills."""

    USER = 0  # whose process it is
    HELD = 1  # pages of its files that it has touched
    MAPPED = 2  # mapped and not yet touched
    CHUNKS = 3  # held, or pageblocks of its pools whole with the single pages beside them
    GRANTED = 4  # ever
    REFUSED_MMAP = 5
    REFUSED_FAULT = 6
    KILLED = 7  # how often the OOM killer came


Ledger = Int32[Array, "processes columns"]


def empty() -> Ledger:
    """All processes are user 0's and hold nothing."""
    return jnp.zeros((PROCESSES, len(Column)), jnp.int32)


def of_process(ledger: Ledger, process: Word, column: Column) -> Word:
    """A count of one process."""
    mine = jnp.arange(PROCESSES) == process
    return jnp.where(mine, ledger[:, column], 0).sum(dtype=jnp.int32)


def of_user(ledger: Ledger, process: Word, column: Column) -> Word:
    """A count of all processes of this process's user."""
    mine = ledger[:, Column.USER] == of_process(ledger, process, Column.USER)
    return jnp.where(mine, ledger[:, column], 0).sum(dtype=jnp.int32)


def by_user(ledger: Ledger, column: Column) -> Int32[Array, " users"]:
    """A count of each user."""
    whose = ledger[:, Column.USER] == jnp.arange(PROCESSES)[:, None]
    return jnp.where(whose, ledger[:, column], 0).sum(1, dtype=jnp.int32)


def entered(ledger: Ledger, process: Word, change: dict[Column, Word]) -> Ledger:
    """The ledger after a step that changed these counts of one process."""
    row = jnp.stack([change.get(column, jnp.zeros_like(process)) for column in Column])
    mine: Flag = jnp.arange(PROCESSES) == process
    return ledger + jnp.where(mine[:, None], row, 0)
