"""The per-CPU lists in front of the buddy: one CPU's `struct per_cpu_pages`.

Source: mm/page_alloc.c of Linux 6.12.117 (rmqueue_pcplist, __rmqueue_pcplist, nr_pcp_alloc,
rmqueue_bulk, free_unref_page_commit, nr_pcp_high, nr_pcp_free, free_pcppages_bulk); K511: of
6.1.192, where a list's length is not tuned. K610 has the lists of 6.12.

Left out: more than one CPU, the vmstat worker that shrinks idle lists (a kernel with CONFIG_SMP).
"""

import jax.numpy as jnp

from secretjax.mm.choose import lowest
from secretjax.mm.layout import LOW_ORDER_LISTS, NODE, ORDER_SHIFT, TAKEN, Use
from secretjax.mm.lists import account
from secretjax.mm.plan import Plan, counted
from secretjax.mm.state import Bit, Flag, Limits, Op, Phase, Registers, Sub, Tick, Try, Word
from secretjax.mm.words import (
    COSTLY_ORDER,
    PAGEBLOCK_ORDER,
    PAGEBLOCK_PAGES,
    PCP_LISTS,
    PCP_SCALE_MAX,
    Fallback,
)


def kept(limits: Limits, order: Word):
    """pcp_allowed_order(); a zone without per-CPU lists has a batch of 0."""
    return (limits.batch > 0) & ((order <= COSTLY_ORDER) | (order == PAGEBLOCK_ORDER))


def has(now: Registers, flag: Bit):
    """Whether a bit of the zone's flags is set."""
    return (now.flags & int(flag)) != 0


def first_full(now: Registers) -> Word:
    """The first list with pages from `drain_list` on, round robin."""
    twice = now.pcp_full | (now.pcp_full << PCP_LISTS)
    at = now.drain_list + lowest(twice >> now.drain_list)
    return jnp.where(at >= PCP_LISTS, at - PCP_LISTS, at)


def to_draw(now: Registers, limits: Limits, choice) -> tuple[Word, Word, Word]:
    """nr_pcp_alloc(): blocks to draw, and the new pcp->high and alloc_factor."""
    base, order = limits.batch, choice.want
    below = has(now, Bit.BELOW_HIGH) | ~choice.high
    high = jnp.clip(now.pcp_high, limits.high_min, limits.high_max)
    small = high < base
    factor = jnp.where(order == 0, now.alloc_factor, 0)
    batch = base << factor
    tunes = (limits.high_min != limits.high_max) & ~below & ~small
    high = jnp.where(tunes, jnp.minimum(high + batch, limits.high_max), high)
    most = jnp.maximum(high - now.pcp_count - base, base)
    grows = (order == 0) & (batch <= most) & (now.alloc_factor < PCP_SCALE_MAX) & ~small
    batch = jnp.where(order == 0, jnp.minimum(batch, most), batch)
    oldest = limits.fallback == Fallback.K511
    batch = jnp.where(oldest, base, jnp.where(small, 1, batch))
    batch = jnp.where(batch > 1, jnp.maximum(batch >> order, 2), batch)
    return batch, high, now.alloc_factor + (grows & ~oldest)


def to_drain(now: Registers, limits: Limits, order: Word) -> tuple[dict[str, Word], Flag]:
    """free_unref_page_commit(): the registers after a block of `order` came onto a list.

    And whether it is of an order that is freed in batches.
    """
    size = 1 << order
    count = now.pcp_count + size
    base, most = limits.batch, limits.batch << PCP_SCALE_MAX
    batched = (order > 0) & (order <= COSTLY_ORDER)
    # PCPF_FREE_HIGH_BATCH is taken as set: the CPU's cache slice holds more than three batches.
    flush = batched & has(now, Bit.PREV_HIGH) & (now.free_count >= base) & (count >= base)
    free_count = now.free_count + jnp.where(now.free_count < most, size, 0)
    high = jnp.clip(now.pcp_high, limits.high_min, limits.high_max)
    below = has(now, Bit.BELOW_HIGH) & (limits.high_min != limits.high_max)
    shrunk = jnp.maximum(high - jnp.maximum(free_count, base), limits.high_min)
    need = jnp.clip(free_count + base, limits.high_min, limits.high_max)
    grown = jnp.where((count >= high) & (high < free_count + base), need, high)
    tuned = jnp.where(below, shrunk, jnp.where(limits.high_min != limits.high_max, grown, high))
    bound = jnp.where(below, jnp.maximum(count, limits.high_min), high)
    tuned = jnp.where(flush, jnp.maximum(high - most, limits.high_min), tuned)
    bound = jnp.where(flush | (high == 0), 0, bound)
    usual = jnp.clip(free_count, base, bound - base)
    usual = jnp.where(bound < base, 1, usual)
    drain = jnp.where(flush, most, usual)
    oldest = limits.fallback == Fallback.K511
    old_drain, old_bound, factor = to_drain_before_tuning(now, limits, count, batched)
    drain, bound = jnp.where(oldest, old_drain, drain), jnp.where(oldest, old_bound, bound)
    return {
        "pcp_count": count,
        "pcp_high": tuned,
        "free_count": jnp.where(oldest, factor, free_count),
        "alloc_factor": now.alloc_factor >> 1,
        "drain": jnp.where(count >= bound, jnp.minimum(drain, count), 0),
    }, batched


def to_drain_before_tuning(now: Registers, limits: Limits, count: Word, batched: Flag):
    """nr_pcp_free() and nr_pcp_high() of 6.1: pages to drain, from which count on, free_factor."""
    base, factor = limits.batch, now.free_count
    most = limits.high_max - base
    scaled = base << factor
    every = batched & (factor > 0)
    bound = jnp.where(every, 0, limits.high_max)
    grows = (count >= bound) & ~every & (scaled < most) & (factor < PCP_SCALE_MAX)
    usual = jnp.where(limits.high_max < base, 1, jnp.clip(scaled, base, most))
    return jnp.where(every, count, usual), bound, factor + grows


