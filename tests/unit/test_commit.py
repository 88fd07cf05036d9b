"""The two forms of a step's writes, the CPU's loop and the scatter of other devices, are one."""

import jax
import jax.numpy as jnp
import numpy as np

from secretjax.mm import commit

LANES, WORDS, CELLS = 5, 40, 6


def drawn(seed: int):
    """Arrays, cells (different within a state, some outside its array) and values of a batch."""
    rng = np.random.default_rng(seed)
    outside = [-1, -7, WORDS, WORDS + 3, 1 << 30]
    cells = np.stack([rng.permutation([*range(WORDS), *outside])[:CELLS] for _ in range(LANES)])
    as_words = lambda x: jnp.asarray(x, jnp.int32)  # noqa: E731
    arrays = {"link": as_words(rng.integers(0, 1 << 30, (LANES, WORDS)))}
    values = {"link": tuple(as_words(v) for v in rng.integers(0, 1 << 30, (CELLS, LANES)))}
    return arrays, {"link": tuple(as_words(c) for c in cells.T)}, values


def written(arrays, cells, values):
    """By hand, one word after the other."""
    words = np.array(arrays["link"])
    for cell, value in zip(cells["link"], values["link"], strict=True):
        for lane in range(LANES):
            if 0 <= cell[lane] < WORDS:
                words[lane, cell[lane]] = value[lane]
    return words


def test_loop_and_scatter_write_what_is_asked_and_drop_what_is_outside():
    dropped = 0
    for seed in range(20):
        batch = drawn(seed)
        expected = written(*batch)
        dropped += sum(int(((c < 0) | (c >= WORDS)).sum()) for c in batch[1]["link"])
        for form in (jax.vmap(commit.put), jax.vmap(commit.put.fun), commit._loop):
            np.testing.assert_array_equal(jax.jit(form)(*batch)["link"], expected)
    assert dropped


def test_an_unbatched_value_is_every_states():
    arrays, cells, _ = drawn(0)
    one = {"link": tuple(jnp.int32(k) for k in range(CELLS))}
    each = {"link": tuple(jnp.full(LANES, k, jnp.int32) for k in range(CELLS))}
    got = jax.vmap(commit.put, in_axes=(0, 0, None))(arrays, cells, one)
    np.testing.assert_array_equal(got["link"], written(arrays, cells, each))
