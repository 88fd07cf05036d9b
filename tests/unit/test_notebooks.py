"""Notebooks are thin: they call the package, and every number in them comes from the run."""

import ast
import json
import re
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pytest

from secretjax import proposals
from secretjax.errors import UserError
from secretjax.machine import forecast
from secretjax.show import explorer, notebook, sentences
from secretjax.study import executed
from secretjax.study.statistics import Difference, Estimate
from tests import expect, fake_run

FOLDER = Path(__file__).parents[2] / "notebooks"
FILES = sorted(FOLDER.glob("*.ipynb"))
PARAMETERS = {"params_file": "params/default.yaml", "results_dir": "results"}
LONGEST = 60  # lines of code

each = pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)


def cells(file, kind):
    return [c for c in nbformat.read(file, as_version=4).cells if c.cell_type == kind]


def tagged(cell):
    return "parameters" in cell.metadata.get("tags", [])


def code(file):
    return "\n".join(c.source for c in cells(file, "code") if not tagged(c))


def shown(file, params_file, results_dir):
    """What the cells of a notebook show, executed here."""
    names, values = {"params_file": str(params_file), "results_dir": str(results_dir)}, []
    for cell in cells(file, "code"):
        if tagged(cell):
            continue
        tree = ast.parse(cell.source)
        last = tree.body.pop()
        exec(compile(tree, file.name, "exec"), names)
        assert isinstance(last, ast.Expr), f"{cell.source}: shows nothing"
        values.append(eval(compile(ast.Expression(last.value), file.name, "eval"), names))
    return values


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fake_run.make(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def study(run):
    return notebook.open(*run)


def test_the_notebooks_are_there():
    assert len({f.stem[:2] for f in FILES}) == len(FILES)
    assert {"00", "10", "15", "20", "30"} <= {f.stem[:2] for f in FILES}


@each
def test_parameters_are_these_two(file):
    (cell,) = [c for c in cells(file, "code") if tagged(c)]
    names: dict = {}
    exec(cell.source, {}, names)
    assert names == PARAMETERS


@each
def test_no_outputs_are_committed(file):
    for cell in cells(file, "code"):
        assert cell.outputs == [] and cell.execution_count is None


@each
def test_nothing_is_defined_looped_or_typed_by_hand(file):
    banned = (
        ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.If, ast.ListComp,
        ast.DictComp, ast.GeneratorExp, ast.JoinedStr,
    )  # fmt: skip
    for node in ast.walk(ast.parse(code(file))):
        assert not isinstance(node, banned), f"line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Constant):
            assert isinstance(node.value, str), f"number {node.value}"
        if isinstance(node, ast.ImportFrom):
            assert node.module == "secretjax.show"
        assert not isinstance(node, ast.Import)


@each
def test_no_result_is_typed_into_the_text(file):
    for cell in cells(file, "markdown"):
        text = cell.source.replace("95 %", "")
        assert not re.search(r"\d\s*%|\b\d+[.,]\d+\s+(entries|pages|MiB|ns|us)\b", text), (
            cell.source
        )


@each
def test_it_is_short_and_begins_and_ends_as_the_others(file):
    lines = [line for line in code(file).splitlines() if line.strip()]
    assert len(lines) <= LONGEST
    text = cells(file, "markdown")
    assert text[0].source.startswith("# ")
    assert any(re.search(r"(?m)^## Sources", c.source) for c in text)
    assert any(re.search(r"(?m)^## (Threats|Not validated)", c.source) for c in text)


@each
def test_the_pair_says_the_same(file):
    pair = jupytext.read(file.with_suffix(".py"))
    ours = nbformat.read(file, as_version=4)
    told = [(c.cell_type, c.source, c.metadata.get("tags")) for c in pair.cells]
    assert told == [(c.cell_type, c.source, c.metadata.get("tags")) for c in ours.cells]


@each
def test_it_shows_a_proposal_that_nobody_made(file, tmp_path, monkeypatch):
    known = {**proposals.table(), "made_up": fake_run.MadeUp}
    monkeypatch.setattr(proposals, "table", lambda: known)
    monkeypatch.setattr(forecast, "forecast", fake_run.forecast)  # notebook 90 simulates,
    monkeypatch.setattr(explorer, "watched", fake_run.watched)  # and so does 05
    made = fake_run.make(tmp_path, (*fake_run.REAL, "made_up"), states=6)
    values = shown(file, *made)
    told = [getattr(v, "data", None) for v in values]
    told = "\n".join(text for text in told if isinstance(text, str))
    assert all(v is not None for v in values)
    named = "made_up" in told or "made up" in told
    assert named or file.stem[:2] in ("00", "05", "10", "15", "80")


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES[:1], ids=lambda f: f.stem)
def test_papermill_executes_it(file, run):
    """One: .ci/run has all of them executed in a study."""
    params_file, folder = run
    executed.execute(file, params_file, folder, "key")
    made = nbformat.read(folder / "notebooks" / file.name, as_version=4)
    outputs = [o for c in made.cells if c.cell_type == "code" for o in c.outputs]
    assert not [o for o in outputs if o.output_type in ("error", "stream")]
    figures = sum("study.figure(" in c.source for c in made.cells if c.cell_type == "code")
    assert sum("image/png" in o.data for o in outputs) == figures > 0
    assert str(folder.parent) not in json.dumps(made)


