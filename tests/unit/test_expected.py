"""The time that a study is said to take."""

from pathlib import Path

import pytest

from secretjax.study import expected
from secretjax.study.params import load
from secretjax.workloads import names

PARAMS = Path(__file__).parents[2] / "params"


def test_it_says_what_is_to_be_done():
    study = load(PARAMS / "smoke.yaml")
    told = expected.told(study, 1)
    assert told.startswith(f"{study.name}: {len(study.points())} points of {study.states} states, ")
    minutes = round(expected.seconds(study) / 60)
    assert told.endswith(f"about {minutes} min on 1 free core, less what is done")
    assert " on 2 free cores," in expected.told(study, 2)


def test_each_part_takes_time():
    study = load(PARAMS / "smoke.yaml")
    less = expected.seconds(study)
    more = expected.seconds(load(PARAMS / "smoke.yaml", [f"states={study.states + 100}"]))
    states = sum(expected.STATE[demand.kind] for demand in study.demands) * 100
    assert more - less == pytest.approx(states * len(study.arms), rel=0.1)
    no_cases = expected.seconds(load(PARAMS / "smoke.yaml", ["kernel_states=0"]))
    assert less - no_cases >= expected.CASE * len(study.kernel_files())


def test_every_demand_was_measured():
    assert set(names()) == set(expected.STATE)
