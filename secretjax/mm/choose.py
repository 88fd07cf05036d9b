"""Which free list serves a request: own type, CMA, claim of a pageblock, steal.

Source: mm/page_alloc.c, fallbacks[] and
K612y   __rmqueue, __rmqueue_claim, __rmqueue_steal of Linux 6.12.117
K610    as described by the commit that ended it ("don't steal single pages from biggest buddy")
K511    __rmqueue_fallback, steal_suitable_fallback of Linux 6.1.192 (as in 5.0 to 6.9)
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from secretjax.mm.layout import Use, pcp_index
from secretjax.mm.state import Command, Flag, Limits, Registers, Sub, Try, Word
from secretjax.mm.words import (
    MAX_PAGE_ORDER,
    NR_PAGE_ORDERS,
    PAGEBLOCK_ORDER,
    Fallback,
    Migratetype,
)

REFUSE, OWN, FROM_CMA, CLAIM, STEAL = range(5)
NORMAL, CMA_MODE, STEAL_MODE = range(3)
ALL_ORDERS = (1 << NR_PAGE_ORDERS) - 1


class Choice(NamedTuple):
    """The request in force, and the list that is to serve it."""

    how: Word
    mode: Word  # of the refill from here on
    type: Word  # of the list
    order: Word  # of the list
    want: Word  # order requested
    wants: Word  # migratetype requested
    use: Word  # what the block will be
    owner: Word
    index: Word  # of the per-CPU list; DRAIN: of the one that is drained
    high: Flag  # free memory is above the high watermark, and a block is there
    low: Flag  # above the low one
    passes: Flag  # above what this attempt asks for
    attempt: Word  # `Try` of the request in force


def lists_of(now: Registers, migratetype: int) -> Word:
    """Bit o is set: the free list (migratetype, o) is not empty."""
    word = (now.lists01, now.lists23, now.lists45, now.lists67)[migratetype >> 1]
    return (word >> (NR_PAGE_ORDERS * (migratetype & 1))) & ALL_ORDERS


def lowest(bits: Word) -> Word:
    """Lowest set bit's position; 31 when none is set is never used."""
    return lax.population_count((bits & -bits) - 1)


def highest(bits: Word) -> Word:
    """Highest set bit's position, -1 when none is set."""
    return 31 - lax.clz(bits)


def request(now: Registers, command: Command) -> tuple[Word, Word, Word, Word]:
    """Order, migratetype, use and owner of the request in force, the command's or the kernel's."""
    top = now.sub == Sub.NONE
    table, refill = now.sub == Sub.TABLE, now.refill > 0
    left = (now.sub == Sub.SURPLUS) | (now.sub == Sub.SPARE)
    secret = (now.sub_use & Use.SECRET) != 0
    moves = jnp.where(secret, int(Migratetype.UNMOVABLE), int(Migratetype.MOVABLE))
    moves = jnp.where((now.busy == 1) | left, int(Migratetype.TARGET), moves)
    smallest = lowest(lists_of(now, Migratetype.TARGET))
    own_order = jnp.where(now.sub == Sub.SURPLUS, smallest, now.sub_order)
    own_order = jnp.where(now.sub == Sub.SPARE, now.order, own_order)
    own_order = jnp.where(table | (now.sub == Sub.UNTABLE), 0, own_order)
    own_type = jnp.where(table, int(Migratetype.UNMOVABLE), moves)
    own_use = jnp.where(table, Use.USED | Use.TABLE, jnp.where(left, int(Use.USED), now.sub_use))
    use = jnp.where(top, command.use, own_use)
    owner = jnp.where(top, command.owner, jnp.where(table | left, -1, now.sub_owner))
    return (
        jnp.where(top, command.order, own_order),
        jnp.where(top, command.type, own_type),
        jnp.where(refill, int(Use.USED), use),
        jnp.where(refill, -1, owner),
    )


