"""One zone, one command at a time, with a look at it after every step."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from secretjax.mm.commit import commit
from secretjax.mm.layout import HEADS
from secretjax.mm.machine import LANES, step
from secretjax.mm.state import Op
from secretjax.proposals.base import command

MOST = 100_000  # steps of a command


@cache
def stepper(pages: int):
    """Compiled: one step of one zone."""

    def one(zone, asked, go):
        return step(zone, asked, go, pages)

    batched = jax.vmap(one, in_axes=(0, 0, None), axis_name=LANES)

    def alone(zone, asked):
        front = jax.tree.map(lambda x: x[None], (zone, asked))
        return jax.tree.map(lambda x: x[0], batched(front[0], front[1], zone.limits.first >= 0))

    return jax.jit(alone)


settled = jax.jit(commit)


@cache
def runner(pages: int):
    """Compiled: steps of one zone until the command is finished, `MOST` at most."""
    once = stepper(pages)

    def run(zone, asked):
        def on(carry):
            zone, _, _, count = carry
            return *once(zone, asked), count + 1

        def goes(carry):
            return ~carry[1] & (carry[3] < MOST)

        none = jnp.zeros((), bool), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return jax.lax.while_loop(goes, on, (zone, *none))

    return jax.jit(run)


def do(zone, asked, look=None, change=None):
    """(zone, answer) after the command.

    look: called with the zone after each step. change: gives another zone to go on with.
    """
    pages = len(zone.link) // 2 - HEADS
    if not look and not change:
        zone, finished, answer, _ = runner(pages)(zone, asked)
        assert finished, f"not finished after {MOST} steps"
        zone, *_ = runner(pages)(zone, command(Op.NOTHING))
        return zone, int(answer)
    run = stepper(pages)
    for _ in range(MOST):
        zone, finished, answer = run(zone, asked)
        if look:
            look(settled(zone))
        zone = change(zone) if change else zone
        if finished:
            zone, _, _ = run(zone, command(Op.NOTHING))
            return zone, int(answer)
    raise AssertionError(f"not finished after {MOST} steps")


def words(zone) -> np.ndarray:
    """First word of the row of each page."""
    return np.asarray(zone.link)[: -2 * HEADS : 2]
