"""One step of one zone: at most one list operation.

Every zone of a batch is at its own place in its own work, so rare long work (claiming a
pageblock, emptying a range) costs only the zone that does it. A step first writes what the
step before decided, then only reads, then decides: no big array is copied.

Source of the rules: mm/page_alloc.c of Linux 6.12.117 (__free_one_page, buddy_merge_likely,
expand, __rmqueue, __rmqueue_claim, try_to_steal_block, __rmqueue_steal, split_large_buddy).
"""

from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from secretjax.mm import percpu
from secretjax.mm.act import rarely, seldom, usual
from secretjax.mm.choose import Choice, choose
from secretjax.mm.commit import commit
from secretjax.mm.layout import (
    IN_POOL,
    LOW_ORDER_LISTS,
    NODE,
    ORDER_SHIFT,
    PCP_TYPES,
    TAKEN,
    TYPE,
    Where,
    absent_at,
    code,
    head,
    pcp_head,
    pcp_index,
    pcp_order,
    table_at,
)
from secretjax.mm.plan import Conditions, Plan
from secretjax.mm.state import (
    Command,
    Flag,
    Limits,
    Op,
    Phase,
    Registers,
    Run,
    Sub,
    Try,
    Word,
    Writes,
    Zone,
)
from secretjax.mm.words import PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Fallback, Migratetype

LANES = "lanes"  # name of the axis over which steps are batched


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
    before: Word  # what precedes p on its list
    place: Word  # block that goes to a list: p, or its upper half,
    low: Word  # its order
    list_row: Word  # and the head of that list
    list0: Word
    list1: Word
    ahead: Word  # 1: the next-higher buddy is free
    block: Word  # word of the pageblock concerned
    block_at: Word
    listed: Word  # 1: the list is one of free blocks, 0: a per-CPU list
    index: Word  # which one


def once(go: Flag, compute, *values):
    """`compute(*values)`, computed once: XLA:CPU would compute it again in each consumer."""
    compute = jax.jit(compute)  # traced once
    shapes = jax.eval_shape(compute, *values)
    nothing = lambda *_: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)  # noqa: E731
    return lax.cond(go, compute, nothing, *values)


def read_row(link, row):
    """Both words of a row."""
    two = lax.dynamic_slice(link, (2 * row,), (2,))
    return two[0], two[1]


def fetched(now: Registers, command: Command) -> Word:
    """What a step is about that begins something: the kernel's own business comes first."""
    busy = now.busy == 1
    kind = command.op
    get = command.op == Op.GET
    kind = jnp.where(get & (now.attempt == Try.BUDDY), int(Op.ALLOC), kind)
    compacts = (now.attempt == Try.ASYNC) | (now.attempt == Try.SYNC_LIGHT)
    kind = jnp.where(get & compacts, int(Phase.DIRECT), kind)
    kind = jnp.where(get & (now.attempt == Try.RECLAIM), int(Phase.RECLAIM), kind)
    idle = (now.attempt == Try.FAST) & ~busy & (kind != Op.NOTHING)
    runs = (now.run == Run.PROACTIVE) | (now.run == Run.ORDERED)
    kind = jnp.where(idle & (now.scan >= 0), int(Phase.SCAN), kind)
    kind = jnp.where(idle & (now.run == Run.NONE) & (now.poll <= 0), int(Phase.POLL), kind)
    kind = jnp.where(idle & runs & (now.slice <= 0), int(Phase.RESUME), kind)
    kind = jnp.where(idle & (now.kswapd == 0), int(Phase.KSWAPD), kind)

    asks = jnp.where(now.inner == Try.BUDDY, int(Op.ALLOC), int(Op.GET))
    inner = jnp.where(now.sub == Sub.TARGET, jnp.where(busy, int(Op.ALLOC), asks), asks)
    gives = (now.sub == Sub.SOURCE) | (now.sub == Sub.RETURN)
    inner = jnp.where(gives, jnp.where(busy, int(Op.PUT), int(Op.FREE)), inner)
    inner = jnp.where(now.sub == Sub.SURPLUS, int(Op.ALLOC), inner)
    spare = (now.sub == Sub.SPARE) | (now.sub == Sub.UNTABLE)
    inner = jnp.where(spare, int(Op.PUT), inner)
    kind = jnp.where(now.sub == Sub.NONE, kind, inner)
    kind = jnp.where(now.refill > 0, int(Op.ALLOC), kind)
    return jnp.where(now.drain > 0, int(Phase.DRAIN), kind)


