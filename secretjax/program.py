"""What one state remembers beside its zone, and how a row of its script ends.

A script is the workload's: rows of two words, made beforehand from the state's seed, the same for
every proposal. Rows whose op is a zone's (`Op`) go to the zone as they are; the others are events
of users of secret memory, which `rules` turns into commands.
"""

from enum import IntEnum
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from secretjax.admission.base import Limits
from secretjax.ledger import Counts, Current, Tables, begin
from secretjax.mm.state import Command, Flag, Word
from secretjax.proposals.base import Ask, Own
from secretjax.workloads.base import Do

PATIENCE = 16  # bits of a DRAIN row's count above which stands after how many poor rows it stops


class Part(IntEnum):
    """Where a row stands that goes through several events."""

    FIRST = 0
    GIVE = 1  # huge pages of others go back
    SHRINK = 2  # idle pageblocks of the pool go
    AGAIN = 3  # and a huge page is asked for once more
    KILL = 4  # the pages of the killed process go


class Program(NamedTuple):
    """Registers of one state beside its zone's."""

    pc: Word  # row of the script
    stop: Word  # row to wait at
    done: Word  # pages of this row that are done
    part: Word  # `Part` of the row
    kept: Word  # huge pages that others hold
    first: Word  # 1: the next page is the first of its file
    refused: Word  # the open file asks no more: 1 refused at a fault, 2 at mmap
    next: Word  # handle of the next page to be touched
    oldest: Word  # and to be given back
    current: Current  # whose file it is, with his counts
    switches: Word  # 1: another process runs from now on,
    to: Word  # this one
    file: Word  # with this file
    asker: Word  # process whose fault called the OOM killer
    sweep: Word  # handle of the next page of the killed process that is to be given back
    chunk: Word  # `Own.chunk` of the open file meanwhile
    mapped: Word  # pages mapped and not yet touched
    floor: Word  # free pages below which users stop by themselves
    limits: Limits  # of the admission rule
    base: Word  # first handle of the huge pages
    own: Own
    granted: Word
    fallback: Word
    refused_mmap: Word
    refused_fault: Word
    apart: Word  # pages zeroed through a temporary mapping
    killed: Word  # refused faults that call the OOM killer
    sigbus: Word  # and those that end in SIGBUS
    huge_tried: Word
    huge_ok: Word
    easy: Word  # of them before the first request that had to compact
    poor: Word  # DRAIN rows in a row that got nothing
    up: Word  # files open, until one is refused
    promised: Word  # pages promised to each user from the start
    others: Word  # pages that the pool owes to all users but the one in force
    tables: Tables | None


def blank(zero: Any = 0) -> Program:
    """A program of which every word is this one, without tables."""
    all_of = lambda of: of(*[zero] * len(of._fields))  # noqa: E731
    counts = {"mine": all_of(Counts), "users": all_of(Counts)}
    parts = {"own": all_of(Own), "limits": all_of(Limits), "tables": None}
    return all_of(Program)._replace(current=all_of(Current)._replace(**counts), **parts)


def start(floor: int, base: int, owners: dict, limits: Limits) -> Program:
    """A program at the beginning of its script (NumPy); secret pages have the handles from 0 on.

    owners: `Script.owners()`.
    """
    tables, current = begin(**owners)
    limits = Limits(*cast(list[Any], [np.int32(n) for n in limits]))
    me = blank(np.int32(0))._replace(tables=tables, current=current, limits=limits)
    return me._replace(floor=np.int32(floor), base=np.int32(base))


class Row(NamedTuple):
    """The row in force: its op, its count, the command it is or the event it stands for."""

    op: Word
    count: Word
    asked: Command
    event: Ask
    may: Flag  # the admission rule lets the file be mapped, or its next page be touched


def select(when, one, other):
    """Field by field."""
    return jax.tree.map(lambda a, b: jnp.where(when, a, b), one, other)


def next_row(me: Program) -> Program:
    """On to the next row."""
    zero = jnp.zeros_like(me.pc)
    return me._replace(pc=me.pc + 1, done=zero, part=zero)


def goes_to(me: Program, part: Part) -> Program:
    """On to another part of the row."""
    return me._replace(part=jnp.full_like(me.part, int(part)))


def switched_to(me: Program, row: Row) -> Program:
    """Another file, which may be another process's."""
    handle, process = row.asked.handle, row.asked.order | row.asked.type + 1 << 4
    whose = {"switches": jnp.ones_like(me.switches), "to": process, "file": row.asked.page}
    return next_row(me)._replace(next=handle, oldest=handle, **whose)


def shut(me: Program, is_shut: bool) -> Program:
    """No untouched page of the open file is mapped any more, or one is."""
    current = me.current
    return me._replace(current=current._replace(shut=jnp.full_like(current.shut, is_shut)))


def probed(me: Program, row: Row, answer: Word) -> Program:
    """Others' huge pages, each asked for once; all are given back."""
    asking = me.part != Part.GIVE
    kept = me.kept + (asking & (answer >= 0))
    asked = me.done + 1
    over = asking & (asked == row.count)
    asks = me._replace(kept=kept, done=jnp.where(over, 0, asked))
    asks = asks._replace(
        part=jnp.where(over, int(Part.GIVE), int(Part.FIRST)),
        huge_ok=me.huge_ok + jnp.where(over, kept, 0),
        huge_tried=me.huge_tried + jnp.where(over, row.count, 0),
    )
    nothing = next_row(asks)
    gives = me._replace(done=me.done + 1)
    gave_all = next_row(gives)._replace(kept=jnp.zeros_like(me.kept))
    gives = select(gives.done == me.kept, gave_all, gives)
    return select(~asking, gives, select(over & (kept == 0), nothing, asks))


def yielded(me: Program, went: Program, row: Row, on, answer: Word, follows: Program) -> Program:
    """Reclaim calls the pool's shrinker when a huge page is refused; then it is asked for again."""
    others = (row.op == Do.PROBE) | (row.op == Do.DRAIN)
    refused = others & (me.part == Part.FIRST) & (answer < 0)
    follows = select(refused, goes_to(me, Part.SHRINK), follows)
    again = select(on, went, goes_to(went, Part.AGAIN))
    return select(others & (me.part == Part.SHRINK), again, follows)


def drained(me: Program, row: Row, stalls: Word, answer: Word) -> Program:
    """Others' huge pages, up to the count or until one is refused; they keep them."""
    got = answer >= 0
    count = row.count & ((1 << PATIENCE) - 1)
    gained = (me.done > 0) | got
    takes = me._replace(
        part=jnp.zeros_like(me.part), kept=me.kept + got, done=me.done + 1, huge_ok=me.huge_ok + got
    )
    easy = jnp.where(stalls == 0, takes.huge_ok, me.easy)
    takes = takes._replace(huge_tried=me.huge_tried + 1, easy=easy)
    over = next_row(takes)._replace(poor=jnp.where(gained, 0, me.poor + 1))
    return select(got & (takes.done < count), takes, over)
