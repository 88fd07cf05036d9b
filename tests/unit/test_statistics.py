"""Intervals against cases whose answer is known."""

import numpy as np
import pytest

from secretjax.study.statistics import apart, interval, paired, share


def one_start(values):
    return np.array(["a"] * len(values))


def test_the_interval_of_a_mean_is_about_that_of_the_normal():
    values = np.random.default_rng(1).normal(10, 2, 400)
    found = interval(values, one_start(values), resamples=5000)
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)
    assert found.states == 400


def test_start_states_do_not_widen_the_interval_by_their_difference():
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(0, 1, 50), rng.normal(100, 1, 50)])
    starts = np.repeat(["low", "high"], 50)
    within = interval(values, starts)
    mixed = interval(values, one_start(values))
    assert within.high - within.low < 0.1 * (mixed.high - mixed.low)


def test_pairing_sees_a_small_difference_that_all_states_share():
    base = np.random.default_rng(3).normal(0, 100, 64)
    found = paired(base + 1, base, one_start(base))
    assert (found.mean, found.low, found.high) == pytest.approx((1, 1, 1))
    assert found.verdict == "higher" and found.share_higher == 1


def test_a_difference_that_goes_both_ways_is_undetermined():
    base = np.zeros(100)
    found = paired(np.tile([1.0, -1.0], 50), base, one_start(base))
    assert found.verdict == "undetermined" and found.low < 0 < found.high
    assert paired(base, base, one_start(base)).verdict == "equal"


def test_the_same_numbers_give_the_same_interval():
    values = np.random.default_rng(4).normal(0, 1, 30)
    assert interval(values, one_start(values)) == interval(values, one_start(values))


def test_states_apart_are_resampled_each_by_themselves():
    rng = np.random.default_rng(5)
    one, other = rng.normal(3, 1, 400), rng.normal(1, 2, 100)
    found = apart(one, one_start(one), other, one_start(other))
    half = 1.96 * np.sqrt(one.var() / 400 + other.var() / 100)  # of the difference of two means
    assert found.mean == pytest.approx(one.mean() - other.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)
    assert found.verdict == "higher" and found.states == 500
    assert apart(one, one_start(one), one, one_start(one)).verdict == "undetermined"
    assert apart(one[:0], one[:0], other, one_start(other)).states == 0


def test_clopper_pearson():
    found = share(8, 10)
    assert (found.low, found.high) == pytest.approx((0.4439, 0.9748), abs=1e-4)
    assert share(0, 20).low == 0 and share(0, 20).high == pytest.approx(0.1684, abs=1e-4)


def test_states_that_do_not_pair_are_an_error():
    with pytest.raises(ValueError, match="paired"):
        paired(np.zeros(3), np.zeros(4), np.zeros(4))


@pytest.mark.parametrize("starts", ["abcd", "aaab"])
def test_a_start_with_one_state_does_not_make_the_interval_a_point(starts):
    found = interval(np.array([1, 2, 3, 4]), np.array(list(starts)))
    assert found.low < found.mean < found.high


def test_one_state_says_nothing():
    one, other, start = np.array([3.0]), np.array([1.0]), np.array(["a"])
    assert paired(one, other, start).verdict == "undetermined"
    found = apart(one, start, other, np.array(["b"]))
    assert (found.low, found.mean, found.high, found.verdict) == (2, 2, 2, "undetermined")
