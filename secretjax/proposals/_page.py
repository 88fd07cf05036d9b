"""One page at a time, in and out of the direct map: what several proposals do for one."""

import jax.numpy as jnp

from secretjax.mm.state import Command, Flag, Op, Word
from secretjax.proposals.base import Ask, Own, Result, Turn, command, one_page

GET, HIDE, DROP, GIVE = range(4)


def fault_command(stage: Word, ask: Ask) -> list[tuple[Flag, Command]]:
    """secretmem_fault(): allocate, remove from the direct map; else give the page back."""
    return [
        (stage == GET, one_page(ask)),
        (stage == HIDE, command(Op.UNMAP, handle=ask.handle)),
        (stage == DROP, command(Op.PUT, handle=ask.handle)),
    ]


def fault_advance(own: Own, answer: Word) -> Turn:
    """GET -> HIDE -> done; a refusal ends it."""
    stage = own.stage
    failed = answer < 0
    on = ((stage == GET) & ~failed) | ((stage == HIDE) & failed)
    refused = ((stage == GET) & failed) | (stage == DROP)
    result = jnp.where(
        refused, int(Result.REFUSED), jnp.where(on, int(Result.ON), int(Result.SINGLE))
    )
    return Turn(own._replace(stage=jnp.where(stage == GET, HIDE, DROP)), result)


def release_command(stage: Word, ask: Ask) -> list[tuple[Flag, Command]]:
    """secretmem_free_folio(): back into the direct map (then zeroed), then to the buddy."""
    return [
        (stage == GET, command(Op.MAP, handle=ask.handle)),
        (stage != GET, command(Op.PUT, handle=ask.handle)),
    ]
