"""Run folders: the same bytes for the same inputs, and nothing half-written taken for whole."""

import ast
import json
import os
import re
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from secretjax import study as package
from secretjax.errors import UserError
from secretjax.study import identity, params, points, runs, tables
from tests import study_fakes


@pytest.fixture
def file(tmp_path, monkeypatch):
    study_fakes.install(partial(monkeypatch.setattr, raising=False))
    return study_fakes.make_study(tmp_path)


@pytest.fixture
def study(file):
    return params.load(file)


@pytest.fixture
def folder(study, tmp_path):
    folder = runs.prepare(study, tmp_path / "results")
    assert not any(done.kept for done in points.compute(study, folder, 1))
    runs.consolidate(study, folder)
    runs.write_manifest(study, folder)
    return folder


def test_a_run_is_read_as_it_was_computed(file, folder):
    run = runs.open_run(file, folder.parents[1])
    frame = run.samples()
    assert list(frame.columns) == tables.SAMPLES.names
    assert len(frame) == 2 * 2 * 5 * 3 * len(study_fakes.Event)
    assert list(dict.fromkeys(frame["arm"])) == ["per_page", "pmd_pool+reservation"]
    assert list(dict.fromkeys(frame["step"])) == ["start", "grow", "released"]
    states = frame.groupby("state")["start"].first()
    assert list(states) == ["one", "two", "one", "two", "one"]
    assert str(frame["value"].dtype) == "int64"
    assert run.run_id == identity.run_id(run.params)
    assert run.figures_dir.is_dir()
    assert run.costs().name == "x86_64"
    assert set(run.costed()["metric"]) == {
        "cost_ns",
        "ipis",
        "exposure_page_ns",
        "exposure_direct_map_page_ns",
    }
    assert all(frame.empty for frame in run.kernel())


def test_named_numbers_are_means_with_intervals_and_paired_differences(file, folder):
    run = runs.open_run(file, folder)
    number = run.numbers["growth.grow.pmd_pool+reservation.split_2m"]
    frame = run.samples()
    peak = frame[(frame.step == "grow") & (frame.metric == "split_2m") & (frame.demand == "growth")]
    values = peak[peak.arm == "pmd_pool+reservation"]["value"].to_numpy()
    assert number["value"] == pytest.approx(values.mean())
    assert number["low"] < number["value"] < number["high"]
    base = peak[peak.arm == "per_page"]["value"].to_numpy()
    paired = number["difference"]
    assert paired["value"] == pytest.approx((values - base).mean())
    # All states differ by the same here, so the paired interval has no width.
    assert paired["low"] == paired["high"] == paired["value"]
    assert number["unit"] == "entries"
    assert number["label"] == "pmd_pool+reservation, grow: 2 MiB entries split"


def test_the_same_inputs_give_the_same_bytes(study, folder, tmp_path):
    other = runs.prepare(study, tmp_path / "elsewhere")
    list(points.compute(study, other, 2))
    runs.consolidate(study, other)
    runs.write_manifest(study, other)
    assert runs.digests(other) == runs.digests(folder)
    assert (other / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


def test_the_manifest_holds_nothing_of_this_machine(folder):
    text = (folder / "manifest.json").read_text()
    assert str(folder) not in text and str(Path.home()) + "/" not in text
    told = json.loads(text)
    assert told["files"] == runs.digests(folder)
    assert set(told["files"]) >= {"samples.parquet", "numbers.json", "params.json"}
    assert not [name for name in told["files"] if name.startswith(("log/", "manifest"))]
    assert told["params"]["seed"] == 7 and told["sizes"]["states"] == 5


def test_what_is_done_is_kept_and_what_is_damaged_is_computed_again(study, folder):
    before = runs.digests(folder)
    assert all(done.kept for done in points.compute(study, folder, 1))
    damaged, cut, gone, empty = sorted((folder / "points").iterdir())
    data = bytearray(damaged.read_bytes())
    data[len(data) // 3] ^= 1
    damaged.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:-100])
    gone.unlink()
    empty.write_bytes(b"")
    assert not any(done.kept for done in points.compute(study, folder, 1))
    assert runs.digests(folder) == before


def test_every_flipped_byte_of_the_data_is_noticed(folder):
    point = next((folder / "points").iterdir())
    whole = tables.read(point, tables.SAMPLES)
    data = point.read_bytes()
    for at in np.random.default_rng(1).integers(0, len(data), 60):
        point.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        try:
            assert tables.read(point, tables.SAMPLES) == whole
        except UserError as e:
            assert re.search("damaged|columns", str(e))


def test_a_point_of_a_sibling_run_is_taken_over(file, folder, tmp_path):
    calls = []
    wider = params.load(file, ["arms=all"])
    other = runs.prepare(wider, tmp_path / "results")
    assert other != folder
    for done in points.compute(wider, other, 1):
        calls += [] if done.kept else [done.what]
    assert calls == [
        "growth: pmd_pool",
        "growth: pmd_pool+reservation",
        "small_files: pmd_pool",
        "small_files: pmd_pool+reservation",
    ]