def test_other_rules_are_compared_where_there_are_some(tmp_path, study):
    assert study.compare_rules("growth", "dm_2m_split").data == notebook.ONE_KERNEL
    arms = ("keep_mapped", "per_page@K511", "per_page@K610", "pmd_pool", "per_page@K612y")
    told = notebook.open(*fake_run.make(tmp_path, arms, states=6)).compare_rules(
        "growth", "dm_2m_split"
    )
    heads = [line for line in expect.said(told).splitlines() if " against " in line]
    assert [h.split("`")[1:4:2] for h in heads] == [
        ["per_page@K610", "per_page@K511"], ["per_page@K612y", "per_page@K511"],
    ]  # fmt: skip


def numbers(study):
    found = {}
    for file in (study.run.figures_dir / "numbers").glob("*.json"):
        found |= json.loads(file.read_text())
    return found


def test_every_arm_is_in_an_answer_and_every_number_has_a_name(study):
    told = study.answers("growth", "dm_2m_split", "stranded_mib").data
    kept = numbers(study)
    for arm in study.arms:
        for metric in ("dm_2m_split", "stranded_mib"):
            name = f"growth.grow_30.{arm.name}.{metric}"
            mine = study.at("growth", "grow_30", arm, metric)
            assert kept[name]["value"] == pytest.approx(mine.mean(), rel=1e-5)
            assert f"`{arm.name}`" in told
            assert sentences.span(study.estimate("growth", "grow_30", arm, metric)) in told
        assert kept[name]["states"] == study.params.states


def test_a_comparison_is_paired_and_says_which_way(study):
    told = study.compare("growth", "pmd_pool+reservation", "pmd_pool", "refused_fault_share").data
    a, b = (study.params.arm(n) for n in ("pmd_pool+reservation", "pmd_pool"))
    change = study.at("growth", "grow_30", a, "refused_fault_share") - study.at(
        "growth", "grow_30", b, "refused_fault_share"
    )
    kept = numbers(study)["growth.grow_30.pmd_pool+reservation-minus-pmd_pool.refused_fault_share"]
    assert kept["value"] == pytest.approx(change.mean(), rel=1e-5)
    assert kept["verdict"] == "lower" and "; better" in told
    assert f"lower in {sentences.short(100 * np.mean(change < 0))} %" in told
    assert kept["start_states"] == {"of_this_sign": 3, "all": 3}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ([0, 0, 0, 0, 0, 0], "the same in every one of 6 states"),
        ([5, -5, 4, -4, 1, -2], "undetermined"),
        ([5, 6, 7, 5, 6, 7], "worse"),
        ([-5, -6, -7, -5, -6, -7], "better"),
    ],
)
def test_a_difference_is_called_what_it_is(change, said, tmp_path):
    study = notebook.open(*fake_run.make(tmp_path, ("keep_mapped", "per_page"), states=6))
    base, arm = study.arms
    values = study.array("growth", base, "dm_2m_split") + 100
    study._values["growth", base.name, "dm_2m_split"] = values
    study._values["growth", arm.name, "dm_2m_split"] = values + np.array(change)[:, None]
    assert said in study.compare("growth", "per_page", "keep_mapped", "dm_2m_split").data


