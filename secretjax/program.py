"""What one state goes through: a script of background requests and user events, step by step.

A script is the workload's: rows of two words, made beforehand from the state's seed, the same for
every proposal. Rows whose op is a zone's (`Op`) go to the zone as they are; the others are events
of users of secret memory, which the admission rule and the proposal turn into commands.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from secretjax import ledger as book
from secretjax.admission.base import Admission, Request
from secretjax.ledger import Column, Ledger
from secretjax.mm.contig import IN_AREA
from secretjax.mm.layout import Use
from secretjax.mm.state import Command, Flag, Op, Word
from secretjax.mm.words import DIRECT, PAGEBLOCK_ORDER, THP, Migratetype
from secretjax.proposals.base import Ask, Own, Proposal, Result, When, choose_command, command
from secretjax.workloads import _recorded as recorded
from secretjax.workloads.base import Do

SHRINKING, KILLED = 1, 2  # parts of a row: idle pageblocks go, a killed process's file goes
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
    file: Word  # and of the open file's first page that is left
    until: Word  # handle behind the last page of a file that is killed
    process: Word  # who does the rows in force: its row in the ledger
    floor: Word  # free pages below which users stop by themselves
    total: Word  # managed pages of the zone
    base: Word  # first handle of the huge pages
    own: Own
    granted: Word
    fallback: Word
    refused_mmap: Word
    refused_fault: Word
    huge_tried: Word
    huge_ok: Word
    easy: Word  # of them before the first request that had to compact
    poor: Word  # DRAIN rows in a row that got nothing
    mapped: Word  # pages mapped and not yet touched
    killed: Word
    up: Word  # files open, up to the first refusal
    ledger: Ledger


def start(stop: int, floor: int, total: int, base: int) -> Program:
    """A program at the beginning of its script; secret pages have the handles from 0 on."""
    zero = jnp.zeros((), jnp.int32)
    blank = Program(*([zero] * len(Program._fields)))._replace(
        own=Own(*([zero] * len(Own._fields))), ledger=book.empty()
    )
    given = {"stop": stop, "floor": floor, "total": total, "base": base}
    return blank._replace(**{k: jnp.asarray(v, jnp.int32) for k, v in given.items()})


class Row(NamedTuple):
    """The row in force: its op, its count, the command it is or the event it stands for."""

    op: Word
    count: Word
    asked: Command
    event: Ask
    may: Flag  # the admission rule lets the file be mapped, or its next page be touched


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
        killing = me.part == KILLED
        releasing = (op == Do.CLOSE) | killing
        when = jnp.where(releasing, int(When.RELEASE), int(When.FAULT))
        when = jnp.where(op == Do.OPEN, int(When.RESERVE), when)
        when = jnp.where((op == Do.SHRINK) | (me.part == SHRINKING), int(When.SHRINK), when)
        need = me.own.held - me.own.singles + me.own.reserved + count
        handle = jnp.where(killing, me.file, jnp.where(releasing, me.oldest, me.next))
        event = Ask(when, handle, me.first, need)
        return Row(op, count, asked, event, self.may(me, op, count))

    def may(self, me: Program, op: Word, count: Word) -> Flag:
        """What the admission rule says of a file of this many pages, or of its next page."""
        own, opens = me.own, op == Do.OPEN
        private = self.proposal.pool and not self.shares
        asked = Request(
            pages=jnp.where(opens, count, 1),
            grows=((own.room == 0) | (me.first == 1)) & private,
            process=me.process,
            ledger=me.ledger,
            held=own.held,
            reserved=own.reserved,
            total=me.total,
        )
        return jnp.where(opens, self.admission.maps(asked), self.admission.charges(asked))

    def goes_on(self, me: Program, row: Row, free: Word) -> Flag:
        """Whether the user of the open file touches another page, and may have it."""
        return (me.refused == 0) & (free >= me.floor) & row.may

    def gave_up(self, me: Program, row: Row) -> Flag:
        """Whether so many DRAIN rows got nothing that no more huge pages are asked for."""
        patience = row.count >> PATIENCE
        return (patience > 0) & (me.poor >= patience)

    def command(self, me: Program, row: Row, free: Word) -> Command:
        """The command of this step."""
        op = row.op
        opens = (op == Do.OPEN) & self.reserves & ((me.part == SHRINKING) | row.may)
        grows = (op == Do.GROW) & ((me.part > 0) | self.goes_on(me, row, free))
        user = opens | grows | (op == Do.CLOSE) | ((op == Do.SHRINK) & self.shares)
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
            ((probing & (me.part == 0)) | ((op == Do.DRAIN) & ~self.gave_up(me, row)), huge),
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
            (Do.GROW, self.grown(me, went, row, turn.result, answer, free)),
            (Do.CLOSE, self.closed(me, went, row, turn.result, answer)),
            (Do.SHRINK, select(on & self.shares, went, next_row(went if self.shares else me))),
            (Do.PROBE, probed(me, row, answer)),
            (
                Do.DRAIN,
                select(self.gave_up(me, row), next_row(me), drained(me, row, stalls, answer)),
            ),
            (Do.TAKES, drained(me, row, stalls, answer)),
            (Do.FILE, turned_to(me, row)),
        ):
            follows = select(row.op == op, other, follows)
        follows = select(finished & (me.pc < me.stop), follows, me)
        return self.entered(me, follows, row)

    def entered(self, me: Program, follows: Program, row: Row) -> Program:
        """What the step changed for its process goes into the ledger."""
        gone = lambda name: getattr(follows, name) - getattr(me, name)  # noqa: E731
        own, was = follows.own, me.own
        held = own.held - was.held
        chunks = own.pool - was.pool + own.singles - was.singles if self.proposal.pool else held
        user = book.of_process(me.ledger, follows.process, Column.USER)
        turns = (row.op == Do.FILE) & (gone("pc") > 0)
        change = {
            Column.USER: jnp.where(turns, row.asked.type + 1 - user, 0),
            Column.HELD: held,
            Column.MAPPED: gone("mapped"),
            Column.CHUNKS: chunks,
            Column.GRANTED: gone("granted"),
            Column.REFUSED_MMAP: gone("refused_mmap"),
            Column.REFUSED_FAULT: gone("refused_fault"),
            Column.KILLED: gone("killed"),
        }
        opened = (row.op == Do.OPEN) & (gone("pc") > 0) & (follows.refused == 0)
        closed = (row.op == Do.CLOSE) & (gone("pc") > 0)
        up = me.up + opened - closed - (gone("refused_fault") > 0)
        still = me.refused_mmap + me.refused_fault == 0
        return follows._replace(
            ledger=book.entered(me.ledger, follows.process, change),
            up=jnp.where(still, up, me.up),
        )

    def opened(self, me: Program, went: Program, row: Row, result: Word) -> Program:
        """mmap: the pages are promised, or the file is refused and what was gathered goes back."""
        no = me._replace(
            refused=2 * jnp.ones_like(me.refused), refused_mmap=me.refused_mmap + row.count
        )
        reserved = me.own.reserved + (row.count if self.reserves else 0)
        yes = next_row(me)._replace(
            own=went.own._replace(reserved=reserved) if self.reserves else me.own,
            first=jnp.ones_like(me.first),
            refused=jnp.zeros_like(me.refused),
            file=me.next,
            mapped=me.mapped + row.count,
        )
        if not self.reserves:
            return select(row.may, yes, next_row(no))
        gathered = no._replace(own=went.own, part=jnp.full_like(me.part, SHRINKING))
        tried = select(result == Result.ON, went, select(result == Result.REFUSED, gathered, yes))
        tried = select(row.may, tried, next_row(no))
        shrinks = select(result == Result.ON, went, next_row(went))
        return select(me.part == SHRINKING, shrinks, tried)

    def grown(self, me: Program, went: Program, row: Row, result, answer, free) -> Program:
        """A fault: granted, refused (then the file asks no more), or not even tried."""
        rest = row.count - me.done
        lost = jnp.where(me.refused == 2, 0, rest)
        over = self.unmapped(next_row(me), lost)
        over = over._replace(next=me.next + rest, refused_fault=me.refused_fault + lost)
        over = over._replace(refused=jnp.maximum(me.refused, 1))
        if self.admission.kills:
            kills = (me.refused == 0) & ~row.may
            some = me.next > me.file
            over = over._replace(until=me.next, killed=me.killed + kills)
            stays = {"pc": me.pc, "part": jnp.full_like(me.part, KILLED)}
            over = select(kills & some, over._replace(**stays), over)
        single = (result == Result.SINGLE) & self.proposal.pool
        own = went.own
        own = own._replace(held=own.held + 1, singles=own.singles + single)
        got = self.unmapped(me._replace(own=own), jnp.ones_like(me.done))._replace(
            done=me.done + 1,
            next=me.next + 1,
            first=jnp.zeros_like(me.first),
            granted=me.granted + 1,
            fallback=me.fallback + single,
        )
        got = select(got.done == row.count, next_row(got), got)
        refused = went._replace(refused=jnp.ones_like(me.refused))
        tried = select(result == Result.ON, went, select(result == Result.REFUSED, refused, got))
        grown = select(self.goes_on(me, row, free), tried, over)
        if not self.admission.kills:
            return grown
        one = went._replace(file=me.file + 1)
        ends = self.ended(me, went, result, answer, one, one.file == me.until)
        return select(me.part > 0, ends, grown)

    def closed(self, me: Program, went: Program, row: Row, result: Word, answer: Word) -> Program:
        """A file ends; so does the promise of pages that it never touched."""
        idle = book.of_process(me.ledger, me.process, Column.MAPPED)
        untouched = (answer == -1) & (idle > 0) & (me.part == 0) & (result != Result.ON)
        one = went._replace(done=me.done + 1, oldest=me.oldest + 1)
        one = self.unmapped(one, untouched.astype(jnp.int32))
        return self.ended(me, went, result, answer, one, one.done == row.count)

    def unmapped(self, me: Program, pages: Word) -> Program:
        """So many pages are no longer mapped and untouched; a reservation promised them."""
        own = me.own._replace(reserved=me.own.reserved - (pages if self.reserves else 0))
        return me._replace(own=own, mapped=me.mapped - pages)

    def ended(self, me: Program, went: Program, result: Word, answer: Word, one, last) -> Program:
        """A file's pages go one by one, then a shared pool's idle pageblocks.

        one: the program after this page; last: whether it is the file's last.
        """
        one = one._replace(own=one.own._replace(held=one.own.held - (answer != -1)))
        shrinking = jnp.full_like(me.part, SHRINKING)
        over = one._replace(part=shrinking) if self.eager else next_row(one)
        released = select(last, over, one)
        released = select(result == Result.ON, went, released)
        shrinks = select(result == Result.ON, went, next_row(went))
        return select(me.part == SHRINKING, shrinks, released)


def select(when, one, other):
    """Field by field."""
    return jax.tree.map(lambda a, b: jnp.where(when, a, b), one, other)


def next_row(me: Program) -> Program:
    """On to the next row."""
    zero = jnp.zeros_like(me.pc)
    return me._replace(pc=me.pc + 1, done=zero, part=zero)


def turned_to(me: Program, row: Row) -> Program:
    """Another file, which may be another process's."""
    return next_row(me)._replace(process=row.asked.order, next=row.count, oldest=row.count)