def test_two_runs_on_one_folder_refuse_politely(folder):
    half = folder / "points" / ".x.parquet.123.part"
    with runs.locked(folder):
        half.write_bytes(b"half")
        refused = pytest.raises(UserError, match="working on this run already; wait for it")
        with refused, runs.locked(folder):
            pass
        assert half.exists()
    with runs.locked(folder):
        assert not half.exists()


def keys(file: Path, *overrides: str) -> tuple[str, dict[str, str]]:
    study = params.load(file, overrides)
    named = {f"{d.name} {a.name}": identity.point_key(study, a, d) for a, d in study.points()}
    return identity.run_id(study), named


def test_a_point_is_named_by_all_that_it_depends_on(file):
    run, before = keys(file)
    for change in ("seed=8", "states=6", "ageing_events=1", "starts=[two, one]"):
        other, after = keys(file, change)
        assert other != run and not set(before.values()) & set(after.values()), change
    other, after = keys(file, "arms.1.options.blocks=4")
    assert other != run
    assert {name for name in before if before[name] != after[name]} == {
        "growth pmd_pool+reservation",
        "small_files pmd_pool+reservation",
    }
    for change in ("cpus=5", "question=Why?", "baseline=pmd_pool+reservation"):
        other, after = keys(file, change)
        assert other != run and after == before, change


def test_files_are_part_of_the_name(file):
    run, before = keys(file)
    table = file.parent / "costs.yaml"
    table.write_text(table.read_text().replace("best: 350", "best: 351"))
    other, after = keys(file)
    assert other != run and after == before
    (file.parent / "kernel" / "one.predict.npz").write_bytes(b"other")
    assert not set(keys(file)[1].values()) & set(before.values())


def test_every_module_that_a_point_runs_through_is_part_of_its_name():
    """Found by following the imports of the engine, which no list can forget."""
    plugins = {"proposals", "admission", "errors.py", "files.py"}
    wanted, seen = {"engine.py", "cases/__init__.py"}, set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        tree = ast.parse((identity.ROOT / name).read_text())
        for node in ast.walk(tree):
            of = node.module if isinstance(node, ast.ImportFrom) else None
            if not isinstance(node, ast.ImportFrom) or not of or not of.startswith("secretjax"):
                continue
            for module in (of, *(f"{of}.{n.name}" for n in node.names)):
                path = module.replace(".", "/").removeprefix("secretjax").strip("/")
                for file in (f"{path}.py", f"{path}/__init__.py"):
                    if path and (identity.ROOT / file).is_file() and file not in seen:
                        wanted.add(file)
    parts = {name.partition("/")[0] for name in seen}
    assert {"rules.py", "flow.py", "mm", "metrics"} <= parts
    assert parts - plugins <= set(identity.SIMULATION)


def test_who_else_faces_a_demand_is_no_part_of_a_points_name(file):
    every = keys(file)[1]
    few = keys(file, "baseline=pmd_pool+reservation", "demands.1.arms=[pmd_pool+reservation]")[1]
    assert few == {k: v for k, v in every.items() if k != "small_files per_page"}
    same = keys(file, "demands.1.arms=[pmd_pool+reservation]")[1]
    assert same == every, "the baseline faces every demand"


def test_of_the_plugins_only_the_own_file_is_part_of_the_name(file, tmp_path, monkeypatch):
    own = tmp_path / "secretjax"
    for name in (
        "mm/words.py",
        "proposals/base.py",
        "proposals/per_page.py",
        "proposals/pmd_pool.py",
        "engine.py",
        "show/style.py",
    ):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text("1")
    monkeypatch.setattr(identity, "ROOT", own)

    def now() -> dict[str, str]:
        identity._simulation.cache_clear()
        identity._own_sources.cache_clear()
        return keys(file)[1]

    def changed(name: str) -> set[str]:
        before = now()
        (own / name).write_text((own / name).read_text() + "2")
        after = now()
        return {arm for arm in before if before[arm] != after[arm]}

    try:
        mine = {"growth per_page", "small_files per_page"}
        everyone = set(now())
        assert changed("proposals/per_page.py") == mine
        assert changed("proposals/base.py") == everyone
        assert changed("mm/words.py") == changed("engine.py") == everyone
        assert changed("show/style.py") == set()
        builds = "from secretjax.proposals.per_page import PerPage\n"
        (own / "proposals/pmd_pool.py").write_text(builds)
        assert changed("proposals/per_page.py") == everyone
    finally:
        identity._simulation.cache_clear()
        identity._own_sources.cache_clear()


def test_a_study_that_was_not_run_is_told_with_its_command(file, tmp_path):
    results = tmp_path / "results"
    with pytest.raises(UserError, match=f"secretjax run {file} --results {results}"):
        runs.open_run(file, results)


