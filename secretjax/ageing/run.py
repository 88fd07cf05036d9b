"""Recipes through the engine: many states, each as its (seed, number) says, in blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int64

from secretjax import engine, flow, runners
from secretjax.ageing.base import Plan, Recipe
from secretjax.ageing.boot import booted
from secretjax.ageing.export import to_start
from secretjax.cases import StartState
from secretjax.mm.load import load
from secretjax.mm.state import Op, Zone
from secretjax.runners import Runner
from secretjax.workloads import _recorded as recorded

LIMIT = 1 << 30  # steps of one piece
PAUSE, PAUSES = 350_000, 64  # hundredths of a page fault that a task sleeps; how often at most


@dataclass(frozen=True, eq=False)
class Block:
    """States that were aged together.

    numbers  of the states
    zones    all of them, last writes written
    plans    what was asked in each
    looks    names of the moments at which memory was looked at
    free     pages on the buddy lists
    huge     of them in blocks of order 9 and 10, in pageblocks
    """

    numbers: range
    zones: Zone
    plans: list[Plan]
    looks: tuple[str, ...]
    free: Int64[np.ndarray, "states looks"]
    huge: Int64[np.ndarray, "states looks"]

    def zone(self, lane: int) -> Zone:
        """One state."""
        return jax.tree.map(lambda x: x[lane], self.zones)


def age(
    recipe: Recipe,
    pages: int,
    states: int | range,
    seed: int,
    lanes: int = engine.LANES,
) -> Iterator[Block]:
    """Block by block. State i depends on the recipe, `pages` and (seed, i) only.

    states: how many, or their numbers. Raises `UserError` when a state shows a fault (a bug of the
    model).
    """
    numbers = range(states) if isinstance(states, int) else states
    for first in range(0, len(numbers), lanes):
        yield _block(recipe, pages, numbers[first : first + lanes], seed)


def _block(recipe: Recipe, pages: int, numbers: range, seed: int) -> Block:
    rngs = [engine.generator(seed, i) for i in numbers]
    plans = [recipe.plan(pages, rng) for rng in rngs]
    handles = len(plans[0].slots.order)
    start = booted(pages)
    base = jax.tree.map(np.asarray, load(start, handles))
    timing = [
        np.random.Generator(cast(np.random.Philox, rng.bit_generator).jumped()) for rng in rngs
    ]
    zones = flow.stack([engine.timed(base, rng, False) for rng in timing])
    runner = runners.of_stream(engine.pages_of(zones))
    table = np.zeros((len(plans), max(plan.longest for plan in plans), 2), np.int32)
    looks, free, huge = [], [], []
    for pieces in zip(*(plan.pieces for plan in plans), strict=True):
        zones = _ask(runner, zones, table, [rows for _, rows in pieces])
        if pieces[0][0]:
            looks.append(pieces[0][0])
            free.append(np.asarray(zones.now.free, np.int64))
            huge.append(np.asarray(zones.now.free_huge, np.int64))
    zones = _rest(runner, zones, table)
    engine.check_faults(zones, numbers, [start], recipe.name, seed)
    return Block(numbers, zones, plans, tuple(looks), np.stack(free, 1), np.stack(huge, 1))


def _ask(runner: Runner, zones: Zone, table: np.ndarray, asked: list[np.ndarray]) -> Zone:
    """The zones after these requests, one list of rows a state."""
    for lane, rows in enumerate(asked):
        table[lane, : len(rows)] = rows
    own = recorded.Cursor(
        jnp.zeros(len(asked), jnp.int32), jnp.asarray([len(rows) for rows in asked], jnp.int32)
    )
    return runner.to_stop(zones, own, jnp.array(table), LIMIT)[0]


def _rest(runner: Runner, zones: Zone, table: np.ndarray) -> Zone:
    """The task sleeps where kcompactd is at work, until it is done and holds no page."""
    sleep, nothing = np.array([[int(Op.WAIT), PAUSE]]), np.zeros((0, 2), np.int64)
    for _ in range(PAUSES):
        busy = np.asarray((zones.now.run != 0) | (zones.now.have != 0))
        if not busy.any():
            break
        zones = _ask(runner, zones, table, [sleep if works else nothing for works in busy])
    return zones


def starts_of(recipe: Recipe, block: Block, seed: int) -> Iterator[StartState]:
    """The states of a block in the form of a capture: whatever runs on one runs on these.

    Named after recipe, seed and number. Pages on per-CPU lists stay there; the direct map is
    whole; kswapd and kcompactd begin anew.
    """
    base = booted(engine.pages_of(block.zones))
    zones = jax.tree.map(np.asarray, block.zones)
    for lane, number in enumerate(block.numbers):
        zone = jax.tree.map(lambda x, lane=lane: x[lane], zones)
        name = f"{recipe.name}_{seed}_{number}"
        yield to_start(zone, base, block.plans[lane].slots.use, name)


def start_states(
    recipe: Recipe, pages: int, states: int | range, seed: int
) -> Iterator[StartState]:
    """Aged start states by number, see `age` and `starts_of`."""
    for block in age(recipe, pages, states, seed):
        yield from starts_of(recipe, block, seed)
