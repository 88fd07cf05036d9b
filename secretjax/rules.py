"""How the rows of a script become commands, under one proposal and one admission rule."""

from typing import cast

import jax.numpy as jnp
from jax import lax

from secretjax import ledger as book
from secretjax.admission.base import Admission, Request
from secretjax.ledger import Counts
from secretjax.mm.cma import ONE_FURTHER
from secretjax.mm.layout import Use
from secretjax.mm.machine import LANES
from secretjax.mm.state import Command, Flag, Op, Size, Word
from secretjax.mm.words import DIRECT, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, THP, Migratetype
from secretjax.program import (
    PATIENCE,
    Part,
    Program,
    Row,
    drained,
    goes_to,
    next_row,
    probed,
    select,
    shut,
    switched_to,
    yielded,
)
from secretjax.proposals.base import (
    Ask,
    Pooled,
    Proposal,
    Result,
    When,
    choose_command,
    command,
)
from secretjax.workloads import _recorded as recorded
from secretjax.workloads.base import Do


class Rules:
    """The rules of one arm."""

    def __init__(self, proposal: Proposal, admission: Admission):
        self.proposal, self.admission = proposal, admission
        self.shares = proposal.pool and cast(Pooled, proposal).shared
        self.eager = self.shares and not cast(Pooled, proposal).keep_idle
        self.reserves = self.shares and admission.reserves

    def ask(self, me: Program, word: Word, count: Word, free: Word) -> tuple[Row, Command]:
        """The row in force, and the command of this step."""
        row = self.row(me, word, count)
        return row, self.command(me, row, free)

    def row(self, me: Program, word: Word, count: Word) -> Row:
        """The row with these two words (see `recorded.fetch`)."""
        asked = recorded.decode(word, count)
        op = asked.op
        shrinks = (op == Do.SHRINK) | (me.part == Part.SHRINK)
        releases = op == Do.CLOSE
        page = jnp.where(releases, me.oldest, me.next)
        if self.admission.kills:
            killing = me.part == Part.KILL
            releases = releases | killing
            page = jnp.where(killing, me.sweep, page)
        when = jnp.where(releases, int(When.RELEASE), int(When.FAULT))
        when = jnp.where(op == Do.OPEN, int(When.RESERVE), when)
        when = jnp.where(op == Do.FILL, int(When.FILL), when)
        when = jnp.where(shrinks, int(When.SHRINK), when)
        request = self.request(me, op, count)
        event = Ask(when, page, me.first, self.need(request, op, count))
        return Row(op, count, asked, event, self.may(me, request, op))

    def request(self, me: Program, op: Word, count: Word) -> Request:
        """What the admission rule is asked."""
        own = me.own
        charged: Size = 1
        if self.proposal.pool and not self.shares:
            grows = (own.room == 0) | (me.first == 1)
            charged = jnp.where(grows, PAGEBLOCK_PAGES, 0)
        return Request(
            pages=jnp.where(op == Do.OPEN, count, 1),
            charged=charged,
            mine=me.current.mine,
            users=me.current.users,
            held=own.held - own.singles,
            pool=own.pool,
            reserved=own.reserved,
            promised=me.promised,
            limits=me.limits,
        )

    def need(self, asked: Request, op: Word, count: Word) -> Word:
        """Pages that the pool must have: for a file, or so that it can spare one at a fault."""
        if not self.reserves:
            return jnp.where(op == Do.GROW, 0, count)
        more = jnp.where(op == Do.GROW, 1 - self.admission.owes(asked), 0)
        more = jnp.where(op == Do.OPEN, self.admission.more(asked), more)
        return jnp.where(op == Do.FILL, count, asked.held + asked.reserved + more)

    def may(self, me: Program, asked: Request, op: Word) -> Flag:
        """What the rule says of the file, or of its next page; who was killed asks in vain."""
        maps = self.admission.maps(asked) if self.proposal.opens else jnp.zeros((), bool)
        may = jnp.where(op == Do.OPEN, maps, self.admission.charges(asked))
        return may & ~self.is_gone(me)

    def is_gone(self, me: Program) -> Flag:
        """Whether the process was killed, and its files with it."""
        if not self.admission.kills:
            return jnp.zeros((), bool)
        return me.current.mine.killed > 0

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
        opens = (op == Do.OPEN) & self.reserves & ((me.part == Part.SHRINK) | row.may)
        grows = (op == Do.GROW) & ((me.part != Part.FIRST) | self.goes_on(me, row, free))
        closes = (op == Do.CLOSE) & ~self.is_gone(me)
        user = opens | grows | closes | ((op == Do.SHRINK) & self.shares)
        user = user | (op == Do.FILL) | (me.part == Part.SHRINK)
        handle = me.base + me.kept
        movable = Migratetype.MOVABLE
        probing, gives = op == Do.PROBE, me.part == Part.GIVE
        use = Use.USED | jnp.where(probing, int(Use.LRU), 0)
        may = jnp.where(probing, THP, DIRECT)
        huge = command(Op.GET, PAGEBLOCK_ORDER, movable, use, owner=handle, compact=may)
        area = command(Op.TAKE, 1 << 20, -1, Use.USED, owner=handle, page=ONE_FURTHER)
        give = command(Op.PUT, PAGEBLOCK_ORDER, handle=me.base + me.done)
        return choose_command([
            (op < Do.OPEN, row.asked),
            (user, self.proposal.command(me.own, row.event)),
            ((probing & ~gives) | ((op == Do.DRAIN) & ~self.gave_up(me, row)), huge),
            (probing & gives, give),
            (op == Do.TAKES, area),
        ])  # fmt: skip

    def after(self, me: Program, row: Row, free: Word, stalls: Word, finished, answer):
        """The program after a step whose command was finished, or was not (see `whole`)."""
        turn = self.proposal.advance(me.own, row.event, answer)
        on = turn.result == Result.ON
        own = turn.own._replace(stage=jnp.where(on, turn.own.stage, 0))
        went = me._replace(own=own)
        follows = next_row(me)
        for op, other in (
            (Do.OPEN, self.opened(me, went, row, turn.result)),
            (Do.GROW, self.grown(me, went, row, turn.result, answer, free)),
            (
                Do.CLOSE,
                select(
                    self.is_gone(me),
                    next_row(me),
                    self.closed(me, went, row, turn.result, answer),
                ),
            ),
            (Do.SHRINK, select(on & self.shares, went, next_row(went if self.shares else me))),
            (Do.FILE, switched_to(me, row)),
            (Do.FILL, select(on, went, self.filled(me, went, row))),
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
        follows = select(finished & (me.pc < me.stop), follows, me)
        return self.counted(me, follows, row)

    def filled(self, me: Program, went: Program, row: Row) -> Program:
        """The pool has what could be had: it keeps that, and promises each user his share of it."""
        enough = went.own.pool >= row.count
        promised = jnp.where(enough, me.limits.least, 0)
        own = went.own._replace(least=row.count)
        whose = {"switches": jnp.ones_like(went.switches), "to": went.current.process}
        return next_row(went._replace(own=own, promised=promised, **whose))

    def whole(self, me: Program, lean: Program) -> Program:
        """The program after a step, with its tables; another process runs where a state says so."""
        needed = lax.pmax(lean.switches, LANES)
        switch = lambda _, now: select(now.switches == 1, self.switched(now), now)  # noqa: E731
        return self.owing(lax.fori_loop(0, needed, switch, lean._replace(tables=me.tables)))

    def switched(self, me: Program) -> Program:
        """Another process runs: its registers come from the tables."""
        assert me.tables is not None
        tables, current = book.switched(me.tables, me.current, me.to, me.file)
        me = me._replace(tables=tables, current=current, sweep=current.first)
        me = me._replace(switches=jnp.zeros_like(me.switches))
        if not self.reserves:
            return me
        held, mapped = (book.column(tables.user, name) for name in ("held", "mapped"))
        owed = self.admission.owed(held, mapped, me.promised)
        owed = jnp.where(book.others(tables, current.user), owed, 0)
        return me._replace(others=owed.sum(dtype=jnp.int32))

    def owing(self, me: Program) -> Program:
        """What the pool owes to all users, of whom one has changed."""
        if not self.reserves:
            return me
        users = me.current.users
        owed = me.others + self.admission.owed(users.held, users.mapped, me.promised)
        return me._replace(own=me.own._replace(reserved=owed))

    def counted(self, me: Program, follows: Program, row: Row) -> Program:
        """What the step changed is counted for its process and its user; without the tables."""
        gone = lambda name: getattr(follows, name) - getattr(me, name)  # noqa: E731
        own, was, on = follows.own, me.own, gone("pc") > 0
        held = own.held - was.held
        pool = own.pool - was.pool + own.singles - was.singles
        kills = jnp.zeros_like(held)
        if self.admission.kills:
            ends = (me.part == Part.KILL) & (follows.part != Part.KILL)
            kills = ends.astype(jnp.int32)
        change = Counts(
            held=held,
            mapped=gone("mapped"),
            charged=pool if self.proposal.pool and not self.shares else held,
            granted=gone("granted"),
            refused_mmap=gone("refused_mmap"),
            refused_fault=gone("refused_fault"),
            killed=kills,
        )
        add = lambda counts: Counts(*(a + b for a, b in zip(counts, change, strict=True)))  # noqa: E731
        current = follows.current._replace(mine=add(me.current.mine), users=add(me.current.users))
        opened = (row.op == Do.OPEN) & on & (follows.refused == 0)
        closed = (row.op == Do.CLOSE) & on
        up = me.up + opened - closed - (gone("refused_fault") > 0)
        still = me.refused_mmap + me.refused_fault == 0
        return follows._replace(current=current, up=jnp.where(still, up, me.up), tables=None)

    def opened(self, me: Program, went: Program, row: Row, result: Word) -> Program:
        """mmap: the pages are promised, or the file is refused and what was gathered goes back."""
        no = shut(me, True)._replace(
            refused=2 * jnp.ones_like(me.refused), refused_mmap=me.refused_mmap + row.count
        )
        yes = shut(next_row(me), False)._replace(
            first=jnp.ones_like(me.first),
            refused=jnp.zeros_like(me.refused),
            mapped=me.mapped + row.count,
        )
        if not self.reserves:
            return select(row.may, yes, next_row(no))
        yes = yes._replace(own=went.own)
        gathered = goes_to(no._replace(own=went.own), Part.SHRINK)
        tried = select(result == Result.ON, went, select(result == Result.REFUSED, gathered, yes))
        tried = select(row.may, tried, next_row(no))
        shrinks = select(result == Result.ON, went, next_row(went))
        return select(me.part == Part.SHRINK, shrinks, tried)

    def grown(self, me: Program, went: Program, row: Row, result, answer, free) -> Program:
        """A fault: granted, refused (then the file asks no more), or not even tried."""
        rest = row.count - me.done
        lost = jnp.where(me.refused == 2, 0, rest)
        over = shut(next_row(me), True)._replace(
            next=me.next + rest,
            refused_fault=me.refused_fault + lost,
            mapped=me.mapped - lost,
            refused=jnp.maximum(me.refused, 1),
        )
        by_rule = (me.refused == 0) & (free >= me.floor) & ~row.may
        if not self.admission.kills:
            over = over._replace(sigbus=me.sigbus + by_rule)
        single = (result == Result.SINGLE) & self.proposal.pool
        own = went.own._replace(held=went.own.held + 1, singles=went.own.singles + single)
        got = me._replace(
            own=own,
            apart=me.apart + int(self.proposal.apart),
            done=me.done + 1,
            next=me.next + 1,
            first=jnp.zeros_like(me.first),
            granted=me.granted + 1,
            fallback=me.fallback + single,
            mapped=me.mapped - 1,
        )
        got = select(got.done == row.count, next_row(got), got)
        kills = int(self.proposal.kills)
        refused = went._replace(
            refused=jnp.ones_like(me.refused),
            killed=me.killed + kills,
            sigbus=me.sigbus + 1 - kills,
        )
        tried = select(result == Result.ON, went, select(result == Result.REFUSED, refused, got))
        grown = select(self.goes_on(me, row, free), tried, over)
        if not self.admission.kills:
            return grown
        grown = select(by_rule & (me.part == Part.FIRST), self.called(me, over), grown)
        return select(me.part != Part.FIRST, self.swept(me, went, result, answer), grown)

    def called(self, me: Program, over: Program) -> Program:
        """The OOM killer takes the largest process of the user; a dead one just asks no more."""
        comes = goes_to(me, Part.KILL)._replace(
            switches=jnp.ones_like(me.switches),
            to=jnp.full_like(me.to, book.LARGEST),
            asker=me.current.process,
            chunk=me.own.chunk,
            killed=me.killed + 1,
        )
        return select(self.is_gone(me), over, comes)

    def swept(self, me: Program, went: Program, result: Word, answer: Word) -> Program:
        """All pages of the killed process go, then idle pageblocks; the fault is tried again."""
        own, mine = went.own, me.current.process == me.asker
        one = went._replace(
            own=own._replace(held=own.held - (answer != -1)),
            sweep=me.sweep + 1,
        )
        back = one.own._replace(chunk=me.chunk, room=jnp.where(mine, 0, one.own.room))
        last = goes_to(one, Part.SHRINK if self.eager else Part.FIRST)._replace(
            own=back,
            mapped=me.mapped - me.current.mine.mapped,
            switches=jnp.ones_like(me.switches),
            to=me.asker,
        )
        one = select(one.sweep >= me.current.behind, last, one)
        one = select(me.part == Part.SHRINK, goes_to(went, Part.FIRST), one)
        return select(result == Result.ON, went, one)

    def closed(self, me: Program, went: Program, row: Row, result: Word, answer: Word) -> Program:
        """A file ends: its pages one by one, then a shared pool's idle pageblocks."""
        own = went.own._replace(held=went.own.held - (answer != -1))
        idle = (me.current.mine.mapped > 0) & (me.current.shut == 0)
        untouched = (answer == -1) & idle
        one = went._replace(
            own=own, done=me.done + 1, oldest=me.oldest + 1, mapped=me.mapped - untouched
        )
        last = goes_to(one, Part.SHRINK) if self.eager else next_row(one)
        released = select(one.done == row.count, last, one)
        released = select(result == Result.ON, went, released)
        shrinks = select(result == Result.ON, went, next_row(went))
        return select(me.part == Part.SHRINK, shrinks, released)
