"""Costs: the table is strict and sourced, the sums are those that the module says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from secretjax.errors import UserError
from secretjax.mm.words import Event
from secretjax.study import costs

FILE = Path(__file__).parents[2] / "params" / "costs" / "x86_64.yaml"
TABLE = costs.load(FILE)


def counts(**events: int) -> np.ndarray:
    found = np.zeros(len(Event), np.int64)
    for name, number in events.items():
        found[Event[name]] = number
    return found


def test_every_entry_says_where_it_comes_from():
    frame = TABLE.frame()
    assert list(frame.columns) == ["cost", "unit", "low", "best", "high", "standing", "source"]
    assert set(frame["cost"]) == set(costs.Entries.model_fields)
    unsourced = frame["source"].str.startswith("no measurement")
    assert set(frame[unsourced]["standing"]) == {"assumption"}
    assert not (frame[~unsourced]["standing"] == "assumption").any()


def test_a_split_costs_its_flush_by_the_number_of_cpus():
    split = counts(SPLIT_2M=1, UNMAP_CALL=1, FLUSH=1)
    one, eight = (costs.total(split, TABLE, cpus, "best") for cpus in (1, 8))
    assert one == 400 + 200 + 1000
    assert eight - one == 7 * 200


def test_sums_are_exact_in_float64_for_big_counts():
    many = counts(ZEROED=2**31 - 1, GRANTED=2**31 - 1)
    assert costs.total(many, TABLE, 1, "best") == (2**31 - 1) * 1000


def test_what_only_tells_an_outcome_costs_nothing_and_all_else_something():
    free = {
        "STOLEN", "FALLBACK", "REFUSED_OPEN", "REFUSED_MMAP", "REFUSED_FAULT", "HUGE_TRIED",
        "HUGE_OK", "COMPACT_STALL", "KSWAPD_RUN", "KCOMPACTD_RUN", "SECRET_COPIED", "OOM_FAULT",
        "SIGBUS_FAULT", "COPIED_MAPPED", "BLOCK_UNMAPPED", "BLOCK_MAPPED",
    }  # fmt: skip
    ns = costs.weights(TABLE, 4, "low")
    assert {event.name for event in Event if ns[event] == 0} == free


def test_bounds_are_ordered_for_any_counts():
    random = np.random.default_rng(3).integers(0, 1000, (50, len(Event)))
    low, best, high = (costs.total(random, TABLE, 16, b) for b in costs.BOUNDS)
    assert (low < best).all() and (best < high).all()


def test_exposure_is_one_cpu_for_the_copy_or_all_until_the_flush():
    copied = np.array([0, 10])
    assert costs.exposure(copied, TABLE, 64, "best").tolist() == [0, 3500]
    seen = costs.exposure(copied, TABLE, 4, "best", "direct_map")
    assert seen.tolist() == [0, 10 * 4 * (350 + 1000 + 3 * 200)]


def test_exposure_follows_the_protocol_in_use():
    both = costs.exposed(np.array([10]), np.array([4]), TABLE, 4, "best")
    assert both.tolist() == [6 * 350 + 4 * 4 * (350 + 1000 + 3 * 200)]


def samples(without: str = "") -> pd.DataFrame:
    rows = [
        {"arm": "a", "start": "s", "state": state, "step": step, "metric": e.name.lower()}
        | {"value": state * 100 + e}
        for state in range(3)
        for step in ("start", "end")
        for e in Event
    ]
    frame = pd.DataFrame(rows)
    return frame[frame["metric"] != without]


def test_tidy_samples_get_costs_per_state_and_step():
    found = costs.apply(samples(), TABLE, 8)
    assert list(found.columns) == ["arm", "start", "state", "step", "metric", *costs.BOUNDS]
    assert len(found) == 3 * 2 * len(costs.METRICS)
    one = found[(found["state"] == 2) & (found["step"] == "end")].set_index("metric")
    events = np.array([200 + e for e in Event])
    assert one.loc["cost_ns", "high"] == costs.total(events, TABLE, 8, "high")
    assert one.loc["ipis", list(costs.BOUNDS)].tolist() == [(200 + Event.FLUSH) * 7] * 3
    copied, mapped = events[[Event.SECRET_COPIED]], events[[Event.COPIED_MAPPED]]
    exposed = costs.exposed(copied, mapped, TABLE, 8, "best")
    assert one.loc["exposure_page_ns", "best"] == exposed.item()


def test_one_cpu_interrupts_nobody():
    found = costs.apply(samples(), TABLE, 1)
    assert (found[found["metric"] == "ipis"]["high"] == 0).all()


def told(held: int, **events: int) -> pd.DataFrame:
    """Samples of one state of the arm `a` with these counters."""
    row = {"arm": "a", "start": "s", "state": 0, "step": "end"}
    found = counts(**events)
    rows = [row | {"metric": e.name.lower(), "value": int(found[e])} for e in Event]
    return pd.DataFrame([*rows, row | {"metric": "secret_pages", "value": held}])


def in_way(frame: pd.DataFrame, cpus: int, *way: str) -> pd.Series:
    found = costs.apply(frame, TABLE, cpus, {"a": costs.Ways(*way)})
    return found.set_index("metric")["best"]


def test_a_full_flush_costs_every_cpu_its_tlb_where_a_range_would_not():
    frame = told(0, UNMAP_CALL=10, BLOCK_UNMAPPED=4, SPLIT_2M=3, FLUSH=13)
    spared, lost = (in_way(frame, 8, flush) for flush in ("range", "full"))
    assert lost["cost_ns"] - spared["cost_ns"] == (10 - 4) * 8 * 4000
    assert lost["ipis"] == spared["ipis"] == 13 * 7


def test_a_lazy_kernel_flushes_for_splits_and_collapses_only():
    frame = told(0, UNMAP_CALL=10, SPLIT_2M=3, COLLAPSED_2M=2, FLUSH=15)
    flushed, lazy = (in_way(frame, 8, flush) for flush in ("range", "lazy"))
    assert flushed["cost_ns"] - lazy["cost_ns"] == 10 * (1000 + 7 * 200)
    assert lazy["ipis"] == (3 + 2) * 7


@pytest.mark.parametrize(
    ("zeroing", "pages"), [("fault", 0), ("free", 600 - 50), ("destruction", 512 + 30)]
)
def test_pages_are_cleared_again_when_they_are_given_back(zeroing, pages):
    """600 pages handed out and 50 still held; 1 pageblock of a pool and 30 single pages came back,
    and 8 sources of moves, which ZEROED has already."""
    frame = told(50, GRANTED=600, ZEROED=608, SECRET_COPIED=8, MAP_CALL=39, BLOCK_MAPPED=1)
    base, other = (in_way(frame, 8, "range", z)["cost_ns"] for z in ("fault", zeroing))
    assert other - base == pages * 200


def test_an_arm_without_ways_costs_what_it_did():
    plain = costs.apply(samples(), TABLE, 8)
    pd.testing.assert_frame_equal(
        plain, costs.apply(samples(), TABLE, 8, {"b": costs.Ways("full")})
    )
    pd.testing.assert_frame_equal(plain, costs.apply(samples(), TABLE, 8, {"a": costs.Ways()}))


def test_zeroing_at_free_needs_the_pages_that_are_held():
    with pytest.raises(UserError, match="no metric secret_pages, so zeroing cannot"):
        costs.apply(samples(), TABLE, 8, {"a": costs.Ways(zeroing="free")})


def test_a_missing_counter_is_told():
    with pytest.raises(UserError, match="no metric flush, so costs cannot"):
        costs.apply(samples(without="flush"), TABLE, 8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hihg": 3}, "costs.split.hihg: unknown key; did you mean 'high'?"),
        ({"low": 3000}, "costs.split: .*low <= best <= high"),
        ({"best": "400"}, 'costs.split.best: found "400", but it should be a valid number'),
        ({"low": -1}, "costs.split.low: found -1"),
        ({"standing": "guess"}, 'costs.split.standing: found "guess"'),
        ({"source": ""}, "costs.split.source"),
    ],
)
def test_a_wrong_entry_is_told(tmp_path, change, said):
    tree = yaml.safe_load(FILE.read_text())
    tree["costs"]["split"] |= change
    file = tmp_path / "costs.yaml"
    file.write_text(yaml.safe_dump(tree))
    with pytest.raises(UserError, match=said):
        costs.load(file)


def test_a_missing_or_unknown_cost_is_told(tmp_path):
    tree = yaml.safe_load(FILE.read_text())
    tree["costs"]["flsh"] = tree["costs"].pop("flush")
    file = tmp_path / "costs.yaml"
    file.write_text(yaml.safe_dump(tree))
    with pytest.raises(UserError, match=r"costs\.flsh: unknown key; did you mean 'flush'"):
        costs.load(file)
