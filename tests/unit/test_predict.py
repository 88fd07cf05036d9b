"""`secretjax predict` and `replay`: what they refuse, and the form of what they answer."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from secretjax.errors import UserError
from secretjax.predict import predict, predict_file, replay_file
from tests import expect

FOLDER = Path(__file__).parents[2] / "params" / "kernel"
PINNED = "d_512_64M_s2_pin4@load_free500"


def answer_of(name: str, out: Path, states: int = 64) -> dict[str, dict[str, list]]:
    predict_file(FOLDER / f"{name}.predict.npz", out, None, states, 1)
    steps = json.loads(out.read_text())["steps"]
    return {s["step"]: s["metrics"] for s in steps}


def one_sentence(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text and "Traceback" not in text
    return text


def test_the_wrong_kind_of_case_is_told_with_the_right_one(tmp_path):
    with pytest.raises(UserError) as error:
        predict_file(FOLDER / "f_thp_s1.replay.npz", tmp_path / "out", None, 64, 1)
    assert "*.predict.npz" in one_sentence(error)
    with pytest.raises(UserError) as error:
        replay_file(FOLDER / "b_512_s1.predict.npz", tmp_path / "out")
    assert "*.replay.npz" in one_sentence(error)


def test_an_unknown_proposal_is_told_with_a_suggestion():
    case = expect.predict(FOLDER / "e_512_frag1_s1.predict.npz")
    with pytest.raises(UserError, match="per_page"):
        predict(case, "per_pag", 64, 1)


@pytest.mark.parametrize(
    "name", ["b_512_s1", "c_512_frag3_s2", "e_512_frag1_s1", "d_512_64M_s1@load_free500", PINNED]
)
def test_every_step_and_metric_of_the_kernel_is_answered(name, tmp_path):
    capture, _, part = name.partition("@")
    truth = json.loads((FOLDER / f"{capture}.truth.json").read_text())
    want = next(c for c in truth["cases"] if c["case"] == part)["steps"]
    got = answer_of(name, tmp_path / "out.json")
    for step in want:
        answered = got[step["step"]]
        assert step["metrics"].keys() <= answered.keys()
        for metric in step["metrics"]:
            values = answered[metric]
            assert len(values) == 64 and all(type(v) is int for v in values), metric


def test_states_differ_only_where_something_is_drawn(tmp_path):
    drawn = answer_of(PINNED, tmp_path / "a.json")["filled"]["pages_migrated"]
    assert len(set(drawn)) > 1
    again = answer_of(PINNED, tmp_path / "b.json")["filled"]["pages_migrated"]
    assert drawn == again
    settled = answer_of("d_512_64M_s1@load_free500", tmp_path / "c.json")["filled"]
    assert all(len(set(values)) == 1 for values in settled.values())


def test_a_second_round_of_takes_drains_nothing_twice():
    case = expect.predict(FOLDER / "d_512_64M_s1@empty.predict.npz")
    take = next(op for op in case.ops if op["op"] == "cma_take")
    again = {**take, "step": "again"}
    steps = predict(replace(case, ops=(*case.ops, again)), None, 1, 1)
    assert [s["step"] for s in steps][-1] == "again"
    assert steps[0]["metrics"]["cma_blocks_ok"].tolist() == [32]
    assert steps[-1]["metrics"]["cma_blocks_ok"].tolist() == [0]