def probed(me: Program, row: Row, answer: Word) -> Program:
    """Others' huge pages, each asked for once; all are given back."""
    asking = me.part == 0
    kept = me.kept + (asking & (answer >= 0))
    asked = me.done + 1
    over = asking & (asked == row.count)
    asks = me._replace(kept=kept, part=me.part + over, done=jnp.where(over, 0, asked))
    asks = asks._replace(
        huge_ok=me.huge_ok + jnp.where(over, kept, 0),
        huge_tried=me.huge_tried + jnp.where(over, row.count, 0),
    )
    nothing = next_row(asks)
    gives = me._replace(done=me.done + 1)
    gave_all = next_row(gives)._replace(kept=jnp.zeros_like(me.kept))
    gives = select(gives.done == me.kept, gave_all, gives)
    return select(me.part == 1, gives, select(over & (kept == 0), nothing, asks))


def drained(me: Program, row: Row, stalls: Word, answer: Word) -> Program:
    """Others' huge pages, up to the count or until one is refused; they keep them."""
    got = answer >= 0
    count = row.count & ((1 << PATIENCE) - 1)
    gained = (me.done > 0) | got
    takes = me._replace(kept=me.kept + got, done=me.done + 1, huge_ok=me.huge_ok + got)
    easy = jnp.where(stalls == 0, takes.huge_ok, me.easy)
    takes = takes._replace(huge_tried=me.huge_tried + 1, easy=easy)
    over = next_row(takes)._replace(poor=jnp.where(gained, 0, me.poor + 1))
    return select(got & (takes.done < count), takes, over)
