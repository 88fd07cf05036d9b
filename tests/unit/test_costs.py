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
        "STOLEN", "FALLBACK", "REFUSED_MMAP", "REFUSED_FAULT", "HUGE_TRIED", "HUGE_OK",
        "COMPACT_STALL", "KSWAPD_RUN", "KCOMPACTD_RUN", "SECRET_COPIED", "OOM_FAULT",
        "SIGBUS_FAULT", "COPIED_MAPPED",
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
