"""The comparison with the captured kernel: its rows, its verdicts, and what is said of them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from secretjax.errors import UserError
from secretjax.replay import replay
from secretjax.show import comparison, model_check
from secretjax.show.figures import kernel_replay, kernel_splits
from secretjax.study import kernel, params, runs, tables
from tests import expect, fake_run

FOLDER = Path(__file__).parents[2] / "params" / "kernel"
CHOSEN = ("f_thp_s1", "f_pt_s1*", "e_512_frag1_s1", "b_512_s1*")
SAID = [
    getattr(model_check, name)
    for name in (
        "machine", "replay_table", "replay_covers", "by_scenario", "by_step",
        "tolerances", "misses", "unevictable", "other_rules", "two_kernels",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """(replay, predict) frames of the chosen cases, through their files."""
    folder = tmp_path_factory.mktemp("run")
    study = params.load(FOLDER.parent / "smoke.yaml", [f"kernel_cases={list(CHOSEN)}"])
    assert len(study.kernel_files()) == 6
    parts = [(case.name, kernel.compare(case, 2, 1)) for case in study.kernel_files()]
    runs.write_kernel(folder, parts)
    return tuple(tables.read(folder / name).to_pandas() for name in runs.KERNEL_FILES)


class Compared(comparison.Comparison):
    """A comparison that no folder holds."""

    def __init__(self, replays: pd.DataFrame, predictions: pd.DataFrame):
        super().__init__(Path("test"))
        self.__dict__ |= {"replays": replays, "predictions": predictions}


@pytest.fixture(scope="module")
def study(compared):
    return Compared(*compared)


def test_every_stream_is_counted_and_equal(compared):
    replays = compared[0].set_index("case")
    assert list(replays.index) == ["f_pt_s1", "f_pt_s1_k61", "f_thp_s1"]
    mine = replays
    assert (mine["same_pfn"] == mine["requests"]).all() and (mine["requests"] > 5000).all()
    assert (mine["lists_equal"] == mine["lists"]).all() and (mine["lists"] > 50).all()
    assert mine.loc["f_pt_s1", "claims"] == 4


def test_two_kernels_are_set_side_by_side(study):
    shown = expect.said(model_check.two_kernels(study))
    both = study.predictions[study.predictions["metric"].eq("dm_2m_split")].set_index(
        ["case", "step"]
    )["kernel"]
    last = both["b_512_s1", "secret_30"] / both["b_512_s1_k61", "secret_30"]
    assert f"{last:.2f}" in shown and "30 %" in shown
    none = study.predictions.assign(kernel=0)  # no ratio to a kernel that split nothing
    shown = expect.said(model_check.two_kernels(Compared(study.replays, none)))
    assert "nan" not in shown and ">-<" in shown


def test_newer_rules_spread_the_same_requests_over_more_pageblocks():
    """6.1's own pfns say 183 pageblocks; the rules of 6.12.29 take the same pages from more."""
    path = FOLDER / "f_subsecret_s1_k61.replay.npz"
    case = expect.replay(path)
    with np.load(FOLDER / "f_subsecret_s1_k61.replay.expected.npz", allow_pickle=False) as told:
        asked = case.requests[case.requests[:, 0] == 0]
        own = len(np.unique(told["request_pfn"][asked[:, 2] == 0] >> 9))
    pfn, _, ticks = replay(case.start, case.requests)
    found = kernel.under_every_rule(case, pfn, ticks)
    assert found["blocks_K511"] == own == 183 and found["steals_K511"] == 0
    assert found["blocks_K511"] < found["blocks_K610"] < found["blocks_K612y"] == 229
    row = {"case": "f", "fallback": "K511"} | found | {"blocks_K610": None}
    told = model_check.other_rules(Compared(pd.DataFrame([row]), pd.DataFrame()))
    shown = expect.said(told)
    assert "183 (0)" in shown and "229 (679)" in shown and ">-<" in shown
    assert all(f"{rules}, {words}" in shown for rules, words in model_check.RULES.items())
    movable = row | {"blocks_K511": 0, "blocks_K612y": 0}  # says nothing of UNMOVABLE requests
    none = model_check.other_rules(Compared(pd.DataFrame([movable]), pd.DataFrame()))
    assert none is comparison.FEW


def test_figures_are_judged_and_misses_have_a_reason(compared):
    mine = compared[1]
    assert set(mine["scenario"]) == {"b", "e"}
    assert (mine["low"] <= mine["mean"]).all() and (mine["mean"] <= mine["high"]).all()
    missed = mine["agrees"].eq(False).fillna(False).astype(bool)
    assert (mine["reason"].notna() == missed).all()
    inside = (mine["low"] <= mine["kernel"]) & (mine["kernel"] <= mine["high"])
    assert (mine["inside"].astype(bool) == inside).all()


