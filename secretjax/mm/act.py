"""What a step does with what it has read: one rule a phase, each under its own condition."""

import jax.numpy as jnp

from secretjax.mm import buddy, contig, directmap
from secretjax.mm.layout import NODE
from secretjax.mm.plan import Conditions, Plan
from secretjax.mm.state import Command, Op, Phase, Registers


def act(now: Registers, command: Command, view, choice, pages: int, conditions: Conditions) -> Plan:
    """All rules, applied to what a step has read."""
    plan = Plan(now, conditions)
    ready = buddy.allocate(plan, view, choice, now) | buddy.second(plan, view, choice, now)
    ready = ready | buddy.split(plan, view, choice, now)
    page = jnp.where(view.kind == Op.ALLOC, view.near0 & NODE, now.page)
    buddy.handed_out(plan, ready, now, page)
    given = buddy.free(plan, view, command, now) | (view.kind == Phase.MERGE)
    put = buddy.join(plan, given, view)
    buddy.given_back(plan, put, command, now)
    buddy.again(plan, view)
    leaves = buddy.walk(plan, view, now)
    buddy.cut(plan, view, choice, now)
    relinked = view.kind == Phase.RELINK
    at_tail = plan.known(relinked | (put & (view.ahead == 1)))
    buddy.insert(plan, put | relinked | (view.kind == Phase.SPLIT), view, at_tail)
    directmap.unmap(plan, view, command, now)
    directmap.remap(plan, view, command)
    leaves = leaves | contig.isolate(plan, view, command, now, pages)
    contig.evacuate(plan, view, command, now)
    leaves = leaves | contig.take(plan, view, command, now)
    buddy.unhook(plan, leaves, view.near0, view.near1)
    contig.undo(plan, view, command, now)
    note = view.kind == Op.NOTE
    plan.write(note, "handle", command.owner, command.page)
    plan.finish(note | (view.kind == Op.NOTHING))
    return plan