def get(plan: Plan, view, choice, now: Registers, limits: Limits):
    """rmqueue(), past the watermarks (`choice.passes`): from the list, or fill it first.

    Returns where a block is handed out from the list, and where none can be had at all.
    """
    here = view.kind == Op.GET
    go = here & choice.passes
    listed = kept(limits, choice.want)
    full = ((now.pcp_full >> choice.index) & 1) == 1
    first = choice.attempt != Try.SERVE
    pop = plan.known(go & listed & full)
    draws = go & listed & ~full & first
    dry = go & listed & ~full & ~first
    top = now.sub == Sub.NONE
    plan.set(go & ~listed & top, attempt=int(Try.BUDDY))
    plan.set(go & ~listed & ~top, inner=int(Try.BUDDY))
    refill, high, factor = to_draw(now, limits, choice)
    plan.set(draws & top, attempt=int(Try.SERVE))
    plan.set(draws & ~top, inner=int(Try.SERVE))
    plan.set(draws, refill=refill, pcp_high=high, alloc_factor=factor, mode=0)
    plan.set(draws, free_count=now.free_count >> 1)
    plan.set(pop & first, free_count=now.free_count >> 1)

    page, after = view.near0 & NODE, view.far0 & NODE
    plan.cell(0, pop, view.near_row, 0, (view.near0 & ~NODE) | after)
    plan.cell(1, pop, after, 1, view.near_row)
    plan.cell(2, pop, page, 0, choice.use | (choice.want << ORDER_SHIFT))
    plan.cell(3, pop, page, 1, choice.owner)
    size = 1 << choice.want
    gain = jnp.where((choice.use & Use.LRU) != 0, size, 0)
    plan.write(pop, "block", view.block_at, counted(view.block, 0, gain))
    plan.write(pop & (choice.owner >= 0), "handle", choice.owner, page)
    plan.add(pop, pcp_count=-size)
    emptied = after == view.near_row
    plan.set(pop & emptied, pcp_full=now.pcp_full & ~(1 << choice.index))
    plan.tick(pop, int(Tick.GOT))
    plan.set(pop, page=page, order=choice.want)
    return pop, dry


def append(plan: Plan, view, choice, now: Registers, at_once) -> None:
    """rmqueue_bulk(): the block in hand goes to the tail of the list that is being filled.

    at_once: it was on a list of the buddy before this step; else `lists.insert` writes the rows.
    """
    page, mark, last = view.near0 & NODE, view.list0 & ~NODE, view.list1
    plan.cell(2, at_once, page, 0, mark | view.list_row)
    plan.cell(3, at_once, page, 1, last)
    plan.cell(4, at_once, last, 0, mark | page)
    plan.cell(5, at_once, view.list_row, 1, page)
    here = (view.kind == Phase.APPEND) | at_once
    plan.add(here, refill=-1, pcp_count=1 << choice.want)
    plan.set(here, pcp_full=now.pcp_full | (1 << choice.index), phase=int(Phase.FETCH))


def put(plan: Plan, when, view, now: Registers, limits: Limits):
    """free_unref_page_commit(): a block goes to the head of a list. Returns where nothing follows.

    Draining what is too much is begun.
    """
    follows, batched = to_drain(now, limits, view.order)
    plan.set(when, **follows)
    plan.raise_flag(when & batched, Bit.PREV_HIGH)
    plan.clear_flags(when & ~batched, Bit.PREV_HIGH)
    plan.set(when, pcp_full=now.pcp_full | (1 << view.index), drain_list=view.index)
    drains = when & (follows["drain"] > 0)
    plan.set(drains, drain_back=int(Phase.GIVEN), phase=int(Phase.FETCH))
    return when & ~drains


def drain(plan: Plan, view, choice, now: Registers) -> None:
    """free_pcppages_bulk(): the last block of the list leaves it and is merged (`buddy.join`)."""
    here = view.kind == Phase.DRAIN
    plan.cell(4, here, view.near_row, 1, view.before)
    plan.cell(5, here, view.before, 0, (view.near0 & ~NODE) | view.near_row)
    size = 1 << view.order
    word = counted(view.block, jnp.minimum(size, PAGEBLOCK_PAGES), 0)
    word = jnp.where(choice.index >= LOW_ORDER_LISTS, word & ~TAKEN, word)
    plan.write(here, "block", view.block_at, word)
    account(plan, here, view.type, size)
    plan.add(here, pcp_count=-size)
    alone = (view.near0 & NODE) == view.p
    plan.set(here & alone, pcp_full=now.pcp_full & ~(1 << choice.index))
    plan.set(here, page=view.p, order=view.order, type=view.type, phase=int(Phase.MERGE))
    plan.set(here, drain=still(view, now), drain_list=choice.index)
    plan.tick(here, int(Tick.FREED))


def still(view, now: Registers) -> Word:
    """Pages that are to be drained after this step."""
    drained = jnp.where(view.kind == Phase.DRAIN, 1 << view.order, 0)
    return jnp.maximum(now.drain - drained, 0)


def drain_all(plan: Plan, when, now: Registers, back: int) -> None:
    """drain_pages_zone(): every page goes back to the buddy, list by list, oldest first."""
    plan.set(when & (now.pcp_count > 0), drain=now.pcp_count, drain_list=0, drain_back=int(back))
    plan.set(when & (now.pcp_count > 0), phase=int(Phase.FETCH))
    plan.set(when & (now.pcp_count == 0), phase=int(back))
