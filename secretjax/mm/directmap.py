"""The kernel's direct map: which pages are absent from it, and how large its entries are.

x86-64: set_direct_map_invalid_noflush() ends in arch/x86/mm/pat/set_memory.c,
__change_page_attr() and should_split_large_page(): an entry that the call covers only in part is
split one level at a time, each split with a page-table page from the buddy (split_large_page()).
Entries are never collapsed when pages come back (no collapse for set_direct_map_* in any kernel);
what if they were: mm/collapse.py. A map of 4 KiB entries, as arm64 needs it, is a start state
(`StartState.with_entries`): every pageblock counts as split, so nothing is.

Left out: several ranges in one flush.
"""

import jax.numpy as jnp

from secretjax.mm.buddy import give_up, move_on
from secretjax.mm.layout import ORDER_SHIFT, SPLIT, WHERE_SHIFT, Use, Where
from secretjax.mm.plan import Plan
from secretjax.mm.state import Fault, Op, Phase, Sub, Tick
from secretjax.mm.words import PAGEBLOCK_ORDER, Collapse, Secret


def unmap(plan: Plan, view, command, now, limits) -> None:
    """Takes a page, or a whole pageblock with one call, out of the direct map."""
    begins = (view.kind == Op.UNMAP) | (view.kind == Phase.UNMAP_1G)
    giant = begins & (now.giants > 0)
    moved = now.target >= 0
    grouped = moved & ((limits.secret & Secret.GROUPED) != 0)
    barred = giant & (view.block == 1) & grouped
    intact = giant & (view.block == 1) & ~grouped
    ask = {"sub": int(Sub.TABLE), "phase": int(Phase.FETCH)}
    plan.set(intact & (now.table == 0), after=int(Phase.UNMAP_1G), **ask)
    break_up = intact & (now.table != 0)
    plan.write(break_up, "block", view.block_at, jnp.zeros_like(view.block))
    plan.add(break_up, giants=-1)
    plan.tick(break_up, int(Tick.SPLIT_1G))
    plan.set(break_up | (giant & ~intact & ~barred), table=0, phase=int(Phase.UNMAP_2M))

    here = (begins & ~giant) | (view.kind == Phase.UNMAP_2M)
    whole = (command.order >= PAGEBLOCK_ORDER) & ~moved
    splits = here & ((view.block & SPLIT) == 0) & ~whole
    barred = barred | (splits & grouped)
    give_up(plan, barred, limits)
    wait = splits & ~grouped & (now.table == 0)
    plan.set(wait, after=int(Phase.UNMAP_2M), **ask)
    do = here & ~wait & ~barred
    in_use = ((view.near0 >> WHERE_SHIFT) == Where.NONE) & ((view.near0 & Use.USED) != 0)
    in_use = in_use & (view.p >= 0)
    plan.fault(do & ~in_use, Fault.BAD_HANDLE)
    plan.cell(0, do & in_use, view.p, 0, view.near0 | Use.UNMAPPED)
    plan.write(splits & do, "block", view.block_at, view.block | SPLIT)
    tick = jnp.where(plan.known(splits), int(Tick.UNMAPPED_SPLIT), int(Tick.UNMAPPED))
    plan.tick(do, jnp.where(whole, int(Tick.UNMAPPED_BLOCK), tick))
    counts = limits.collapse != Collapse.NEVER
    plan.set(do & counts, phase=int(Phase.COUNTED))
    done = do & ~counts
    plan.set(done, table=0, phase=int(Phase.FETCH))
    plan.set(done & moved, target=-1)
    move_on(plan, done & moved, now)
    plan.finish(done & ~moved)


def source(plan: Plan, view, limits) -> None:
    """A secret page that is to be copied through the direct map: put back into it, without a flush.

    It leaves it again, with one, where the destination could not.
    """
    shows, hides = view.kind == Phase.SHOW, view.kind == Phase.HIDE
    plan.cell(0, shows, view.p, 0, view.near0 & ~Use.UNMAPPED)
    plan.cell(0, hides, view.p, 0, view.near0 | Use.UNMAPPED)
    plan.tick(shows, int(Tick.MAPPED))
    plan.tick(hides, int(Tick.UNMAPPED))
    counts = limits.collapse != Collapse.NEVER
    plan.write(shows & counts, "block", view.block_at, view.block - 1)
    plan.write(hides & counts, "block", view.block_at, view.block + 1)
    plan.set(shows, phase=int(Phase.UNMAP_1G))
    plan.set(hides, phase=int(Phase.FETCH), sub=int(Sub.RETURN))


def remap(plan: Plan, view, command, limits) -> None:
    """Puts a block in use back into the direct map; entries keep their size (see `collapse`).

    A pool's pages stay out of it while the pool holds them.
    """
    here = view.kind == Op.MAP
    known = view.p >= 0
    row = view.near0
    in_use = known & ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.USED) != 0)
    pooled = (row & Use.POOL) != 0
    inside = known & (row == 0)
    plan.fault(here & ~in_use & ~inside & (known | (command.fresh == 0)), Fault.BAD_HANDLE)
    counts = limits.collapse != Collapse.NEVER
    absent = here & in_use & ~pooled & ((row & Use.UNMAPPED) != 0)
    returns(plan, absent & ~counts, view)
    first = absent & counts
    plan.set(first, phase=int(Phase.BACK))  # comes here again when that is done
    order = ((row >> ORDER_SHIFT) & 15) | jnp.where(pooled, 16, 0)
    plan.finish(here & ~first, jnp.where(in_use, order, jnp.where(inside, -2, -1)))


def returns(plan: Plan, when, view) -> None:
    """set_direct_map_default_noflush() of the block in view."""
    plan.cell(0, when, view.p, 0, view.near0 & ~Use.UNMAPPED)
    whole = ((view.near0 >> ORDER_SHIFT) & 15) >= PAGEBLOCK_ORDER
    plan.tick(when, jnp.where(whole, int(Tick.MAPPED_BLOCK), int(Tick.MAPPED)))
