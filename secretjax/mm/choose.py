"""Which free list serves a request: own type, CMA, claim of a pageblock, steal.

Source: mm/page_alloc.c of Linux 6.12.117, __rmqueue and what it calls; fallbacks[].
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from secretjax.mm.layout import Use
from secretjax.mm.state import Command, Registers, Sub, Word
from secretjax.mm.words import MAX_PAGE_ORDER, NR_PAGE_ORDERS, PAGEBLOCK_ORDER, Migratetype

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


def lists_of(now: Registers, migratetype: int) -> Word:
    """Bit o is set: the free list (migratetype, o) is not empty."""
    word = (now.lists01, now.lists23, now.lists45, now.lists6)[migratetype >> 1]
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
    table = now.sub == Sub.TABLE
    secret = (now.sub_use & Use.SECRET) != 0
    moves = jnp.where(secret, int(Migratetype.UNMOVABLE), int(Migratetype.MOVABLE))
    own_order = jnp.where(table, 0, now.sub_order)
    own_type = jnp.where(table, int(Migratetype.UNMOVABLE), moves)
    own_use = jnp.where(table, Use.USED | Use.TABLE, now.sub_use)
    own_owner = jnp.where(table, -1, now.sub_owner)
    return (
        jnp.where(top, command.order, own_order),
        jnp.where(top, command.type, own_type),
        jnp.where(top, command.use, own_use),
        jnp.where(top, command.owner, own_owner),
    )


def choose(now: Registers, command: Command) -> Choice:
    """K612y (Linux 6.12.29 and later): own list, CMA, claim from the top down, steal from below."""
    want, wants, use, owner = request(now, command)
    U, M, R = Migratetype.UNMOVABLE, Migratetype.MOVABLE, Migratetype.RECLAIMABLE
    enough = -(1 << want)
    mu, mm, mr = (lists_of(now, t) & enough for t in (U, M, R))
    pool = lists_of(now, Migratetype.POOL) & enough
    own = jnp.where(wants == U, mu, jnp.where(wants == M, mm, jnp.where(wants == R, mr, pool)))
    first_type = jnp.where(wants == R, int(U), int(R))
    second_type = jnp.where(wants == M, int(U), int(M))
    is_pool = wants == Migratetype.POOL
    first = jnp.where(is_pool, 0, jnp.where(wants == R, mu, mr))
    second = jnp.where(is_pool, 0, jnp.where(wants == M, mu, mm))
    cma = jnp.where(wants == M, lists_of(now, Migratetype.CMA) & enough, 0)

    mode = jnp.where((now.sub == Sub.NONE) & (command.fresh == 0), now.mode, NORMAL)
    prefer_cma = (cma != 0) & (now.free_cma > now.free // 2)
    either = first | second
    top = highest(either & ((1 << now.limit) - 1))
    claimable = (top >= 0) & ((wants != M) | (top >= PAGEBLOCK_ORDER // 2)) & (mode != STEAL_MODE)
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
    order = jnp.clip(order, 0, MAX_PAGE_ORDER)
    foreign = jnp.where(((first >> order) & 1) == 1, first_type, second_type)
    type_ = jnp.where(how == OWN, wants, jnp.where(how == FROM_CMA, int(Migratetype.CMA), foreign))
    after = jnp.where(how == STEAL, STEAL_MODE, jnp.where(how == CLAIM, NORMAL, mode))
    after = jnp.where((how == FROM_CMA) & ~prefer_cma, CMA_MODE, after)
    return Choice(how, after, jnp.maximum(type_, 0), order, want, wants, use, owner)
