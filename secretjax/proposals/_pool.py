"""Pools of whole pageblocks: what all proposals with one share.

private   each file has its pool, as in v16: pages are taken in order, freed at the file's end
shared    one pool for all: its free pages are lists of their own (type POOL), merged as buddies
"""

from dataclasses import dataclass

import jax.numpy as jnp

from secretjax.mm.layout import Use
from secretjax.mm.state import Command, Flag, Op, Size, Word
from secretjax.mm.words import PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Migratetype
from secretjax.proposals import _page
from secretjax.proposals.base import Ask, Own, Proposal, Result, Turn, When, choose_command, command

FROM_POOL, GROW, HIDE, TO_POOL, UNDO = 10, 11, 12, 13, 14
IDLE, SHOW, GIVE = 15, 16, 17
SINGLE = 20  # and on: the stages of a single page (_page.py)


def gathers(ask: Ask) -> Flag:
    """Whether the pool is to hold so many pages, in nobody's hands yet."""
    return (ask.when == When.RESERVE) | (ask.when == When.FILL)


@dataclass(frozen=True)
class Pool(Proposal):
    """Interface of a pool; a leaf says how it gets a pageblock (`grow`).

    shared       one pool for all files, else one for each
    fallback     a single page when the pool cannot grow, else the request is refused
    keep_idle    shared only: wholly idle pageblocks stay until SHRINK is asked for explicitly
    """

    shared: bool = False
    fallback: bool = False
    keep_idle: bool = False

    def grow(self, ask: Ask, use: Size, owner: Word) -> Command:
        """The command that gets a pageblock for the pool."""
        raise NotImplementedError

    def begin(self, own: Own, ask: Ask) -> Word:
        """Stage that an event begins at (stage 0 stands for it)."""
        enough = (own.room > 0) & (ask.first == 0)
        enough = own.pool >= ask.need if self.shared else enough
        fault = jnp.where(enough, FROM_POOL, GROW)
        stage = jnp.where(ask.when == When.FAULT, fault, _page.GET)
        reserve = jnp.where(own.pool >= ask.need, int(Result.DONE), GROW)
        stage = jnp.where(gathers(ask), reserve, stage)
        return jnp.where(ask.when == When.SHRINK, IDLE, stage)

    def spare(self, own: Own) -> Flag:
        """Whether a pageblock less still covers what is in use and what is promised."""
        needed = jnp.maximum(own.held - own.singles + own.reserved, own.least)
        return own.pool - PAGEBLOCK_PAGES >= needed

    def command(self, own, ask):
        stage = jnp.where(own.stage == 0, self.begin(own, ask), own.stage)
        fault, release = ask.when == When.FAULT, ask.when == When.RELEASE
        page = Use.USED | Use.SECRET | Use.UNMAPPED | Use.POOL
        hidden = {"order": PAGEBLOCK_ORDER, "page": own.chunk}
        if self.shared:
            take = command(Op.ALLOC, type_=Migratetype.POOL, use=page, owner=ask.handle)
            grow = self.grow(ask, Use.USED | Use.POOL, jnp.full_like(own.stage, -1))
            idle = command(Op.ALLOC, PAGEBLOCK_ORDER, Migratetype.POOL, Use.USED | Use.UNMAPPED)
        else:
            place = own.chunk + PAGEBLOCK_PAGES - own.room
            take, idle = command(Op.NOTE, owner=ask.handle, page=place), command(Op.NOTHING)
            grow = self.grow(ask, Use.USED | Use.SECRET, ask.handle)
        cases = [
            (stage == FROM_POOL, take),
            (stage == GROW, grow),
            (stage == HIDE, command(Op.UNMAP, **hidden)),
            ((stage == TO_POOL) | (stage == UNDO) | (stage == GIVE), command(Op.PUT, **hidden)),
            ((stage == IDLE) & self.spare(own), idle),
            (stage == SHOW, command(Op.MAP, **hidden)),
        ]
        cases += [(fault & w, c) for w, c in _page.fault_command(own.stage - SINGLE, ask)]
        give = command(Op.PUT, order=own.chunk, handle=ask.handle)
        cases += [(release & (stage == _page.GET), command(Op.MAP, handle=ask.handle))]
        cases += [(release & (stage == _page.GIVE), give)]
        return choose_command(cases)

    def advance(self, own, ask, answer):
        stage = jnp.where(own.stage == 0, self.begin(own, ask), own.stage)
        release = ask.when == When.RELEASE
        grown, done, next_stage = self.after_growth(own, ask, stage, answer)
        single = _page.fault_advance(own._replace(stage=own.stage - SINGLE), answer)
        is_single = own.stage >= SINGLE
        next_stage = jnp.where(is_single, single.own.stage + SINGLE, next_stage)
        result = jnp.where(is_single, single.result, done)
        after_release, release_result = self.after_release(own, stage, answer)
        pick = lambda a, b: jnp.where(release, a, b)  # noqa: E731
        own = Own(
            *(
                pick(a, b)
                for a, b in zip(after_release, grown._replace(stage=next_stage), strict=True)
            )
        )
        return Turn(own, pick(release_result, result))

    def after_growth(self, own: Own, ask: Ask, stage: Word, answer: Word):
        """FAULT, RESERVE and SHRINK: registers, result and next stage."""
        got = answer >= 0
        fault, reserve = ask.when == When.FAULT, gathers(ask)
        grew = (stage == GROW) & got
        last = TO_POOL if self.shared else HIDE if self.hides else GROW  # then the block is its own
        in_pool = (stage == last) & (got | (stage == TO_POOL))
        took = (stage == FROM_POOL) & (got if self.shared else stage > 0)
        gone = stage == GIVE
        idle = (stage == IDLE) & got & (self.spare(own) if self.shared else stage < 0)
        cannot = ((stage == GROW) & ~got) | (stage == UNDO)
        alone = cannot & fault if self.fallback else cannot & False
        room = jnp.where(in_pool, PAGEBLOCK_PAGES - 1, own.room - took)
        own = own._replace(
            chunk=jnp.where(grew | idle, answer, own.chunk),
            pool=own.pool
            + jnp.where(in_pool, PAGEBLOCK_PAGES, 0)
            - jnp.where(gone, PAGEBLOCK_PAGES, 0),
            room=jnp.where(alone, 0, room),  # what is left in hand is another file's
        )
        on_stage = [
            ((stage == FROM_POOL) & ~got, GROW),
            (grew, HIDE if self.hides else 0),
            ((stage == HIDE) & got, TO_POOL if self.shared else 0),
            ((stage == HIDE) & ~got, UNDO),
            ((stage == TO_POOL) & fault, FROM_POOL),
            ((stage == TO_POOL) & reserve, GROW),
            (alone, SINGLE + _page.GET),
            (idle, SHOW),
            (stage == SHOW, GIVE),
            (gone, IDLE),
        ]
        on = jnp.zeros_like(stage)
        for when, follows in on_stage:
            on = jnp.where(when, follows, on)
        enough = (stage == TO_POOL) & reserve & (own.pool >= ask.need)
        on = jnp.where(enough, 0, on)
        result = jnp.where(on > 0, int(Result.ON), int(Result.DONE))
        return own, jnp.where(cannot & ~alone, int(Result.REFUSED), result), on

    def after_release(self, own: Own, stage: Word, answer: Word) -> tuple[Own, Word]:
        """A private pool's block goes with its first page; nothing is known of the others."""
        mapped = stage == _page.GET
        known = answer >= 0
        single = mapped & known & (answer == 0)
        whole = (answer & 15) == PAGEBLOCK_ORDER
        gone = jnp.where(mapped & known & whole, PAGEBLOCK_PAGES, 0)
        own = own._replace(
            stage=jnp.full_like(stage, _page.GIVE),
            chunk=jnp.where(mapped, answer & 15, own.chunk),
            pool=own.pool - gone,
            singles=own.singles - single,
        )
        return own, jnp.where(mapped & known, int(Result.ON), int(Result.DONE))
