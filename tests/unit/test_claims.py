"""Claims: judged by their tests and by nothing else; each can be asked, and is in its notebook."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from secretjax.show import claims, notebook
from secretjax.show.claims.base import Claim, Column, Comparison, said
from secretjax.show.measured import words
from secretjax.study import params
from tests import fake_run

ROOT = Path(__file__).parents[2]
EVERY = list(claims.table().values())
each = pytest.mark.parametrize("claim", EVERY, ids=lambda c: c.id)
ONE, OTHER = Column("per_page", "free_2m"), Column("pmd_pool", "free_2m")


@pytest.fixture
def study(tmp_path):
    return notebook.open(*fake_run.make(tmp_path, fake_run.REAL, with_kernel=False))


def given(study, column, values):
    """The study with these numbers at the column's measuring point."""
    key = column.demand, column.arm, column.metric
    at = study.demand_steps(column.demand).index(column.point(study))
    found = study._values[key].copy()
    found[:, at] = values
    study._values[key] = found


def columns(claim):
    return [c for t in claim.tests for c in (t.one, t.other) if isinstance(c, Column)]


def test_they_are_the_eighteen():
    assert [c.id for c in EVERY] == [f"H{n}" for n in range(1, 19)]


@each
def test_it_is_asked_by_the_study_it_names_and_shown_in_its_notebook(claim):
    study = params.load(ROOT / claim.params)
    arms, demands = {a.name for a in study.arms}, {d.name for d in study.demands}
    whole = params.load(ROOT / "params" / "questions.yaml")
    assert {c.arm for c in columns(claim)} <= arms & {a.name for a in whole.arms}
    assert {c.demand for c in columns(claim)} <= demands & {d.name for d in whole.demands}
    for column in columns(claim):
        assert words(column.metric)
    text = (ROOT / "notebooks" / f"{claim.notebook}.py").read_text()
    assert f'"{claim.id}"' in text
    assert claim.question.endswith("?") and not claim.said.endswith(".")


@pytest.mark.parametrize(
    ("change", "holds", "told"),
    [
        (lambda n: np.full(n, 3.0), True, "higher than"),
        (lambda n: np.full(n, -3.0), False, "lower than"),
        (lambda n: np.resize([5.0, -5.0], n), None, "undetermined"),
        (lambda n: np.zeros(n), False, "the same as"),
    ],
)
def test_a_comparison_says_what_the_paired_difference_says(study, change, holds, told):
    states = study.params.states
    base = np.random.default_rng(1).integers(0, 100, states).astype(float)
    given(study, OTHER, base)
    given(study, ONE, base + change(states))
    found = Comparison(ONE, "higher", OTHER).weigh(study)
    assert found.holds is holds and found.asked and told in found.text


def test_a_number_may_be_the_other_side(study):
    given(study, ONE, np.resize([9.0, 11.0], study.params.states))
    found = Comparison(ONE, "lower", 20.0).weigh(study)
    assert found.holds is True and "10.0 [9" in found.text and "lower than 20" in found.text
    assert Comparison(ONE, "lower", 5.0).weigh(study).holds is False
    assert Comparison(ONE, "lower", 10.0).weigh(study).holds is None


def test_start_states_are_compared_apart(study):
    starts = study.starts("growth")
    given(study, ONE, np.where(np.char.startswith(starts, "a_"), 50.0, 20.0))
    of = lambda pattern: dataclasses.replace(ONE, starts=pattern)  # noqa: E731
    found = Comparison(of("a_*"), "higher", of("b_*")).weigh(study)
    assert found.holds is True and "`b_*`" in found.text
    nobody = Comparison(of("c_*"), "higher", of("b_*")).weigh(study)
    assert not nobody.asked and "`c_*`" in nobody.text


def verdict(study, *tests, **more):
    claim = Claim("H0", "Is it?", "somebody", "20_direct_map", tests, **more)
    answer, found = claim.weigh(study)
    return answer, said(claim, answer, found)


def test_every_quoted_number_has_a_name_of_its_own(study):
    for claim in EVERY:
        found = [w for w in claim.weigh(study)[1] if w.asked]
        kept = [name for w in found for name in w.numbers]
        assert len(set(kept)) == len(found), claim.id


def test_the_answer_follows_from_all_tests(study):
    given(study, ONE, np.full(study.params.states, 7.0))
    yes, no = Comparison(ONE, "lower", 9.0), Comparison(ONE, "higher", 9.0)
    open_one = Comparison(Column("per_page", "granted", step="last"), "lower", ONE)
    given(study, open_one.one, np.resize([6.0, 8.0], study.params.states))
    absent = Comparison(Column("nobody", "free_2m"), "lower", 9.0)
    assert verdict(study, yes, yes)[0] == "yes"
    assert verdict(study, no, no)[0] == "no"
    assert verdict(study, yes, no)[0] == "in part"
    assert verdict(study, yes, open_one)[0] == "undetermined"
    assert verdict(study, yes, absent) == (
        "not asked", "no arm `nobody` in this study; `params/default.yaml` has it",
    )  # fmt: skip
    assert verdict(study, absent)[0] == "not asked"
    assert verdict(study, yes, open="nobody can know") == ("undetermined", "nobody can know")


def test_the_notebook_keeps_every_answer_for_the_site(study):
    shown = study.verdicts().data
    kept = json.loads((study.run.figures_dir / "claims.json").read_text())["claims"]
    assert [row["id"] for row in kept] == [c.id for c in EVERY]
    assert all(row["why"] for row in kept) and shown.count("<tr>") == len(EVERY) + 1