def watermarks(now: Registers, limits: Limits, order: Word, wants: Word) -> list[Flag]:
    """__zone_watermark_ok() against high, low and min, boost included."""
    movable = wants == Migratetype.MOVABLE
    U, M, R, C = (
        lists_of(now, t)
        for t in (
            Migratetype.UNMOVABLE, Migratetype.MOVABLE, Migratetype.RECLAIMABLE, Migratetype.CMA
        )
    )  # fmt: skip
    there = ((U | M | R | jnp.where(movable, C, 0)) >> order) != 0
    unusable = now.free_atomic + jnp.where(movable, 0, now.free_cma) + ((1 << order) - 1)
    usable = now.free - unusable - now.boost
    there = (order == 0) | there
    return [there & (usable > mark) for mark in (limits.high, limits.low, limits.min)]


def choose(now: Registers, command: Command, limits: Limits) -> Choice:
    """Own list, CMA, claim from the top down, steal from below.

    K612y tries to claim at every order and steals the smallest; the older kernels try the largest
    block only and, if it cannot be claimed (`now.limit` is its order then), steal from that one.
    """
    want, wants, use, owner = request(now, command)
    U, M, R = Migratetype.UNMOVABLE, Migratetype.MOVABLE, Migratetype.RECLAIMABLE
    enough = -(1 << want)
    mu, mm, mr = (lists_of(now, t) & enough for t in (U, M, R))
    pool = lists_of(now, Migratetype.POOL) & enough
    target = lists_of(now, Migratetype.TARGET) & enough
    other = jnp.where(wants == Migratetype.TARGET, target, pool)
    own = jnp.where(wants == U, mu, jnp.where(wants == M, mm, jnp.where(wants == R, mr, other)))
    first_type = jnp.where(wants == R, int(U), int(R))
    second_type = jnp.where(wants == M, int(U), int(M))
    is_pool = wants >= Migratetype.POOL
    first = jnp.where(is_pool, 0, jnp.where(wants == R, mu, mr))
    second = jnp.where(is_pool, 0, jnp.where(wants == M, mu, mm))
    cma = jnp.where(wants == M, lists_of(now, Migratetype.CMA) & enough, 0)

    older = limits.fallback != Fallback.K612y
    failed = older & (now.limit <= MAX_PAGE_ORDER)
    goes_on = (now.refill > 0) | ((now.sub == Sub.NONE) & (command.fresh == 0))
    mode = jnp.where(goes_on & ~older, now.mode, NORMAL)
    prefer_cma = (cma != 0) & (now.free_cma > now.free // 2)
    either = first | second
    top = highest(either & ((1 << now.limit) - 1))
    claimable = (top >= 0) & ((wants != M) | (top >= PAGEBLOCK_ORDER // 2)) & (mode != STEAL_MODE)
    claimable = claimable & ~failed
    how = jnp.where(either != 0, STEAL, REFUSE)
    how = jnp.where(claimable, CLAIM, how)
    how = jnp.where((cma != 0) & (mode != STEAL_MODE), FROM_CMA, how)
    how = jnp.where((own != 0) & (mode == NORMAL), OWN, how)
    how = jnp.where(prefer_cma, FROM_CMA, how)
    order = jnp.where(
        how == CLAIM,
        top,
        lowest(jnp.where(how == OWN, own, jnp.where(how == FROM_CMA, cma, either))),
    )
    order = jnp.where(failed & (how == STEAL), now.limit, order)
    order = jnp.clip(order, 0, MAX_PAGE_ORDER)
    foreign = jnp.where(((first >> order) & 1) == 1, first_type, second_type)
    type_ = jnp.where(how == OWN, wants, jnp.where(how == FROM_CMA, int(Migratetype.CMA), foreign))
    after = jnp.where(how == STEAL, STEAL_MODE, jnp.where(how == CLAIM, NORMAL, mode))
    after = jnp.where((how == FROM_CMA) & ~prefer_cma, CMA_MODE, after)
    high, low, least = watermarks(now, limits, want, wants)
    attempt = jnp.where(now.sub == Sub.NONE, now.attempt, now.inner)
    index = pcp_index(want, wants)
    return Choice(
        how, after, jnp.maximum(type_, 0), order, want, wants, use, owner,
        index, high, low, least | (attempt == Try.SERVE), attempt,
    )  # fmt: skip