def kind_of(now: Registers, command: Command) -> Word:
    """What this step is about: `Op` when a command begins, else `Phase`."""
    return jnp.where(now.phase == Phase.FETCH, fetched(now, command), now.phase)


def begin(now: Registers, command: Command, limits: Limits, known: Word, kind=None):
    """The kind of this step, the list chosen, the page and the order."""
    kind = kind_of(now, command) if kind is None else kind
    choice = choose(now, command, limits)
    order = jnp.where(now.phase == Phase.FETCH, choice.want, now.order)
    drains = kind == Phase.DRAIN
    choice = choice._replace(index=jnp.where(drains, percpu.first_full(now), choice.index))
    order = jnp.where(drains, pcp_order(choice.index), order)
    return kind, choice, focus(now, command, kind, known), order


def focus(now: Registers, command: Command, kind: Word, known: Word) -> Word:
    """The page that this step is about; -1 for a handle of which nothing is known."""
    known = jnp.where(known < 0, -1, known + command.page)
    asked = jnp.where(command.handle >= 0, known, command.page)
    moved = jnp.where(now.sub == Sub.RETURN, now.target, now.spot)
    moved = jnp.where((now.sub == Sub.SPARE) | (now.sub == Sub.UNTABLE), now.page, moved)
    p = jnp.where(now.sub == Sub.NONE, asked, moved)
    unmap = (kind == Op.UNMAP) | (kind == Phase.UNMAP_1G) | (kind == Phase.UNMAP_2M)
    unmap = unmap | (kind == Phase.COUNTED) | (kind == Phase.TABLED)
    p = jnp.where(unmap & (now.target >= 0), now.target, p)
    back = (kind == Phase.BACK) | (kind == Phase.WHOLE) | (kind == Phase.COLLAPSE)
    p = jnp.where(back & (now.target >= 0), now.spot, p)
    p = jnp.where((kind >= Phase.WHOLE) & (now.scan >= 0), now.scan, p)
    p = jnp.where((kind == Op.TAKE) & (command.page < 0), now.area, p)
    in_hand = (kind >= Phase.SPLIT) & (kind <= Phase.SECOND)
    in_hand = in_hand | (kind == Phase.APPEND) | (kind == Phase.HOOK) | (kind == Phase.CAPTURE)
    in_hand = in_hand | (kind == Phase.TURN) | (kind == Phase.HALVE)
    p = jnp.where(in_hand, now.page, p)
    at_cursor = (kind == Phase.WALK) | (kind == Phase.RESET) | (kind == Phase.SNATCH)
    at_cursor = at_cursor | (kind == Phase.LINK) | (kind == Phase.RECOUNT)
    at_cursor = at_cursor | (kind == Phase.GRIP) | (kind == Phase.LOOSE)
    p = jnp.where(at_cursor, now.cursor, p)
    p = jnp.where((kind == Phase.FIND) | (kind == Phase.SEARCH), now.node, p)
    scans = (kind == Phase.COLLECT) | (kind == Phase.ISOLATE)
    scanned = jnp.where(kind == Phase.COLLECT, now.spot, now.sink) | (PAGEBLOCK_PAGES - 1)
    p = jnp.where(scans, jnp.minimum(now.cursor, scanned), p)
    p = jnp.where(kind == Phase.CUT, now.cursor & -(1 << now.order), p)
    in_batch = (kind == Phase.MOVE) | (kind == Phase.MARK) | (kind == Phase.EMPTIED)
    in_batch = in_batch | (kind == Phase.SHOW) | (kind == Phase.HIDE)
    p = jnp.where((kind == Phase.EVACUATE) | (kind == Phase.HUNT) | in_batch, now.spot, p)
    p = jnp.where(kind == Phase.CARVE, now.spot & -(1 << now.order), p)
    p = jnp.where(kind == Phase.SOURCE, now.spot & -PAGEBLOCK_PAGES, p)
    p = jnp.where(kind == Phase.SINK, now.sink & -PAGEBLOCK_PAGES, p)
    p = jnp.where(kind == Phase.COMPACTED, jnp.maximum(now.capture, 0), p)
    return jnp.where((kind >= Phase.UNHOOK) & (kind <= Phase.FAILED), now.start, p)


