"""What one state goes through: a script of background requests and user events, step by step.

A script is the workload's: rows of two words, made beforehand from the state's seed, the same for
every proposal. Rows whose op is a zone's (`Op`) go to the zone as they are; the others are events
of users of secret memory, which the admission rule and the proposal turn into commands.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from secretjax.admission.base import Admission
from secretjax.mm.contig import IN_AREA
from secretjax.mm.layout import Use
from secretjax.mm.state import Command, Flag, Op, Word
from secretjax.mm.words import DIRECT, PAGEBLOCK_ORDER, THP, Migratetype
from secretjax.proposals.base import Ask, Own, Proposal, Result, When, choose_command, command
from secretjax.workloads import _recorded as recorded
from secretjax.workloads.base import Do

YIELD, AGAIN = 2, 3  # `Program.part` of a huge page of others: the pool shrinks; once more
PATIENCE = 16  # bits of a DRAIN row's count above which stands after how many poor rows it stops


class Program(NamedTuple):
    """Registers of one state beside its zone's."""

    pc: Word  # row of the script
    stop: Word  # row to wait at
    done: Word  # pages of this row that are done
    part: Word  # of a row that goes through several events
    kept: Word  # huge pages that others hold
    first: Word  # 1: the next page is the first of its file
    refused: Word  # the open file asks no more: 1 refused at a fault, 2 at mmap
    next: Word  # handle of the next page to be touched
    oldest: Word  # and to be given back
    floor: Word  # free pages below which users stop by themselves
    total: Word  # managed pages of the zone
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


def start(stop: int, floor: int, total: int, base: int) -> Program:
    """A program at the beginning of its script; secret pages have the handles from 0 on."""
    zero = jnp.zeros((), jnp.int32)
    blank = Program(*([zero] * len(Program._fields)))._replace(
        own=Own(*([zero] * len(Own._fields)))
    )
    given = {"stop": stop, "floor": floor, "total": total, "base": base}
    return blank._replace(**{k: jnp.asarray(v, jnp.int32) for k, v in given.items()})


class Row(NamedTuple):
    """The row in force: its op, its count, the command it is or the event it stands for."""

    op: Word
    count: Word
    asked: Command
    event: Ask


