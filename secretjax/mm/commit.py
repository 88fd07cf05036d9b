"""The writes of a step, in place.

In a batch each state writes a few words of its own arrays. On a CPU that is a loop over the
states: XLA compiles a loop of plain updates into one native function, but leaves one that has a
scatter in it to its interpreter of kernels (see `secretjax`). Elsewhere it is one scatter.
"""

import jax
import jax.numpy as jnp
from jax import lax

from secretjax.mm.state import FULL, Zone


@jax.custom_batching.custom_vmap
def put(arrays, cells, values):
    """The arrays with their values in their cells; a cell outside its array is dropped.

    arrays: {name: Int32 [words]}; cells, values: {name: as many Int32 [], all different}.
    """
    return {
        name: words.at[jnp.stack(cells[name])].set(
            jnp.stack(values[name]),
            mode="drop",
            unique_indices=True,
            wrap_negative_indices=False,
        )
        for name, words in arrays.items()
    }


@put.def_vmap
def _put_each(size, batched, arrays, cells, values):
    args, batched = (arrays, cells, values), tuple(batched)
    args = jax.tree.map(
        lambda x, is_batched: x if is_batched else jnp.broadcast_to(x, (size, *x.shape)),
        args,
        batched,
    )
    out = lax.platform_dependent(*args, cpu=_loop, default=jax.vmap(put.fun))
    return out, jax.tree.map(lambda _: True, arrays)


def _loop(arrays, cells, values):
    def one(lane, arrays):
        return {
            name: _put_one(words, lane, cells[name], values[name]) for name, words in arrays.items()
        }

    size = len(jax.tree.leaves(cells)[0])
    return lax.fori_loop(0, size, one, arrays)


def _put_one(words, lane, cells, values):
    last = words.shape[1] - 1
    for cell, value in zip(cells, values, strict=True):
        cell, value = cell[lane], value[lane]
        place = (lane, jnp.clip(cell, 0, last))
        kept = lax.dynamic_slice(words, place, (1, 1))
        inside = (cell >= 0) & (cell <= last)
        words = lax.dynamic_update_slice(words, jnp.where(inside, value, kept), place)
    return words


def commit(zone: Zone) -> Zone:
    """The zone after the writes that the last step decided."""
    w = zone.writes
    before = zone.ticks[jnp.clip(w.tick, 0, zone.ticks.shape[0] - 1)]
    counted = before + jnp.minimum(w.amount, FULL - before)
    arrays = {name: getattr(zone, name) for name in ("link", "block", "handle", "ticks")}
    cells = {
        "link": (w.cell0, w.cell1, w.cell2, w.cell3, w.cell4, w.cell5),
        "block": (w.block,),
        "handle": (w.handle,),
        "ticks": (w.tick,),
    }
    values = {
        "link": (w.word0, w.word1, w.word2, w.word3, w.word4, w.word5),
        "block": (w.block_word,),
        "handle": (w.handle_word,),
        "ticks": (counted,),
    }
    return zone._replace(**put(arrays, cells, values))
