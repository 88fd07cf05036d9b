"""Indices as the kernel computes them, and the registry of metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretjax import metrics
from secretjax.metrics.free_memory import (
    extfrag,
    fragmentation_index,
    pages,
    scaled,
    unusable_index,
)
from secretjax.mm.words import Event

ORDERS = range(11)


def trunc(a, b):
    """C division: towards zero."""
    return abs(a) // b * (1 if a >= 0 else -1)


class Oracle:
    """mm/vmstat.c: fill_contig_page_info() and the three indices, on Python integers."""

    def __init__(self, nr_free, order):
        self.order = order
        self.pages = sum(n << o for o, n in enumerate(nr_free))
        self.total = sum(nr_free)
        self.suitable = sum(n << (o - order) for o, n in enumerate(nr_free) if o >= order)

    def unusable(self):
        if not self.pages:
            return 1000
        return (self.pages - (self.suitable << self.order)) * 1000 // self.pages

    def extfrag(self):
        return (self.pages - (self.suitable << self.order)) * 100 // self.pages if self.pages else 0

    def fragmentation(self):
        if not self.total:
            return 0
        if self.suitable:
            return -1000
        return 1000 - trunc(1000 + self.pages * 1000 // (1 << self.order), self.total)


def array(counts):
    return jnp.asarray([counts.get(o, 0) for o in ORDERS], jnp.int32)


VECTORS = [  # free blocks; pages, unusable(9), fragindex(9), extfrag(9), unusable(3), fragindex(3)
    ({}, (0, 1000, 0, 0, 1000, 0)),
    ({10: 1}, (1024, 0, -1000, 0, 0, -1000)),
    ({9: 1}, (512, 0, -1000, 0, 0, -1000)),
    ({8: 1}, (256, 1000, -500, 100, 0, -1000)),
    ({8: 2}, (512, 1000, 0, 100, 0, -1000)),
    ({7: 4}, (512, 1000, 500, 100, 0, -1000)),
    ({0: 100}, (100, 1000, 989, 100, 1000, 865)),
    ({0: 512}, (512, 1000, 997, 100, 1000, 874)),
    ({0: 1024}, (1024, 1000, 998, 100, 1000, 875)),
    (dict.fromkeys(range(10), 1), (1023, 499, -1000, 49, 6, -1000)),
    ({9: 3, 0: 512}, (2048, 250, -1000, 25, 250, -1000)),
    ({10: 10, 3: 300, 0: 5000}, (17640, 419, -1000, 41, 283, -1000)),
]


@pytest.mark.parametrize("counts, expected", VECTORS)
def test_the_published_vectors(counts, expected):
    n = array(counts)
    found = (
        pages(n), unusable_index(n, 9), fragmentation_index(n, 9), extfrag(n, 9),
        unusable_index(n, 3), fragmentation_index(n, 3),
    )  # fmt: skip
    assert tuple(map(int, found)) == expected


blocks = st.lists(st.integers(0, 300), min_size=11, max_size=11)
large = st.integers(1, 4096).map(lambda n: [0] * 10 + [n])
small = st.integers(1, 1 << 22).map(lambda n: [n] + [0] * 10)
compiled = {
    order: jax.jit(
        lambda n, o=order: (unusable_index(n, o), fragmentation_index(n, o), extfrag(n, o))
    )
    for order in (3, 9)
}


@settings(max_examples=300, deadline=None)
@given(st.one_of(blocks, large, small), st.sampled_from([3, 9]))
def test_indices_equal_the_oracle_up_to_zones_of_16_gib(nr_free, order):
    oracle = Oracle(nr_free, order)
    found = tuple(map(int, compiled[order](jnp.asarray(nr_free, jnp.int32))))
    assert found == (oracle.unusable(), oracle.fragmentation(), oracle.extfrag())


def test_every_event_is_a_metric_and_every_metric_says_what_it_is():
    table = metrics.METRICS
    counted = {m for m in table if table[m].counter}
    for event in Event:
        name = "fallback_pages" if event is Event.FALLBACK else event.name.lower()
        assert name in counted
    for name, metric in table.items():
        assert metric.name == name
        assert metric.label and metric.unit and metric.source
        assert metric.better in ("lower", "higher", None)


def test_there_is_no_overflow_in_the_dtype():
    n = jnp.asarray([1 << 22, *([0] * 10)], jnp.int32)
    assert unusable_index(n, 9).dtype == np.int32
    assert int(unusable_index(n, 9)) == 1000


def test_shares_are_scaled_without_overflow():
    assert int(scaled(jnp.int32(2_000_000_000), 1000, jnp.int32(2_100_000_000))) == 952
    rng = np.random.default_rng(1)
    whole = rng.integers(1, 1 << 31, 1000)
    part = rng.integers(0, whole + 1)
    for factor in (100, 1000):
        each = jax.vmap(lambda a, b, factor=factor: scaled(a, factor, b))
        found = each(jnp.asarray(part, jnp.int32), jnp.asarray(whole, jnp.int32))
        pairs = zip(part.tolist(), whole.tolist(), strict=True)
        assert found.tolist() == [a * factor // b for a, b in pairs]