class Rules:
    """How rows become commands, under one proposal and one admission rule."""

    def __init__(self, proposal: Proposal, admission: Admission):
        self.proposal, self.admission = proposal, admission
        self.shares = proposal.pool and proposal.shared
        self.eager = self.shares and not proposal.keep_idle
        self.reserves = self.shares and admission.reserves

    def ask(self, me: Program, word: Word, count: Word, free: Word) -> tuple[Row, Command]:
        """The row in force, and the command of this step."""
        row = self.row(me, word, count)
        return row, self.command(me, row, free)

    def row(self, me: Program, word: Word, count: Word) -> Row:
        """The row with these two words (see `recorded.fetch`)."""
        asked = recorded.decode(word, count)
        op = asked.op
        closing = op == Do.CLOSE
        when = jnp.where(closing, int(When.RELEASE), int(When.FAULT))
        when = jnp.where(op == Do.OPEN, int(When.RESERVE), when)
        when = jnp.where(op == Do.FILL, int(When.FILL), when)
        shrinks = (op == Do.SHRINK) | (me.part == 1) | (me.part == YIELD)
        when = jnp.where(shrinks, int(When.SHRINK), when)
        need = me.own.held - me.own.singles + me.own.reserved + count
        handle = jnp.where(closing, me.oldest, me.next)
        return Row(op, count, asked, Ask(when, handle, me.first, need))

    def allowed(self, me: Program, row: Row) -> Flag:
        """Whether a file of this many pages may be mapped."""
        own = me.own
        return self.admission.allowed(
            pages=row.count, held=own.held, reserved=own.reserved, total=me.total
        )

    def goes_on(self, me: Program, free: Word) -> Flag:
        """Whether the user of the open file touches another page."""
        return (me.refused == 0) & (free >= me.floor)

    def gave_up(self, me: Program, row: Row) -> Flag:
        """Whether so many DRAIN rows got nothing that no more huge pages are asked for."""
        patience = row.count >> PATIENCE
        return (patience > 0) & (me.poor >= patience)

    def command(self, me: Program, row: Row, free: Word) -> Command:
        """The command of this step."""
        op = row.op
        opens = (op == Do.OPEN) & self.reserves & ((me.part == 1) | self.allowed(me, row))
        grows = (op == Do.GROW) & self.goes_on(me, free)
        user = opens | grows | (op == Do.CLOSE) | ((op == Do.SHRINK) & self.shares)
        user = user | (op == Do.FILL) | (me.part == YIELD)
        handle = me.base + me.kept
        movable = Migratetype.MOVABLE
        probing = op == Do.PROBE
        use = Use.USED | jnp.where(probing, int(Use.LRU), 0)
        may = jnp.where(probing, THP, DIRECT)
        huge = command(Op.GET, PAGEBLOCK_ORDER, movable, use, owner=handle, compact=may)
        area = command(Op.TAKE, 1 << 20, -1, Use.USED, owner=handle, page=IN_AREA)
        give = command(Op.PUT, PAGEBLOCK_ORDER, handle=me.base + me.done)
        return choose_command([
            (op < Do.OPEN, row.asked),
            (user, self.proposal.command(me.own, row.event)),
            ((probing & (me.part != 1)) | ((op == Do.DRAIN) & ~self.gave_up(me, row)), huge),
            (probing & (me.part == 1), give),
            (op == Do.TAKES, area),
        ])  # fmt: skip

    def after(self, me: Program, row: Row, free: Word, stalls: Word, finished, answer) -> Program:
        """The program after a step whose command was finished, or was not."""
        turn = self.proposal.advance(me.own, row.event, answer)
        on = turn.result == Result.ON
        own = turn.own._replace(stage=jnp.where(on, turn.own.stage, 0))
        went = me._replace(own=own)
        follows = next_row(me)
        for op, other in (
            (Do.OPEN, self.opened(me, went, row, turn.result)),
            (Do.GROW, self.grown(me, went, row, turn.result, free)),
            (Do.CLOSE, self.closed(me, went, row, turn.result, answer)),
            (Do.SHRINK, select(on & self.shares, went, next_row(went if self.shares else me))),
            (Do.FILL, select(on, went, next_row(went))),
            (Do.PROBE, probed(me, row, answer)),
            (
                Do.DRAIN,
                select(self.gave_up(me, row), next_row(me), drained(me, row, stalls, answer)),
            ),
            (Do.TAKES, drained(me, row, stalls, answer)),
        ):
            follows = select(row.op == op, other, follows)
        if self.proposal.yields:
            follows = yielded(me, went, row, on, answer, follows)
        return select(finished & (me.pc < me.stop), follows, me)

    def opened(self, me: Program, went: Program, row: Row, result: Word) -> Program:
        """mmap: the pages are promised, or the file is refused and what was gathered goes back."""
        fresh = next_row(me)._replace(
            first=jnp.ones_like(me.first), refused=jnp.zeros_like(me.refused)
        )
        if not self.reserves:
            return fresh
        no = me._replace(
            refused=2 * jnp.ones_like(me.refused), refused_mmap=me.refused_mmap + row.count
        )
        promised = went.own._replace(reserved=went.own.reserved + row.count)
        yes = fresh._replace(own=promised)
        gathered = no._replace(own=went.own, part=jnp.ones_like(me.part))
        tried = select(result == Result.ON, went, select(result == Result.REFUSED, gathered, yes))
        tried = select(self.allowed(me, row), tried, next_row(no))
        shrinks = select(result == Result.ON, went, next_row(went))
        return select(me.part == 1, shrinks, tried)

    def grown(self, me: Program, went: Program, row: Row, result: Word, free: Word) -> Program:
        """A fault: granted, refused (then the file asks no more), or not even tried."""
        rest = row.count - me.done
        lost = jnp.where(me.refused == 2, 0, rest)
        over = next_row(me)._replace(next=me.next + rest, refused_fault=me.refused_fault + lost)
        over = over._replace(refused=jnp.maximum(me.refused, 1))
        single = (result == Result.SINGLE) & self.proposal.pool
        own = went.own
        own = own._replace(
            held=own.held + 1,
            singles=own.singles + single,
            reserved=own.reserved - (1 if self.reserves else 0),
        )
        got = me._replace(
            own=own,
            apart=me.apart + int(self.proposal.apart),
            done=me.done + 1,
            next=me.next + 1,
            first=jnp.zeros_like(me.first),
            granted=me.granted + 1,
            fallback=me.fallback + single,
        )
        got = select(got.done == row.count, next_row(got), got)
        kills = int(self.proposal.kills)
        refused = went._replace(
            refused=jnp.ones_like(me.refused),
            killed=me.killed + kills,
            sigbus=me.sigbus + 1 - kills,
        )
        tried = select(result == Result.ON, went, select(result == Result.REFUSED, refused, got))
        return select(self.goes_on(me, free), tried, over)

    def closed(self, me: Program, went: Program, row: Row, result: Word, answer: Word) -> Program:
        """A file ends: its pages one by one, then a shared pool's idle pageblocks."""
        own = went.own._replace(held=went.own.held - (answer != -1))
        one = went._replace(own=own, done=me.done + 1, oldest=me.oldest + 1)
        last = one._replace(part=jnp.ones_like(me.part)) if self.eager else next_row(one)
        released = select(one.done == row.count, last, one)
        released = select(result == Result.ON, went, released)
        shrinks = select(result == Result.ON, went, next_row(went))
        return select(me.part == 1, shrinks, released)


def select(when, one, other):
    """Field by field."""
    return jax.tree.map(lambda a, b: jnp.where(when, a, b), one, other)


def next_row(me: Program) -> Program:
    """On to the next row."""
    zero = jnp.zeros_like(me.pc)
    return me._replace(pc=me.pc + 1, done=zero, part=zero)


def probed(me: Program, row: Row, answer: Word) -> Program:
    """Others' huge pages, each asked for once; all are given back."""
    asking = me.part != 1
    kept = me.kept + (asking & (answer >= 0))
    asked = me.done + 1
    over = asking & (asked == row.count)
    asks = me._replace(kept=kept, part=over.astype(jnp.int32), done=jnp.where(over, 0, asked))
    asks = asks._replace(
        huge_ok=me.huge_ok + jnp.where(over, kept, 0),
        huge_tried=me.huge_tried + jnp.where(over, row.count, 0),
    )
    nothing = next_row(asks)
    gives = me._replace(done=me.done + 1)
    gave_all = next_row(gives)._replace(kept=jnp.zeros_like(me.kept))
    gives = select(gives.done == me.kept, gave_all, gives)
    return select(me.part == 1, gives, select(over & (kept == 0), nothing, asks))


def yielded(me: Program, went: Program, row: Row, on, answer: Word, follows: Program) -> Program:
    """Reclaim calls the pool's shrinker when a huge page is refused; then it is asked for again."""
    others = (row.op == Do.PROBE) | (row.op == Do.DRAIN)
    refused = others & (me.part == 0) & (answer < 0)
    follows = select(refused, me._replace(part=jnp.full_like(me.part, YIELD)), follows)
    again = select(on, went, went._replace(part=jnp.full_like(me.part, AGAIN)))
    return select(me.part == YIELD, again, follows)


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
