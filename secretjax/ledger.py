"""Who holds what: counts of each process and of each user.

A process is one address space (an mm); it belongs to a user, who is the tenant of limits and
charges. The counts of the process in force and of its user are registers of the program, which
change with every page; the tables hold the others', and change when another process runs.
"""

from typing import Any, NamedTuple, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32

from secretjax.mm.state import Word

PROCESSES = 128  # and as many users
FILES = 256  # that a demand of several processes may have
VICTIM = PROCESSES - 1  # process and user of whoever comes last, where a demand has a victim
LARGEST = -1  # in place of a process: the one of the user in force that holds most


class Counts(NamedTuple):
    """Pages, but for the last one; a row of a table has them in this order."""

    held: Word  # pages of its files that it has touched
    mapped: Word  # mapped and not yet touched
    charged: Word  # held, or pageblocks of its pools whole with the single pages beside them
    granted: Word  # ever
    refused_mmap: Word
    refused_fault: Word
    killed: Word  # how often the OOM killer came


Table = Int32[Array, "rows counts"]


class Tables(NamedTuple):
    """All rows, those in force as they were when the process began to run."""

    owner: Int32[Array, " processes"]  # user of each process
    first: Int32[Array, " processes"]  # handles of its pages: from here,
    behind: Int32[Array, " processes"]  # to before here
    present: Int32[Array, " users"]  # 1: a user of the demand
    process: Table
    user: Table
    shut: Int32[Array, " files"]  # 1: no untouched page of that file is mapped


class Current(NamedTuple):
    """Whose process runs, as the kernel's `current`, and his registers."""

    process: Word
    user: Word
    file: Word
    first: Word  # handles of the process
    behind: Word
    mine: Counts
    users: Counts
    shut: Word


def begin(owner, first, behind, present) -> tuple[Tables, Current]:
    """Nobody holds anything, and process 0 of user 0 runs (NumPy arrays)."""
    zeros = lambda *shape: cast(Any, np.zeros(shape, np.int32))  # noqa: E731
    rows = zeros(2, PROCESSES, len(Counts._fields))
    tables = Tables(owner, first, behind, present, rows[0], rows[1], zeros(FILES))
    zero, nothing = cast(Any, np.int32(0)), Counts(*zeros(len(Counts._fields)))
    return tables, Current(zero, owner[0], zero, first[0], behind[0], nothing, nothing, zero)


def settled(tables: Tables, current: Current) -> Tables:
    """The tables with the registers in force written back."""

    def put(rows, who, row):
        mine = jnp.arange(len(rows)) == who
        return jnp.where(mine.reshape(-1, *[1] * (rows.ndim - 1)), row, rows)

    return tables._replace(
        process=put(tables.process, current.process, jnp.stack(current.mine)),
        user=put(tables.user, current.user, jnp.stack(current.users)),
        shut=put(tables.shut, current.file, current.shut),
    )


def switched(tables: Tables, current: Current, process: Word, file: Word) -> tuple[Tables, Current]:
    """A process runs, or the `LARGEST` of the user in force, with that file."""
    tables = settled(tables, current)
    process = jnp.where(process == LARGEST, largest(tables, current.user), process)
    user = tables.owner[process]
    return tables, Current(
        process,
        user,
        file,
        tables.first[process],
        tables.behind[process],
        Counts(*tables.process[process]),
        Counts(*tables.user[user]),
        tables.shut[file],
    )


def largest(tables: Tables, user: Word) -> Word:
    """The process of this user that holds most, the first of several.

    mm/oom_kill.c: oom_badness() counts resident pages, and touched secret pages are resident.
    """
    held = tables.process[:, Counts._fields.index("held")]
    his = (tables.owner == user) & (tables.behind > tables.first)
    return jnp.argmax(jnp.where(his, held, -1)).astype(jnp.int32)


def others(tables: Tables, user: Word) -> Bool[Array, " users"]:
    """The users of the demand but this one."""
    return (tables.present == 1) & (jnp.arange(PROCESSES) != user)


def column(table: Table, name: str) -> Int32[Array, " rows"]:
    """One count of all rows."""
    return table[:, Counts._fields.index(name)]