def cached(kind: Word, command: Command, index: Word, label: Word, sub: Word) -> Word:
    """get_pcppage_migratetype(), K511: a page from a per-CPU list goes to the buddy's list of the
    type that it was kept under, whatever its pageblock has become; CMA and the like stay.
    """
    told = (kind == Op.FREE) & (sub == Sub.NONE) & (command.type >= 0)
    drained = (kind == Phase.DRAIN) & (label < PCP_TYPES) & (index < LOW_ORDER_LISTS)
    return jnp.where(told, command.type, jnp.where(drained, index % PCP_TYPES, label))


def look(zone: Zone, command: Command, pages, beginning) -> tuple[View, Choice]:
    """Finds out what this step is about (`begin`) and reads all it needs."""
    now = zone.now
    known = zone.handle[jnp.maximum(command.handle, 0)]
    kind, choice, p, order = beginning(now, command, zone.limits, known)
    is_alloc, is_drain = kind == Op.ALLOC, kind == Phase.DRAIN
    takes = is_alloc | (kind == Op.GET) | (kind == Phase.FIND)
    grips = (kind == Op.TAKE) | (kind == Phase.GRIP)
    row = jnp.where(grips, p & ~1023, jnp.maximum(p, 0))
    row = jnp.where(is_alloc, head(pages, choice.type, choice.order), row)
    near_row = jnp.where((kind == Op.GET) | is_drain, pcp_head(pages, choice.index), row)
    near0, near1 = read_row(zone.link, near_row)
    first = near0 & NODE
    p = jnp.where(is_drain, near1, p)
    buddy = p ^ (1 << order)
    blocks = pages >> PAGEBLOCK_ORDER
    at = jnp.where(takes, first, p)
    at = jnp.where(kind == Phase.MERGE, buddy, at)
    at = jnp.where(kind == Phase.SPLIT, p + (1 << (order - 1)), at)
    at = jnp.where(kind == Phase.SECOND, p + 512, at)
    giant = ((kind == Op.UNMAP) | (kind == Phase.UNMAP_1G)) & (now.giants > 0)
    block_at = jnp.where(giant, blocks + (p >> 18), at >> PAGEBLOCK_ORDER)
    counts = (kind == Phase.COUNTED) | (kind == Phase.BACK) | (kind == Phase.ABSENT)
    counts = counts | (kind == Phase.SHOW) | (kind == Phase.HIDE)
    tables = (kind == Phase.TABLED) | (kind == Phase.WHOLE) | (kind == Phase.SCAN)
    block_at = jnp.where(counts, absent_at(pages, p), block_at)
    block_at = jnp.where(tables, table_at(pages, p), block_at)
    block = zone.block[block_at]
    gives = (kind == Op.FREE) | (kind == Op.PUT)
    pooled = gives & ((near0 & IN_POOL) == IN_POOL)
    label = jnp.where(pooled, int(Migratetype.POOL), block & TYPE)
    type_ = jnp.where(gives | (kind == Phase.AGAIN) | is_drain, label, now.type)
    if_oldest = cached(kind, command, choice.index, type_, now.sub)
    type_ = jnp.where(zone.limits.fallback == Fallback.K511, if_oldest, type_)
    far0, far1 = read_row(zone.link, jnp.where(takes, first, buddy))
    before = zone.link[2 * jnp.maximum(p, 0) + 1]
    low = jnp.where(kind == Phase.SPLIT, order - 1, order)
    place = jnp.where(kind == Phase.SPLIT, p + (1 << low), p)
    kept = percpu.kept(zone.limits, order) & (label != Migratetype.ISOLATE) & ~pooled
    kept = kept & ((order < PAGEBLOCK_ORDER) | ((block & TAKEN) == 0))  # free_contig_range()
    to_list = (kind == Phase.APPEND) | ((kind == Op.PUT) & kept) | (is_alloc & (now.refill > 0))
    shown = jnp.where(label < PCP_TYPES, label, int(Migratetype.MOVABLE))
    index = jnp.where(kind == Op.PUT, pcp_index(order, shown), choice.index)
    list_row = jnp.where(to_list, pcp_head(pages, index), head(pages, type_, low))
    list0, list1 = read_row(zone.link, list_row)
    higher = (p & ~(1 << order)) ^ (2 << order)
    where = jnp.where(type_ == Migratetype.POOL, int(Where.POOL), int(Where.BUDDY))
    ahead = (zone.link[2 * higher] >> ORDER_SHIFT) == code(where, order + 1)
    ahead = (ahead & (order <= 8)).astype(jnp.int32)
    view = View(
        kind, p, order, type_, near_row, near0, near1, far0, far1, before,
        place, low, list_row, list0, list1, ahead, block, block_at,
        1 - to_list.astype(jnp.int32), index,
    )  # fmt: skip
    return view, choice


