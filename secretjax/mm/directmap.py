"""The kernel's direct map: which pages are absent from it, and how large its entries are.

x86-64: set_direct_map_invalid_noflush() ends in arch/x86/mm/pat/set_memory.c,
__change_page_attr() and should_split_large_page(): an entry that the call covers only in part is
split one level at a time, each split with a page-table page from the buddy (split_large_page()).
Entries are never collapsed when pages come back (no collapse for set_direct_map_* in any kernel).

Left out: arm64 (needs 4 KiB entries from the start), several ranges in one flush.
"""

import jax.numpy as jnp

from secretjax.mm.buddy import give_up, move_on
from secretjax.mm.layout import ORDER_SHIFT, SPLIT, WHERE_SHIFT, Use, Where
from secretjax.mm.plan import Plan
from secretjax.mm.state import Fault, Op, Phase, Sub, Tick
from secretjax.mm.words import PAGEBLOCK_ORDER, Secret


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
    break_up = intact & (now.table == 1)
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
    plan.fault(do & ~in_use, Fault.BAD_HANDLE)
    plan.cell(0, do & in_use, view.p, 0, view.near0 | Use.UNMAPPED)
    plan.write(splits & do, "block", view.block_at, view.block | SPLIT)
    plan.tick(do, jnp.where(plan.known(splits), int(Tick.UNMAPPED_SPLIT), int(Tick.UNMAPPED)))
    plan.set(do, table=0, phase=int(Phase.FETCH))
    plan.set(do & moved, target=-1)
    move_on(plan, do & moved, now)
    plan.finish(do & ~moved)


def source(plan: Plan, view) -> None:
    """A secret page that is to be copied through the direct map: put back into it, without a flush.

    It leaves it again, with one, where the destination could not.
    """
    shows, hides = view.kind == Phase.SHOW, view.kind == Phase.HIDE
    plan.cell(0, shows, view.p, 0, view.near0 & ~Use.UNMAPPED)
    plan.cell(0, hides, view.p, 0, view.near0 | Use.UNMAPPED)
    plan.tick(shows, int(Tick.MAPPED))
    plan.tick(hides, int(Tick.UNMAPPED))
    plan.set(shows, phase=int(Phase.UNMAP_1G))
    plan.set(hides, phase=int(Phase.FETCH), sub=int(Sub.RETURN))


def remap(plan: Plan, view, command) -> None:
    """Puts a block in use back into the direct map; entries keep their size.

    A pool's pages stay out of it while the pool holds them.
    """
    here = view.kind == Op.MAP
    known = view.p >= 0
    row = view.near0
    in_use = known & ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.USED) != 0)
    pooled = (row & Use.POOL) != 0
    inside = known & (row == 0)
    plan.fault(here & ~in_use & ~inside & (known | (command.fresh == 0)), Fault.BAD_HANDLE)
    back = here & in_use & ~pooled
    plan.cell(0, back, view.p, 0, row & ~Use.UNMAPPED)
    plan.tick(back, int(Tick.MAPPED))
    order = ((row >> ORDER_SHIFT) & 15) | jnp.where(pooled, 16, 0)
    plan.finish(here, jnp.where(in_use, order, jnp.where(inside, -2, -1)))