def test_another_kernel_is_told_from_the_model(tmp_path):
    case = FOLDER / "e_512_frag0_s1.predict.npz"
    truth = json.loads((FOLDER / "e_512_frag0_s1.truth.json").read_text())
    truth["cases"][0]["steps"][0]["metrics"]["huge_total"] += 20
    (tmp_path / case.name).write_bytes(case.read_bytes())
    (tmp_path / "e_512_frag0_s1.truth.json").write_text(json.dumps(truth))
    rows = kernel.compare(tmp_path / case.name, 2, 1).to_pandas().set_index("metric")
    assert not rows.loc["huge_total", "agrees"] and not rows.loc["huge_total", "inside"]
    assert rows.loc["huge_total", "reason"] == kernel.APART["e"]
    assert rows.loc["huge_before_compaction", "agrees"]


def test_the_values_of_all_states_are_kept(compared):
    mine = compared[1]
    assert {len(values) for values in mine["values"]} == {2}
    np.testing.assert_allclose([np.mean(v) for v in mine["values"]], mine["mean"])


@pytest.mark.parametrize(
    ("metric", "truth", "model", "verdict"),
    [
        ("dm_2m_split", 10, [13, 13], True),
        ("dm_2m_split", 10, [14, 14], False),
        ("dm_2m_split", 100, [110, 110], True),
        ("dm_2m_split", 100, [70, 130, 130], True),  # not near on the mean, but in the range
        ("dm_2m_split", 100, [10, 300, 300], False),  # in a range that is too wide to say much
        ("total", 5, [5, 5], True),
        ("total", 5, [5, 6], False),
        ("free_pages", 5, [5, 5], None),
    ],
)
def test_the_rule_of_agreement(metric, truth, model, verdict):
    assert kernel.agrees(metric, truth, np.array(model, float)) is verdict


@pytest.mark.parametrize("say", SAID, ids=lambda f: f.__name__)
def test_everything_can_be_said_with_and_without_a_comparison(say, study):
    empty = Compared(pd.DataFrame(), pd.DataFrame())
    assert say(empty) is comparison.NO_KERNEL
    text = say(study).data
    assert text and "nan" not in text.lower()


def test_streams_or_cases_alone_are_a_comparison_too(study):
    streams = Compared(study.replays, study.predictions[:0])
    told = expect.said(model_check.machine(streams))
    assert study.kernels() in told and " 3 recorded streams. Fallback rules" in told
    assert model_check.by_scenario(streams) is streams.predict_answer() is comparison.FEW
    cases = Compared(study.replays[:0], study.predictions)
    told = expect.said(model_check.machine(cases))
    assert "Linux" not in told.partition("Fallback")[0] and " 3 cases to predict. Fall" in told
    assert model_check.replay_table(cases) is cases.replay_answer() is comparison.FEW
    assert cases.kernel_rests_on() == "Run test: 3 cases."
    assert "at 20 and 30 %" in expect.said(cases.predict_answer())
    others = study.predictions[study.predictions["metric"].ne("dm_2m_split")]
    assert "direct map" not in expect.said(Compared(study.replays, others).predict_answer())


@pytest.mark.parametrize("kernel_of", ["", "_k61"])
def test_a_run_of_the_kernel_is_judged_by_its_other_run(compared, kernel_of):
    name, again = f"b_512_s1{kernel_of}", f"b_512_s1_rep{kernel_of}"
    assert model_check.base(again) == model_check.base(name) == name
    one = compared[1][compared[1]["case"] == name]
    other = one.assign(case=again)
    judged = int(one["agrees"].notna().sum())
    other.loc[other.index[other["metric"] == "dm_2m_split"][:3], "kernel"] += 1000
    found = model_check.repeats(pd.concat([one, other], ignore_index=True))
    assert [row["case"] for row in found] == [name, again]
    assert [row["figures"] for row in found] == [judged] * 2
    assert [row["within, by the kernel's other run"] for row in found] == [judged - 3] * 2
    assert model_check.repeats(one) == []


@pytest.mark.parametrize("figure", [kernel_replay, kernel_splits], ids=lambda f: f.__name__)
def test_figures_are_drawn_or_there_is_nothing_to_draw(figure, study):
    empty = Compared(pd.DataFrame(), pd.DataFrame())
    assert figure.FIGURE(empty) is None
    drawn = figure.FIGURE(study)
    assert drawn.axes and drawn.axes[0].has_data()


def test_a_comparison_with_a_case_twice_or_without_a_name_is_refused(tmp_path):
    whole = fake_run.compared()
    for part, (rows, name) in enumerate(zip(whole, runs.KERNEL_FILES, strict=True)):
        nameless = rows.to_pylist()
        nameless[-1]["case"] = None
        twice = pa.concat_tables([rows, rows.slice(2, 1)])
        for bad, said in (
            (twice, "two rows of one case"),
            (pa.Table.from_pylist(nameless, rows.schema), "lacks values"),
        ):
            for k, one in enumerate(runs.KERNEL_FILES):
                tables.write(bad if k == part else whole[k], tmp_path / one)
            with pytest.raises(UserError, match=f"{name}: .*{said}"):
                runs.kernel(tmp_path)
