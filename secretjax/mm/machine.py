"""One step of one zone: at most one list operation.

Every zone of a batch is at its own place in its own work, so rare long work (claiming a
pageblock, emptying a range) costs only the zone that does it. A step first writes what the
step before decided, then only reads, then decides: no big array is copied.

Source of the rules: mm/page_alloc.c of Linux 6.12.117 (__free_one_page, buddy_merge_likely,
expand, __rmqueue, __rmqueue_claim, try_to_steal_block, __rmqueue_steal, split_large_buddy).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from secretjax.mm.act import act
from secretjax.mm.choose import Choice, choose
from secretjax.mm.layout import NODE, ORDER_SHIFT, TYPE, Use, Where, code, head
from secretjax.mm.plan import Conditions
from secretjax.mm.state import Command, Flag, Op, Phase, Registers, Sub, Word, Zone
from secretjax.mm.words import PAGEBLOCK_ORDER, Migratetype


class View(NamedTuple):
    """What a step works on and what it reads."""

    kind: Word  # `Op` when a command begins, else `Phase`
    p: Word  # page it is about
    order: Word  # order of the block in hand
    type: Word  # list type of the block in hand
    near_row: Word  # that of p; ALLOC: head of the list chosen
    near0: Word
    near1: Word
    far0: Word  # row of the buddy; ALLOC: first block of the list
    far1: Word
    place: Word  # block that goes to a list: p, or its upper half,
    low: Word  # its order
    list_row: Word  # and the head of that list
    list0: Word
    list1: Word
    ahead: Word  # 1: the next-higher buddy is free
    block: Word  # word of the pageblock concerned
    block_at: Word


def commit(zone: Zone) -> Zone:
    """The arrays after the writes that the last step decided."""
    w = zone.writes
    cells = jnp.stack([w.cell0, w.cell1, w.cell2, w.cell3])
    words = jnp.stack([w.word0, w.word1, w.word2, w.word3])
    put = {"mode": "drop", "unique_indices": True}
    return zone._replace(
        link=zone.link.at[cells].set(words, **put),
        block=zone.block.at[w.block].set(w.block_word, **put),
        handle=zone.handle.at[w.handle].set(w.handle_word, **put),
        ticks=zone.ticks.at[w.tick].add(w.amount, **put),
    )


def once(go: Flag, compute, *values):
    """`compute(*values)`, computed once: XLA:CPU would compute it again in each consumer."""
    shapes = jax.eval_shape(compute, *values)
    nothing = lambda *_: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)  # noqa: E731
    return lax.cond(go, compute, nothing, *values)


def read_row(link, row):
    """Both words of a row."""
    two = lax.dynamic_slice(link, (2 * row,), (2,))
    return two[0], two[1]


def begin(now: Registers, command: Command, known: Word):
    """What this step is about: its kind, the list chosen, the page and the order."""
    gives = (now.sub == Sub.SOURCE) | (now.sub == Sub.RETURN)
    inner = jnp.where(gives, int(Op.FREE), int(Op.ALLOC))
    fetch = now.phase == Phase.FETCH
    kind = jnp.where(fetch, jnp.where(now.sub == Sub.NONE, command.op, inner), now.phase)
    choice = choose(now, command)
    order = jnp.where(fetch, choice.want, now.order)
    return kind, choice, focus(now, command, kind, known), order


def focus(now: Registers, command: Command, kind: Word, known: Word) -> Word:
    """The page that this step is about; -1 for a handle of which nothing is known."""
    known = jnp.where(known < 0, -1, known + command.page)
    asked = jnp.where(command.handle >= 0, known, command.page)
    moved = jnp.where(now.sub == Sub.RETURN, now.target, now.spot)
    p = jnp.where(now.sub == Sub.NONE, asked, moved)
    unmap = (kind == Op.UNMAP) | (kind == Phase.UNMAP_1G) | (kind == Phase.UNMAP_2M)
    p = jnp.where(unmap & (now.target >= 0), now.target, p)
    p = jnp.where((kind == Op.TAKE) & (command.page < 0), now.spot, p)
    in_hand = (kind >= Phase.SPLIT) & (kind <= Phase.SECOND)
    p = jnp.where(in_hand, now.page, p)
    p = jnp.where(kind == Phase.WALK, now.cursor, p)
    p = jnp.where(kind == Phase.CUT, now.cursor & -(1 << now.order), p)
    p = jnp.where(kind == Phase.EVACUATE, now.spot, p)
    return jnp.where(kind >= Phase.UNHOOK, now.start, p)


def look(zone: Zone, command: Command, go: Flag, pages: int) -> tuple[View, Choice]:
    """Finds out what this step is about and reads all it needs."""
    now = zone.now
    known = zone.handle[jnp.maximum(command.handle, 0)]
    kind, choice, p, order = once(go, begin, now, command, known)
    is_alloc = kind == Op.ALLOC
    row = jnp.where(kind == Op.TAKE, p & ~1023, jnp.maximum(p, 0))
    near_row = jnp.where(is_alloc, head(pages, choice.type, choice.order), row)
    near0, near1 = read_row(zone.link, near_row)
    first = near0 & NODE
    buddy = p ^ (1 << order)
    blocks = pages >> PAGEBLOCK_ORDER
    at = jnp.where(is_alloc, first, p)
    at = jnp.where(kind == Phase.MERGE, buddy, at)
    at = jnp.where(kind == Phase.SPLIT, p + (1 << (order - 1)), at)
    at = jnp.where(kind == Phase.SECOND, p + 512, at)
    giant = ((kind == Op.UNMAP) | (kind == Phase.UNMAP_1G)) & (now.giants > 0)
    block_at = jnp.where(giant, blocks + (p >> 18), at >> PAGEBLOCK_ORDER)
    block = zone.block[block_at]
    pooled = (kind == Op.FREE) & ((near0 & Use.POOL) != 0)
    label = jnp.where(pooled, int(Migratetype.POOL), block & TYPE)
    type_ = jnp.where((kind == Op.FREE) | (kind == Phase.AGAIN), label, now.type)
    far0, far1 = read_row(zone.link, jnp.where(is_alloc, first, buddy))
    low = jnp.where(kind == Phase.SPLIT, order - 1, order)
    place = jnp.where(kind == Phase.SPLIT, p + (1 << low), p)
    list_row = head(pages, type_, low)
    list0, list1 = read_row(zone.link, list_row)
    higher = (p & ~(1 << order)) ^ (2 << order)
    where = jnp.where(type_ == Migratetype.POOL, int(Where.POOL), int(Where.BUDDY))
    ahead = (zone.link[2 * higher] >> ORDER_SHIFT) == code(where, order + 1)
    ahead = (ahead & (order <= 8)).astype(jnp.int32)
    view = View(
        kind, p, order, type_, near_row, near0, near1, far0, far1,
        place, low, list_row, list0, list1, ahead, block, block_at,
    )  # fmt: skip
    return view, choice


def step(zone: Zone, command: Command, go: Flag, pages: int) -> tuple[Zone, Flag, Word]:
    """One step. Returns the zone, whether the command is finished, and its answer.

    `go` is any value that is not batched and not known at compile time, true (see `once`).
    Answer: ALLOC, TAKE: pfn, or -1 when refused. UNMAP: -1 when no page-table page was to be had.
    MAP: order of the block, + 16 when it is a pool's; -2 when the page lies inside a block.
    MAP, FREE: -1 when nothing is known of the handle.
    """
    zone = commit(zone)
    view, choice = look(zone, command, go, pages)

    def conditions(now, command, view, choice):
        asked = Conditions()
        draft = act(now, command, view, choice, pages, asked)
        return asked.pack(), draft.touched()

    words, touched = once(go, conditions, zone.now, command, view, choice)
    plan = act(zone.now, command, view, choice, pages, Conditions(words))
    now, writes, finished, answer = plan.result(*touched)
    return zone._replace(now=now, writes=writes), finished, answer
