"""The writes of a step, in place.

In a batch each state writes a few words of its own arrays. On a CPU that is a loop over the
states: XLA compiles a loop of plain updates into one native function, but leaves one that has a
scatter in it to its interpreter of kernels (see `secretjax`). Elsewhere it is one scatter.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int32

from secretjax.mm.state import Zone

Words = Int32[Array, " words"]
Cells = Int32[Array, " cells"]


@jax.custom_batching.custom_vmap
def put(words: Words, cells: Cells, values: Cells) -> Words:
    """The words with `values` in these cells, which differ; one outside the array is dropped."""
    return words.at[cells].set(values, mode="drop", unique_indices=True)


@put.def_vmap
def _put_each(size, batched, words, cells, values):
    words, cells, values = (
        x if is_batched else jnp.broadcast_to(x, (size, *x.shape))
        for x, is_batched in zip((words, cells, values), batched, strict=True)
    )
    return lax.platform_dependent(words, cells, values, cpu=_loop, default=jax.vmap(put.fun)), True


def _loop(words, cells, values):
    count, last = cells.shape[1], words.shape[1] - 1

    def one(lane, words):
        for k in range(count):
            cell = lax.dynamic_slice(cells, (lane, k), (1, 1))[0, 0]
            place = (lane, jnp.clip(cell, 0, last))
            kept = lax.dynamic_slice(words, place, (1, 1))
            value = lax.dynamic_slice(values, (lane, k), (1, 1))
            inside = (cell >= 0) & (cell <= last)
            words = lax.dynamic_update_slice(words, jnp.where(inside, value, kept), place)
        return words

    return lax.fori_loop(0, words.shape[0], one, words)


def commit(zone: Zone) -> Zone:
    """The zone after the writes that the last step decided."""
    w = zone.writes
    cells = jnp.stack([w.cell0, w.cell1, w.cell2, w.cell3, w.cell4, w.cell5])
    words = jnp.stack([w.word0, w.word1, w.word2, w.word3, w.word4, w.word5])
    counted = zone.ticks[jnp.clip(w.tick, 0, zone.ticks.shape[0] - 1)] + w.amount
    return zone._replace(
        link=put(zone.link, cells, words),
        block=put(zone.block, w.block[None], w.block_word[None]),
        handle=put(zone.handle, w.handle[None], w.handle_word[None]),
        ticks=put(zone.ticks, w.tick[None], counted[None]),
    )