def test_a_crowd_of_arms_is_counted_and_keeps_its_mark():
    few, crowd = ["`a`", "`b`†"], [f"`{n}`" for n in range(sentences.CROWD + 1)]
    assert list(sentences.whose({"1": few}, 2)) == [("1", "`a` and `b`†")]
    assert list(sentences.whose({"0": crowd, "5": few}, 11)) == [
        ("0", "the 9 others"),
        ("5", "`a` and `b`†"),
    ]
    assert list(sentences.whose({"0": [*crowd, "`z`†"]}, 10)) == [("0", "all 10 arms†")]


def test_what_has_no_value_is_said_so(study):
    arm = study.params.arm("per_page")
    found = study.estimate("growth", "start", arm, "packing")
    assert np.isnan(found.mean) and found.states == 0
    assert sentences.span(found) == "no value"
    assert sentences.named(found, "", "")["value"] is None


def test_an_arm_or_demand_that_is_not_in_the_study_is_named(study):
    told = study.compare("growth", "late", "per_page", "migrated").data
    assert told == "*This study has no arm `late` under `growth`.*"
    for told in (
        study.compare("guests", "pmd_pool", "per_page", "migrated"),
        study.memory_map("per_page", "guests"), study.explorer("guests", "per_page"),
    ):  # fmt: skip
        assert told.data == "*This study has no arm `per_page` under `guests`.*"
    assert "no arm `x` or `y` under" in study.memory_film("x", "y").data
    assert "no demand `none`" in study.explorer("none").data
    assert "no demand `none`" in study.answers("none", "migrated").data
    with pytest.raises(UserError, match="did you mean 'migrated'"):
        study.answers("growth", "migratd")


def test_a_map_and_a_film_have_files_of_their_own(study, monkeypatch):
    monkeypatch.setattr(explorer, "watched", fake_run.watched)
    for demand in ("growth", "small_files"):
        study.memory_map("per_page", demand)
    for arms in (["per_page"], ["per_page", "cma_pool+reservation"]):
        study.memory_film(*arms)
    for name in (
        "memory_map_growth_per_page_0.svg", "memory_map_small_files_per_page_0.png",
        "memory_film_per_page_0.gif", "memory_film_per_page_cma_pool+reservation_0.gif",
    ):  # fmt: skip
        assert (study.run.figures_dir / name).is_file(), name


def test_the_explorer_begins_with_what_there_is(study, tmp_path, monkeypatch):
    monkeypatch.setattr(explorer, "watched", fake_run.watched)
    assert (study.explorer().demand.name, study.explorer().arm.value) == ("growth", "per_page")
    assert study.explorer("guests").arm.value == study.facing("guests")[0].name != "per_page"
    other = notebook.open(*fake_run.make(tmp_path, ("keep_mapped", "pmd_pool"), states=3))
    object.__setattr__(other.params, "demands", other.params.demands[1:])
    assert other.explorer().demand.name == "small_files"
    assert other.explorer().arm.value == "keep_mapped"


def test_arms_that_did_not_face_the_same_demand_stop_the_notebook(tmp_path):
    study = notebook.open(*fake_run.make(tmp_path, ("keep_mapped", "per_page"), states=4))
    assert "Checked" in expect.said(study.checks())
    granted = study._values["growth", "per_page", "granted"]
    study._values["growth", "per_page", "granted"] = granted + 1
    with pytest.raises(UserError, match="did not face the same demand"):
        study.checks()


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.0, 0.0, 0.0, 4), "0"),
        (Estimate(12188.3, 12185.1, 12191.4, 4), "12,188 [12,185, 12,191]"),
        (Estimate(148.12, 148.04, 148.19, 4), "148.1 [148.0, 148.2]"),
        (Estimate(-0.0226, -0.0241, -0.0213, 4), "-0.023 [-0.024, -0.021]"),
        (Estimate(7.049, 6.44, 7.68, 4), "7.0 [6.4, 7.7]"),
        (Difference(2.5, 2.5, 2.5, 4, 2.5, 0.0, 1.0, "higher"), "2.50"),
    ],
)
def test_numbers_are_as_exact_as_their_intervals(estimate, text):
    assert sentences.span(estimate) == text
