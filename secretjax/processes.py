"""States dealt out to the processes of jax.distributed, and what they found put together again.

Each process runs its states on its own devices; only what was measured is exchanged, at the end.
Without jax.distributed there is one process, and nothing is exchanged.
"""

import jax
import numpy as np


def mine(states: int) -> range:
    """The numbers of this process's states: every so manieth, so that all have alike ones."""
    return range(jax.process_index(), states, jax.process_count())


def together(rows: np.ndarray, states: int) -> np.ndarray:
    """[states, ...] of all processes from [own states, ...] of each, the same in all of them.

    rows: of any type of 4 or 8 bytes; its first axis follows `mine`.
    """
    count = jax.process_count()
    if count == 1:
        return rows
    from jax.experimental import multihost_utils

    most = -(-states // count)
    padded = np.zeros((most, *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    words = padded.reshape(most, -1).view(np.int32)  # jax would cut 8 bytes to 4
    every = np.ascontiguousarray(multihost_utils.process_allgather(words))
    dealt = every.swapaxes(0, 1).reshape(most * count, -1)[:states]
    return np.ascontiguousarray(dealt).view(rows.dtype).reshape(states, *rows.shape[1:])
