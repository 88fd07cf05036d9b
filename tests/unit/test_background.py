"""The random numbers that say when threads get the CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from secretjax.mm.background import half_second, next_random
from secretjax.mm.load import load
from tests.zones import fresh


def test_random_words_are_those_of_xorshift32():
    """George Marsaglia, Xorshift RNGs, 2003: shifts by 13, 17 and 5, begun at 1."""
    x, found = jnp.int32(1), []
    for _ in range(4):
        x = next_random(x)
        found.append(int(x))
    assert found == [270369, 67634689, -1647531835, 307599695]


def test_the_task_does_1_to_6_4_times_the_least_in_half_a_second():
    zone = load(fresh(1024))
    seeds = np.random.default_rng(1).integers(1, 1 << 31, 4096, dtype=np.int32)
    drawn = lambda seed: half_second(zone.now._replace(random=seed), zone.limits)[0]  # noqa: E731
    pace = jax.vmap(drawn)(jnp.asarray(seeds))
    factor = np.asarray(pace) / int(zone.limits.period)
    assert (factor >= 1).all() and (factor < 6.4).all()
    assert factor.max() > 6 and factor.min() < 1.05
    assert np.median(factor) == pytest.approx(2.6, rel=0.1)
