"""Notebook 90: whose machine it shows, and what it says of it."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from secretjax import admission, cli, engine, proposals
from secretjax.errors import UserError
from secretjax.machine import forecast, infer, lab, loss, probe, seen
from secretjax.predict import predict_file
from secretjax.show import standing, style, yours
from tests import expect, fake_proc, fake_run

KERNEL = Path(__file__).parents[2] / "params" / "kernel"


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(forecast, "forecast", fake_run.forecast)
    study, run = fake_run.make(tmp_path, states=6)
    (study.parent / "machines").mkdir()  # not the checkout's, which may hold a user's captures
    return study, run


def shown_of(name: str):
    return lab.shown(expect.start(KERNEL / f"{name}.predict.npz"))


def test_without_a_capture_a_lab_case_stands_in_and_says_so(made):
    mine = yours.open(*made)
    assert not mine.captured and "No capture was given" in expect.said(mine.machine())
    assert "a_512_s1" in expect.said(mine.machine())


def test_the_newest_capture_beside_the_params_file_is_shown(made):
    folder = made[0].parent / "machines"
    seen.write(folder / "mine.npz", replace(shown_of("b_512_s1"), kernel="6.99.1<b>"))
    mine = yours.open(*made)
    said = expect.said(mine.machine())
    assert mine.captured and "mine.npz" in said and "Linux 6.99.1&lt;b&gt;" in said
    assert "NO" not in expect.said(mine.agreement()) and "yes" in expect.said(mine.agreement())


def test_a_damaged_capture_is_one_sentence(made):
    folder = made[0].parent / "machines"
    (folder / "mine.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"mine\.npz"):
        yours.open(*made)


def test_every_proposal_is_in_the_answer_with_its_numbers(made):
    mine = yours.open(*made)
    said = expect.said(mine.answer())
    for name, values in mine.forecast.values.items():
        mean = values["dm_2m_split"][:, -1].mean()
        (line,) = [text for text in said.splitlines() if text.startswith(f"- `{name}`")]
        assert f"2 MiB entries split {yours.short(mean)}" in line
    assert "refused" not in said


def test_pages_refused_are_said(made):
    mine = yours.open(*made)
    mine.forecast.values["cma_pool"]["granted"] = np.full((4, 2), 16000)
    assert "pages refused 384" in expect.said(mine.answer())


def test_the_figure_holds_a_dot_a_state_and_the_mean(made):
    mine = yours.open(*made)
    drawn = yours.draw(mine.forecast, "here")
    names = list(mine.forecast.values)
    axis = drawn.axes[0]
    for row, name in enumerate(names):
        dots, bar = axis.lines[2 * row : 2 * row + 2]
        values = mine.forecast.values[name]["dm_2m_split"][:, -1]
        assert sorted(np.asarray(dots.get_xdata())) == sorted(values)
        assert np.asarray(bar.get_xdata())[0] == values.mean()
    words = [t.get_text() for t in drawn.findobj(Text) if isinstance(t, Text)]
    for name in names:
        known = proposals.table()[name]
        assert standing.marked(known.label, known().validated) in words
    assert any(text.replace("\n", " ").endswith(f"{standing.NOTE}.") for text in words)
    style.plt.close(drawn)


def test_what_cannot_be_predicted_is_said_in_the_notebook(made, monkeypatch):
    def refuse(*_, **__):
        raise UserError("the zone spans 63 GiB")

    monkeypatch.setattr(forecast, "forecast", refuse)
    mine = yours.open(*made)
    assert "No prediction: the zone spans 63 GiB" in expect.said(mine.answer())
    assert "63 GiB" in expect.said(mine.figure("your_machine"))


def test_the_probe_is_shown_when_there_is_one(made):
    assert "No probe was given" in expect.said(yours.open(*made).probe())
    folder = made[0].parent / "machines"
    found = probe.Probe(64, 80, 4, 87, 32, {"anonymous": 1450.0}, 0)
    probe.write(folder / "probe.json", found, ["80 entries split", "<b>1 < 2"])
    said = expect.said(yours.open(*made).probe())
    assert "80 entries split" in said and "&lt;b&gt;1 &lt; 2" in said
    (folder / "probe.json").write_text(json.dumps({"format": "x"}))
    with pytest.raises(UserError, match=r"probe\.json"):
        yours.open(*made).probe()


def test_the_table_of_losses_is_whole_and_its_sentence_counts(made):
    rows = loss.table()
    files = {f.name.removesuffix(".predict.npz") for f in KERNEL.glob("[ab]_*.predict.npz")}
    assert {row["case"] for row in rows} == files
    assert {row["step"] for row in rows} == set(loss.STEPS)
    assert {row["drawn"] for row in rows} == {*infer.PARTS, loss.ALL}
    told = expect.said(yours.open(*made).inferred_answer())
    every = [row for row in rows if row["drawn"] == loss.ALL]
    within = sum(abs(row["inferred"] / row["exact"] - 1) <= loss.BAR for row in every)
    assert f"{within} of {len(every)} predictions" in told
    assert len(yours.losses()) == len(files) * len(loss.STEPS)


@pytest.mark.slow
def test_a_row_of_the_table_is_what_is_measured():
    """Splits from inferred states within the bar of those from the exact one, measured anew."""
    case = expect.predict(KERNEL / "b_512_s1.predict.npz")
    kept = {(r["step"], r["drawn"]): r for r in loss.table() if r["case"] == "b_512_s1"}
    for row in loss.rows(case, loss.STATES, 1, (loss.ALL,)):
        old = kept[row["step"], loss.ALL]
        assert row["exact"] == old["exact"]
        assert row["inferred"] == pytest.approx(old["inferred"], abs=0.5)
        assert abs(row["inferred"] / row["exact"] - 1) <= loss.BAR


@pytest.mark.slow
def test_every_proposal_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(forecast, "_values", lambda out, pages: {})
    outcome = lambda self, states, lanes: asked.append(self.proposal.name)  # noqa: E731
    monkeypatch.setattr(forecast.engine.Simulation, "outcome", outcome)
    found = forecast.forecast(shown_of("b_512_s1"), states=1, pages={"4 MiB": 1024}).values
    assert set(found) == set(asked) == set(proposals.table())


def test_a_machine_is_forecast():
    """With every proposal notebook 90 does it, see test_notebooks."""
    machine, names = shown_of("b_512_s1"), ("keep_mapped", "per_page")
    values = forecast.forecast(machine, states=2, pages={"4 MiB": 1024}, names=names).values
    for name, found in values.items():
        assert (found["granted"] == 1024).all(), name
        assert set(found) == set(forecast.METRICS)
    assert (values["keep_mapped"]["dm_2m_split"] == 0).all()
    assert (values["per_page"]["dm_2m_split"] >= 2).all()


def test_zones_loaded_once_give_what_each_proposal_alone_does():
    machine = shown_of("b_512_s1")
    starts = forecast.start_states(machine, machine.zones[0], 2, 1)
    demand, rule = forecast.demand({"4 MiB": 1024}), admission.make("none")
    common = engine.prepared(starts, demand, proposals.make("keep_mapped"), rule, 1, 0)
    for name in ("per_page", "fixed_pool"):  # which is given an area at boot
        mine = forecast.simulation(common, proposals.make(name)).outcome(2, 2)
        alone = engine.simulate(starts, demand, proposals.make(name), rule, states=2, seed=1)
        np.testing.assert_array_equal(mine.digests, alone.digests)


def test_a_demand_is_a_share_of_a_small_zone_and_a_size_of_a_large_one():
    zone = shown_of("b_512_s1").zones[0]
    assert list(forecast.steps(zone).values()) == [125467 * 2 // 100, 125467 * 5 // 100]
    large = replace(zone, fields=zone.fields | {"managed": 1 << 22})
    assert forecast.steps(large) == {"16 MiB": 4096, "64 MiB": 16384}


def test_a_zone_is_named_as_the_kernel_does():
    machine = shown_of("b_512_s1")
    assert forecast.zone_named(machine, "DMA32") is machine.zones[0]
    assert forecast.zone_named(machine, "0.DMA32") is forecast.zone_named(machine, None)
    with pytest.raises(UserError, match="0 zones are called 'Normal'"):
        forecast.zone_named(machine, "Normal")


def test_one_command_leads_from_capture_to_figure(made, tmp_path, monkeypatch, capsys):
    start = expect.start(KERNEL / "b_512_s1.predict.npz")
    root = fake_proc.write(tmp_path / "root", {(0, "DMA32"): start})
    out, figure = tmp_path / "m.npz", tmp_path / "drawn"
    words = ["capture", "-o", str(out), "--root", str(root), "--figure", str(figure)]
    monkeypatch.setattr(sys, "argv", ["secretjax", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert (tmp_path / "drawn.svg").is_file() and (tmp_path / "drawn.png").is_file()
    said = capsys.readouterr().out
    assert "what the kernel said twice agrees" in said and "`per_page`: 2 MiB entries split" in said


def test_predict_takes_a_capture(tmp_path, monkeypatch):
    asked = {}

    def pretend(machine, **options):
        asked.update(options)
        found = fake_run.forecast(machine)
        return replace(found, values={"pmd_pool": found.values["pmd_pool"]})

    monkeypatch.setattr(forecast, "forecast", pretend)
    seen.write(tmp_path / "m.npz", shown_of("b_512_s1"))
    predict_file(tmp_path / "m.npz", tmp_path / "out.json", "pmd_pool", 4, 2)
    steps = json.loads((tmp_path / "out.json").read_text())["steps"]
    assert asked == {"states": 4, "seed": 2, "names": ["pmd_pool"]}
    assert [s["step"] for s in steps] == ["16 MiB", "64 MiB"]
    assert all(len(v) == 4 for s in steps for v in s["metrics"].values())
