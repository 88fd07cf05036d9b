"""Sobol indices against a function whose indices are known, and the value at which it flips."""

from pathlib import Path

import numpy as np
import pytest

from secretjax.mm.words import Event
from secretjax.study import costs, sensitivity

TABLE = costs.load(Path(__file__).parents[2] / "params" / "costs" / "x86_64.yaml")


def events(*rows):
    """[start states, events] for each secret page."""
    found = np.zeros((len(rows), len(Event)))
    for row, counted in zip(found, rows, strict=True):
        for name, number in counted.items():
            row[Event[name]] = number
    return found


def spread(entry):
    return np.log(TABLE.ns(entry, "high") / TABLE.ns(entry, "low"))


def test_two_costs_share_the_variance_as_the_squares_of_their_ranges():
    """log(fault / zero_page) is a sum of two uniform variables: the indices are exact."""
    found = sensitivity.analyse(events({"GRANTED": 1}), events({"ZEROED": 1}), TABLE, 8)
    fault, zero = spread("fault") ** 2, spread("zero_page") ** 2
    assert found.total["fault"] == pytest.approx(fault / (fault + zero), abs=0.03)
    assert found.total["zero_page"] == pytest.approx(zero / (fault + zero), abs=0.03)
    others = set(found.total) - {"fault", "zero_page"}
    assert max(abs(found.total[f]) for f in others) < 1e-9
    assert found.margin["fault"] < 0.1


def test_the_share_and_the_flip_are_those_of_the_table():
    one, other = events({"GRANTED": 0.2}), events({"ZEROED": 1})
    found = sensitivity.analyse(one, other, TABLE, 8)
    best = TABLE.ns("zero_page", "best")
    assert found.flips["fault"] == pytest.approx(best / 0.2, rel=0.02)
    assert set(found.flips) == {"fault", "zero_page"}
    logs = [
        np.log([float(TABLE.ns(e, b)) for b in ("low", "high")]) for e in ("fault", "zero_page")
    ]
    fault, zero = (
        np.exp(np.random.default_rng(k).uniform(low, high, 10**5))
        for k, (low, high) in enumerate(logs)
    )
    assert found.cheaper == pytest.approx((0.2 * fault < zero).mean(), abs=0.02)


def test_memory_is_a_factor():
    one, other = events({"FREED": 1}, {"FREED": 100}), events({"FREED": 10}, {"FREED": 10})
    found = sensitivity.analyse(one, other, TABLE, 8)
    assert found.total[sensitivity.MEMORY] == pytest.approx(1, abs=0.03)
    assert found.cheaper == pytest.approx(0.5, abs=0.01)


def test_a_draw_costs_what_the_table_costs_with_these_numbers():
    one, other = events({"FLUSH": 3, "GRANTED": 1}), events({"GRANTED": 1})
    drawn = {sensitivity.CPUS: np.array([1.0, 64.0]), sensitivity.MEMORY: np.zeros(2)}
    found = sensitivity.ratio(one, other, TABLE, drawn)
    for k, cpus in enumerate((1, 64)):
        total = [costs.total(arm[0], TABLE, cpus, "best") for arm in (one, other)]
        assert found[k] == pytest.approx(np.log(total[0] / total[1]))


def test_arms_that_cost_the_same_depend_on_nothing():
    same = events({"GRANTED": 1})
    found = sensitivity.analyse(same, same, TABLE, 8)
    assert set(found.total.values()) == {0.0} and found.flips == {} and found.cheaper == 0


def test_a_grid_of_a_sum_and_of_a_product_has_the_indices_of_the_textbook():
    """x + 2y of unit variances: 1/5 and 4/5; xy of zero means: all of it is interaction."""
    x, y = np.array([-1.0, 1.0])[:, None], np.array([-1.0, 1.0, 1.0, -1.0])
    assert sensitivity.of_grid(x + 2 * y) == pytest.approx([0.2, 0.8])
    assert sensitivity.of_grid(x * y) == pytest.approx([1, 1])
    assert sensitivity.of_grid(np.stack([x + 2 * y] * 3)) == pytest.approx([0, 0.2, 0.8])
    assert sensitivity.of_grid(np.full((2, 3), 7.0)).tolist() == [0, 0]