def step(zone: Zone, command: Command, go: Flag, pages: int) -> tuple[Zone, Flag, Word]:
    """One step. Returns the zone, whether the command is finished, and its answer.

    To be batched over an axis named `LANES`. `go` is any value that is not batched and not known
    at compile time, true (see `once`).
    Answer: ALLOC, GET, TAKE: pfn, or -1 when refused. UNMAP: -1 when no page-table page was to be
    had. MAP: order of the block, + 16 when it is a pool's; -2 when the page lies inside a block.
    MAP, FREE, PUT: -1 when nothing is known of the handle.
    """
    zone = commit(zone)
    view, choice = look(zone, command, pages, partial(once, go, begin))
    limits = zone.limits

    def asked(rules, now, command, view, choice, limits):
        conditions = Conditions()
        draft = Plan(now, conditions, pages)
        rules(draft, view, choice, command, now, limits)
        return conditions.pack(), draft.touched()

    def apply(rules, now, so_far=None):
        words, touched = once(go, partial(asked, rules), now, command, view, choice, limits)
        plan = Plan(now, Conditions(words), pages, so_far)
        rules(plan, view, choice, command, now, limits)
        return plan.result(*touched)

    def more(_, carry):
        carry = apply(partial(seldom, pages=pages), carry[0], carry[1:])
        return lax.fori_loop(0, once_for_all(is_rare(view.kind)), most, carry)

    def most(_, carry):
        return apply(rarely, carry[0], carry[1:])

    needed = once_for_all(is_seldom(view.kind))
    now, writes, finished, answer = lax.fori_loop(0, needed, more, apply(usual, zone.now))
    return zone._replace(now=now, writes=writes), finished, answer


def bare(zone: Zone, command: Command, kind: Word, pages) -> tuple[Zone, Flag, Word]:
    """As `step`, of one zone whose last writes are done, and whose kind of step is known.

    `secretjax.native` makes a program of its own of it for each kind.
    """
    view, choice = look(zone, command, pages, partial(begin, kind=kind))
    now = zone.now
    so_far: tuple[Writes, Flag, Word] | None = None
    for rules in (usual, partial(seldom, pages=pages), rarely):
        plan = Plan(now, Conditions(), pages, so_far)
        rules(plan, view, choice, command, now, zone.limits)
        now, *rest = plan.result(*plan.touched())
        so_far = cast(tuple[Writes, Flag, Word], tuple(rest))
    assert so_far is not None
    writes, finished, answer = so_far
    return zone._replace(now=now, writes=writes), finished, answer


def once_for_all(needed: Flag) -> Word:
    """In a batch: 1 if one of the lanes needs it, else 0."""
    return lax.pmax(needed.astype(jnp.int32), LANES)


def is_rare(kind: Word) -> Flag:
    """Whether a step needs the rules of some arms alone; then it is a seldom one too."""
    return kind >= Phase.SHOW


def is_seldom(kind: Word) -> Flag:
    """Whether a step needs the rules that most steps of most states do without."""
    ops = (kind == Op.TAKE) | (kind == Op.WAIT) | (kind == Op.COMPACT)
    return (kind >= Phase.EVACUATE) | ops