def test_paths_are_found_from_the_notebooks_folder(file, folder, monkeypatch):
    monkeypatch.chdir(file.parents[1] / "notebooks")
    assert runs.open_run("params/tiny.yaml", "results").folder == folder


def test_a_run_folder_knows_its_overrides(file, tmp_path):
    study = params.load(file, ["states=3"])
    folder = runs.prepare(study, tmp_path / "results")
    list(points.compute(study, folder, 1))
    runs.consolidate(study, folder)
    run = runs.open_run(file, folder)
    assert run.params == study
    assert run.samples()["state"].nunique() == 3


def test_the_comparison_with_the_kernel_is_kept_beside_the_points(file, tmp_path, monkeypatch):
    asked = []

    def compare(path, states, seed, lanes):
        asked.append((path.name, states, seed))
        replay = path.name.endswith(".replay.npz")
        schema = tables.REPLAY if replay else tables.PREDICT
        row = {"same_pfn": 9} if replay else {"kernel": 61.0, "mean": 61.5, "inside": True}
        blank = {f.name: "x" if pa.types.is_string(f.type) else None for f in schema}
        return pa.Table.from_pylist([blank | row | {"case": path.name.partition(".")[0]}], schema)

    monkeypatch.setattr(package, "kernel", SimpleNamespace(compare=compare), raising=False)
    for name in ("f.replay.npz", "a_1.replay.npz", "a_2.predict.npz"):
        (file.parent / "kernel" / name).write_bytes(b"x")
    study = params.load(file, ["kernel_states=3", "kernel_cases=[a_*]"])
    folder = runs.prepare(study, tmp_path / "results")
    for _ in range(2):
        list(points.compute(study, folder, 1))
        runs.consolidate(study, folder)
    assert sorted(asked) == [("a_1.replay.npz", 3, 7), ("a_2.predict.npz", 3, 7)]
    replay, predict = runs.open_run(file, folder).kernel()
    assert replay[["case", "same_pfn"]].to_dict("records") == [{"case": "a_1", "same_pfn": 9}]
    assert predict["case"].tolist() == ["a_2"] and predict["kernel"].tolist() == [61.0]
    (file.parent / "kernel" / "a_2.truth.json").write_text("{}")
    done = {d.what: d.kept for d in points.compute(study, folder, 1)}
    assert [what for what, kept in done.items() if not kept] == ["kernel: a_2.predict"]


def test_damage_in_a_run_is_told(file, folder):
    (folder / "numbers.json").write_text("{")
    (folder / "samples.parquet").write_bytes(b"PAR1")
    run = runs.open_run(file, folder)
    with pytest.raises(UserError, match=r"numbers\.json: no valid JSON"):
        _ = run.numbers
    with pytest.raises(UserError, match=r"samples\.parquet: damaged"):
        run.samples()
    shutil.rmtree(folder / "points")
    (folder / "params.json").write_text('{"nme": 1}')
    with pytest.raises(UserError, match=r"params\.json: nme: unknown key"):
        runs.open_run(file, folder)


def test_an_outcome_of_another_shape_is_an_error():
    names = {name: "x" for name in ("arm", "proposal", "admission", "demand")}
    with pytest.raises(ValueError, match=r"'m': int64 \(2, 3\), but integers of shape \(2, 1\)"):
        tables.samples(names, ("s", "s"), ("a",), {"m": np.zeros((2, 3), np.int64)})
    with pytest.raises(ValueError, match="float64"):
        tables.samples(names, ("s",), ("a",), {"m": np.zeros((1, 1))})


SEEN = []


def _who() -> tuple[int, int]:
    """Which process this is, and how often it was asked."""
    SEEN.append(os.getpid())
    return os.getpid(), len(SEEN)


def test_workers_are_processes_that_start_afresh():
    assert _who()[0] == os.getpid()  # a copy of this process would have been asked once
    with points.workers(1) as pool:
        pid, asked = pool.submit(_who).result(timeout=300)
    assert pid != os.getpid() and asked == 1


@pytest.mark.parametrize("categories", [False, True])
def test_a_table_without_a_column_is_told(tmp_path, categories):
    names = {name: "x" for name in ("arm", "proposal", "admission", "demand")}
    whole = tables.samples(names, ("a", "b"), ("s",), {"m": np.array([[1], [2]])})
    tables.write(whole, tmp_path / "whole.parquet")
    found = tables.read(tmp_path / "whole.parquet", tables.SAMPLES, categories=categories)
    assert found.to_pylist() == whole.to_pylist()
    tables.write(whole.drop_columns(["metric"]), tmp_path / "less.parquet")
    with pytest.raises(UserError, match=r"found the columns arm, .* are expected"):
        tables.read(tmp_path / "less.parquet", tables.SAMPLES, categories=categories)
