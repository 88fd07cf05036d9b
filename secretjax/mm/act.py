"""What a step does with what it has read: one rule a phase, each under its own condition."""

import jax.numpy as jnp

from secretjax.mm import (
    background,
    buddy,
    cma,
    collapse,
    compact,
    contig,
    directmap,
    edge,
    lists,
    percpu,
    search,
)
from secretjax.mm.layout import NODE
from secretjax.mm.plan import Plan
from secretjax.mm.state import Bit, Command, Limits, Op, Phase, Registers, Size, Sub
from secretjax.mm.words import PAGEBLOCK_ORDER


def usual(plan: Plan, view, choice, command: Command, now: Registers, limits: Limits) -> None:
    """The rules of requests, of what is given back, and of the direct map."""
    allocate(plan, view, choice, command, now, limits)
    leaves = give_back(plan, view, choice, command, now, limits)
    lists.unhook(plan, leaves, view.near0, view.near1)
    directmap.unmap(plan, view, command, now, limits)
    directmap.remap(plan, view, command, limits)
    note = view.kind == Op.NOTE
    plan.write(note, "handle", command.owner, command.page)
    plan.finish(note | (view.kind == Op.NOTHING))


def allocate(plan: Plan, view, choice, command: Command, now: Registers, limits: Limits) -> None:
    """A request and what serves it at once."""
    pops, dry = percpu.get(plan, view, choice, now, limits)
    none = background.slow(plan, view, choice, command, now, limits, pops, dry)
    buddy.refused(plan, none, choice, now, limits)
    whole = buddy.allocate(plan, view, choice, now, limits)
    ready = whole | buddy.second(plan, view, choice, now)
    ready = ready | buddy.split(plan, view, choice, now) | pops
    taken = (view.kind == Op.ALLOC) | (view.kind == Op.GET)
    page = jnp.where(taken, view.near0 & NODE, now.page)
    buddy.handed_out(plan, ready, now, page, choice.want, limits)
    percpu.append(plan, view, choice, now, whole & (now.refill > 0))
    served = ready & (now.refill == 0) & (now.sub == Sub.NONE) & (command.op == Op.GET)
    background.spend(plan, served, now, background.request_time(choice))


def give_back(plan: Plan, view, choice, command: Command, now: Registers, limits: Limits):
    """A block that is given back, merged, put on a list; returns where a listed one leaves."""
    to_list, to_merge = buddy.free(plan, view, command, now, limits)
    calm = percpu.put(plan, to_list, view, now, limits)
    percpu.drain(plan, view, choice, now)
    drained = (view.kind == Phase.DRAIN) & (view.order < PAGEBLOCK_ORDER)
    merges = to_merge | (view.kind == Phase.MERGE) | drained
    put = buddy.join(plan, merges, view, now, limits)
    buddy.given_back(plan, put, view, command, now)
    given = view.kind == Phase.GIVEN
    enough = now.free - now.free_cma - now.free_atomic > limits.high + now.boost
    plan.clear_flags(given & enough, Bit.BELOW_HIGH)
    buddy.after_free(plan, calm | given, command, now)
    buddy.again(plan, view)
    leaves = buddy.walk(plan, view, now)
    buddy.cut(plan, view, choice, now)
    last = (view.kind == Phase.RELINK) | (view.kind == Phase.APPEND)
    putback = (now.back == Phase.LOOSE) & (view.kind == Phase.MERGE)
    at_tail = plan.known(last | (put & ((view.ahead == 1) | putback)))
    lists.insert(plan, put | to_list | last | (view.kind == Phase.SPLIT), view, at_tail)
    return leaves


def seldom(
    plan: Plan, view, choice, command: Command, now: Registers, limits: Limits, pages: Size
) -> None:
    """The rules of ranges, of background threads and of compaction (see `machine.is_seldom`)."""
    leaves = contig.isolate(plan, view, command, now, pages)
    contig.evacuate(plan, view, command, now)
    leaves = leaves | contig.take(plan, view, command, now)
    leaves = leaves | compact.isolate(plan, view, now, limits)
    leaves = leaves | search.snatch(plan, view, now, limits)
    cma.hunt(plan, view, command, now, pages)
    cma.evacuate(plan, view, command, now, pages)
    leaves = leaves | cma.grip(plan, view, now) | cma.carve(plan, view, command, now)
    leaves = leaves | cma.loose(plan, view, now)
    lists.unhook(plan, leaves, view.near0, view.near1)
    contig.undo(plan, view, command, now)
    cma.undone(plan, view, command)
    percpu.drain_all(plan, view.kind == Phase.FLUSH, now, int(Phase.EVACUATE))
    hooked = view.kind == Phase.HOOK
    lists.insert(plan, hooked | cma.halve(plan, view, now), view, hooked)
    buddy.capture(plan, view, now, command)
    edge.recount(plan, view, now)
    background.direct(plan, view, choice, command, now, limits)
    background.reclaim(plan, view, choice, now, limits)
    background.kswapd(plan, view, now, limits)
    background.poll(plan, view, now, limits)
    collapse.begin_scan(plan, view, limits)
    background.resume(plan, view, now)
    background.wait(plan, view, command, now)
    compact.boundary(plan, view, now, limits, pages)
    search.find(plan, view, now, pages)
    search.search(plan, view, now, limits, pages)
    search.turn(plan, view, now)
    compact.source(plan, view, now)
    compact.collect(plan, view, now, limits)
    compact.move(plan, view, now, limits)
    compact.empty(plan, view, now)
    compact.sink(plan, view, now, limits)
    compact.hook(plan, view, now, limits)
    compact.reset(plan, view, now, limits)
    compact.release(plan, view, now)
    compact.compacted(plan, view, now, limits)
    caught = compact.keep_captured(plan, view, choice, now)
    buddy.handed_out(plan, caught, now, now.capture, choice.want, limits)
    background.spend(plan, caught, now, background.request_time(choice))


def rarely(plan: Plan, view, choice, command: Command, now: Registers, limits: Limits) -> None:
    """The rules that only some arms have: copies through the direct map, and its collapse."""
    directmap.source(plan, view, limits)
    collapse.count(plan, view, command, now)
    collapse.back(plan, view, now, limits)
    collapse.whole(plan, view, now)
    collapse.scan(plan, view, now, limits)
