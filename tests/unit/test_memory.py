"""The memory of a study: the formula against real states, and what fits a limit."""

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from secretjax import admission, engine, proposals, workloads
from secretjax.errors import UserError
from secretjax.study import memory, params, points
from tests import expect, study_fakes
from tests.oracle import streams

ROOT = Path(__file__).parents[2]


def managed(pageblocks: int):
    """A start state of which nine tenths are managed."""
    start = streams.make(1, pageblocks=pageblocks, requests=10, cma=0).start
    return replace(start, zone={**start.zone, "managed": pageblocks * 460})


STATE = memory.state_bytes(1 << 17, 1 << 16, 1 << 14)


@pytest.mark.parametrize("pageblocks", [32, 256, 2048])
def test_a_state_takes_what_the_formula_says(pageblocks):
    demand = workloads.make("growth", percents=(5,), churn_per_64_pages=4)
    rule, proposal = admission.make("none"), proposals.make("per_page")
    common = engine.prepared([managed(pageblocks)], demand, proposal, rule, 1, 500)
    task = common.task(0)
    real = sum(leaf.nbytes for leaf in jax.tree.leaves((task.zone, task.own, task.table)))
    told = memory.state_bytes(pageblocks * 512, common.handles, len(expect.there(task.table)))
    assert real <= told <= real * 1.02


def test_everything_fits_where_there_is_room():
    assert memory.share(STATE, 1 << 40, 3, "x") == memory.Share(3, engine.LANES)


@pytest.mark.parametrize("gib", [1.0, 1.5, 2.0, 3.0, 5.0])
def test_what_is_chosen_fits_and_no_more_would(gib):
    limit, state = int(gib * memory.GIB), STATE
    found = memory.share(state, limit, 4, "x")
    assert memory.process_bytes(state, found.lanes) * found.jobs <= limit
    more = memory.process_bytes(state, 2 * found.lanes) * found.jobs
    assert found.lanes == engine.LANES or more > limit
    wider = memory.process_bytes(state, memory.AT_EASE) * (found.jobs + 1)
    assert found.jobs == 4 or wider > limit


def test_one_state_that_does_not_fit_is_one_sentence():
    alone = memory.process_bytes(STATE, 1)
    assert memory.share(STATE, alone, 8, "x") == memory.Share(1, 1)
    with pytest.raises(UserError, match=r"^x: one state takes 0\.79 GiB .* 0\.79 GiB are allowed"):
        memory.share(STATE, alone - 1, 8, "x")


def test_the_largest_state_of_a_study_is_found():
    study = params.load(ROOT / "params" / "smoke.yaml", ["kernel_cases=[a_1024_s7]"])
    small = params.load(ROOT / "params" / "smoke.yaml", ["kernel_states=0"])
    assert memory.largest(small) == pytest.approx(STATE, rel=0.02)
    assert memory.largest(study) > 1.5 * memory.largest(small)


def test_the_points_run_as_many_states_at_a_time_as_fit(tmp_path, monkeypatch):
    asked = []
    study_fakes.install(partial(monkeypatch.setattr, raising=False))
    study = params.load(study_fakes.make_study(tmp_path))
    monkeypatch.setattr(points, "timed", lambda task, lanes: asked.append(lanes) or {"rest": 1.0})
    monkeypatch.setattr(memory, "largest", lambda study: 100 << 20)
    list(points.compute(study, tmp_path, 2, gib=2.9))
    assert asked == [2] * 4  # in one process: two do not fit


def test_lanes_change_no_bit():
    demand = workloads.make("growth", percents=(5,), churn_per_64_pages=4)
    given = ([managed(32)], demand, proposals.make("per_page"), admission.make("none"))
    few, many = (
        engine.simulate(*given, states=6, seed=1, ageing_events=64, lanes=n) for n in (2, 8)
    )
    np.testing.assert_array_equal(few.digests, many.digests)


def test_the_command_refuses_in_one_sentence(tmp_path):
    words = ["run", "params/smoke.yaml", "--results", str(tmp_path), "--memory", "0.5"]
    done = subprocess.run(
        [sys.executable, "-m", "secretjax.cli", *words], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2
    told, refused = done.stderr.splitlines()
    assert told.startswith("smoke: 8 points of 4 states, ")
    assert refused.startswith("secretjax: smoke: one state takes ")
