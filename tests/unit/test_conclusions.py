"""What in memory a conclusion depends on, where that is known."""

import numpy as np
import pytest

from secretjax.show import conclusions, notebook
from secretjax.show.conclusions import FACTORS, Conclusion
from tests import fake_run


@pytest.fixture
def study(tmp_path):
    return notebook.open(*fake_run.make(tmp_path, with_kernel=False))


@pytest.fixture
def one(study):
    return Conclusion(study.params.arm("pmd_pool"), study.params.arm("per_page"), "dm_2m_split")


def say(study, monkeypatch, change):
    """change(demand, step, states) is what pmd_pool has more than others."""
    states = np.arange(study.params.states, dtype=float)
    monkeypatch.setattr(
        type(study),
        "at",
        lambda self, demand, step, arm, metric: (
            states * 0 + (arm.name == "pmd_pool") * change(demand, step, states)
        ),
    )


def test_demands_are_told_by_their_pins_and_all_states_are_on_the_grid(study, one):
    pinned = [d.options["pinned_percent"] for d in conclusions.demands(study, one)]
    assert pinned == sorted(pinned) and len(pinned) >= 2
    starts = len(set(study.starts("growth")))
    shape = len(pinned), len(conclusions.shares(study)), starts, study.params.states // starts
    assert conclusions.grid(study, one).shape == shape


@pytest.mark.parametrize("factor", FACTORS)
def test_the_one_factor_that_matters_is_found(study, one, monkeypatch, factor):
    of = study.starts("growth")
    change = {
        "pinned pages": lambda demand, step, states: -1.0 - (demand == "growth"),
        "secret share": lambda demand, step, states: -1.0 - (step == "grow_10"),
        "start state": lambda demand, step, states: -1.0 - (of == of[0]),
        "state drawn from it": lambda demand, step, states: -1.0 - (states < len(set(of))),
    }[factor]
    say(study, monkeypatch, change)
    index = conclusions.depends(study, one)[0].tolist()
    assert index == pytest.approx([float(f == factor) for f in FACTORS])
    text, numbers = conclusions.told(study, one)
    assert "**Better**" in text and f"depends most on {factor} (total index 1" in text
    assert numbers["places.better"]["value"] > 0


def test_what_flips_says_on_what_it_depends(study, one, monkeypatch):
    say(study, monkeypatch, lambda demand, step, states: 1.0 - 2 * (demand == "growth"))
    text, numbers = conclusions.told(study, one)
    assert "**Undetermined, depends on the pinned pages**" in text
    assert numbers["places.better"]["value"] and numbers["places.worse"]["value"]


def test_what_flips_for_no_factor_is_undetermined(study, one, monkeypatch):
    say(study, monkeypatch, lambda demand, step, states: 1.0 - 2 * (demand == "growth"))
    none = np.full(len(FACTORS), np.nan)
    monkeypatch.setattr(conclusions, "depends", lambda *_: (none, none))
    text, _ = conclusions.told(study, one)
    assert "**Undetermined**: better in" in text and "depends" not in text


def test_what_makes_no_difference_depends_on_nothing(study, one, monkeypatch):
    say(study, monkeypatch, lambda demand, step, states: 0.0)
    text, _ = conclusions.told(study, one)
    assert "**No difference**: equal in" in text and "depends" not in text
