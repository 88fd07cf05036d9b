"""A study from params to executed notebooks, with an engine that answers at once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nbformat.v4 import new_output

from secretjax.errors import UserError
from secretjax.study import executed, sweep
from tests import study_fakes
from tests.study_fakes import tree

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("calls")


def test_a_study_ends_in_executed_notebooks(reference):
    file, run = reference
    assert run.parent == file.parents[1] / "results" / "tiny"
    told = json.loads((run / "manifest.json").read_text())
    assert set(told["files"]) >= {"figures/answer.svg", "notebooks/10_small.ipynb"}
    assert len([name for name in told["files"] if name.startswith("points/")]) == 4
    assert "10_small.ipynb" in (run / "log" / "10_small.log").read_text()


def test_executed_notebooks_hold_nothing_that_changes(reference):
    _, run = reference
    text = (run / "notebooks" / "10_small.ipynb").read_text()
    told = json.loads(text)
    outputs = [o for cell in told["cells"] for o in cell.get("outputs", [])]
    printed = [o for o in outputs if o["output_type"] == "stream"]
    assert ["".join(o["text"]) for o in printed] == [f"results/tiny/{run.name} .venv\n28\n"]
    assert "<object at 0x0>" in text
    assert str(ROOT) not in text and str(run.parents[2]) not in text and sys.prefix not in text
    for word in ('"papermill"', "iopub", "start_time", "duration"):
        assert word not in text
    # The process number went to stderr, which is in the log only.
    assert '"name": "stderr"' not in text
    assert "stderr: " in (run / "log" / "10_small.log").read_text()


def test_elsewhere_and_again_it_gives_the_same_bytes(reference, tmp_path, calls, capsys):
    _, run = reference
    file = study_fakes.make_study(tmp_path / "other")
    other = sweep.run(file, [], 1, tmp_path / "out")
    assert tree(other) == tree(run)
    assert len(calls) == 4
    times = {f: f.stat().st_mtime_ns for f in (other / "notebooks").iterdir()}
    capsys.readouterr()
    assert sweep.run(file, [], 1, tmp_path / "out") == other
    assert tree(other) == tree(run)
    assert len(calls) == 4
    assert times == {f: f.stat().st_mtime_ns for f in (other / "notebooks").iterdir()}
    assert "0 of 5 pieces of work done now, the others kept" in capsys.readouterr().err


def test_what_was_removed_or_changed_comes_back(reference, tmp_path):
    _, run = reference
    file = study_fakes.make_study(tmp_path)
    other = sweep.run(file, [], 2, tmp_path / "results")
    (other / "figures" / "answer.svg").write_text("painted over")
    (other / "figures" / "stale.svg").write_text("from an older notebook")
    (other / "samples.parquet").unlink()
    next((other / "points").iterdir()).write_bytes(b"PAR1")
    sweep.run(file, [], 2, tmp_path / "results")
    assert tree(other) == tree(run)


def test_a_failing_cell_is_one_sentence_and_the_rest_is_kept(tmp_path, calls):
    file = study_fakes.make_study(tmp_path, study_fakes.small_notebook("x = 1\nx / 0"))
    results = tmp_path / "results"
    with pytest.raises(UserError) as caught:
        sweep.run(file, ["seed=3"], 2, results)
    said = str(caught.value)
    assert "\n" not in said
    assert "10_small.ipynb: cell 3 (x = 1) failed with ZeroDivisionError: division by zero" in said
    assert said.endswith(f"secretjax run {file} --set seed=3 --jobs 2 --results {results}")
    run = next((results / "tiny").iterdir())
    assert not (run / "manifest.json").exists() and not list((run / "notebooks").iterdir())
    raw = json.loads((run / "log" / "10_small.ipynb").read_text())
    assert "ZeroDivisionError" in json.dumps(raw["cells"])
    # Once the notebook is mended only the notebook runs.
    made = len(calls)
    (tmp_path / "notebooks" / "10_small.ipynb").unlink()
    mended = study_fakes.make_study(tmp_path / "mended")
    os.replace(
        mended.parents[1] / "notebooks" / "10_small.ipynb",
        tmp_path / "notebooks" / "10_small.ipynb",
    )
    assert sweep.run(file, ["seed=3"], 2, results) == run
    assert len(calls) == made and (run / "manifest.json").exists()


def test_a_dead_kernel_is_told(tmp_path):
    file = study_fakes.make_study(tmp_path, study_fakes.small_notebook("import os", "os._exit(9)"))
    with pytest.raises(UserError, match=r"10_small\.ipynb: its kernel ended \("):
        sweep.run(file, [], 1, tmp_path / "results")


def test_parameters_of_a_notebook_are_exact(tmp_path):
    notebook = study_fakes.small_notebook("1")
    notebook.cells[1].source += "\nresult_dir = 1"
    file = study_fakes.make_study(tmp_path, notebook)
    with pytest.raises(UserError, match="sets params_file, result_dir, results_dir, but exactly"):
        sweep.run(file, [], 1, tmp_path / "results")


def test_a_point_that_the_model_refuses_is_named(tmp_path, monkeypatch):
    from secretjax import engine

    def refuse(*_, **__):
        raise UserError("an allocation found no room")

    monkeypatch.setattr(engine, "simulate", refuse)
    file = study_fakes.make_study(tmp_path)
    with pytest.raises(UserError, match=r"^(growth|small_files): .*: an allocation found no room$"):
        sweep.run(file, [], 2, tmp_path / "results")


def test_the_environment_is_as_before(reference, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    monkeypatch.delenv("NPROC", raising=False)
    before = dict(os.environ)
    with sweep._environment():
        assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine"
        assert os.environ["NPROC"] == "1"
    assert dict(os.environ) == before


def test_random_names_of_tables_and_objects_are_replaced():
    def noisy(name: str, number: str) -> dict:
        html = f"<style>#T_{name}_row0 {{}}</style><table id='T_{name}' title=\"T_{name}\">"
        data = {"text/html": html, "text/plain": f"<A at 0x{number}>"}
        notebook = study_fakes.small_notebook("1")
        notebook.cells[2].outputs = [new_output("display_data", data=data)]
        return executed.clean(notebook, {})

    assert noisy("1a2b3", "7f00aa11bb22") == noisy("ffff0", "7f00aa11bb33")


def test_paths_are_replaced_in_words_and_not_within_pictures():
    words = "/spot/x, '/spot', file:///spot/y, (/spot)"
    picture = "iVBORw0KGgo/spotq9o/spot+Q/spotAA=="
    page = f"<img src='data:image/gif;base64,{picture}'>"
    notebook = study_fakes.small_notebook("1")
    data = {"text/plain": words, "image/png": picture, "text/html": page}
    notebook.cells[2].outputs = [new_output("display_data", data=data)]
    found = executed.clean(notebook, {"/spot": "~"})["cells"][2]["outputs"][0]["data"]
    text = {kind: "".join(lines) for kind, lines in found.items()}
    assert text["text/plain"] == "~/x, '~', file://~/y, (~)"
    assert text["image/png"] == picture and text["text/html"] == page


SCRIPT = """
import sys
from pathlib import Path
from secretjax.study import sweep
from tests import study_fakes
from tests.study_fakes import tree

study_fakes.install(setattr, slowness=0.3, frozen=True)
sweep.run(Path(sys.argv[1]), [], 1, Path(sys.argv[2]))
"""


def killed_when(there: str, file: Path, results: Path) -> bool:
    """Starts the study and kills it as soon as the glob `there` finds something."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(file), str(results)]
    before = set(results.glob(there))
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if set(results.glob(there)) - before:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return True
            time.sleep(0.002)
        assert process.returncode == 0
        return False


def test_killed_at_any_moment_and_run_again_it_gives_the_same_bytes(reference, tmp_path, calls):
    _, run = reference
    file, results = study_fakes.make_study(tmp_path), tmp_path / "results"
    places = [
        "tiny/*/points/*.parquet",  # after the first point
        "tiny/*/samples.parquet",  # before the notebooks
        "tiny/*/log/10_small.ipynb",  # while a notebook is executed
    ]
    assert all([killed_when(place, file, results) for place in places])
    assert not list(results.glob("tiny/*/manifest.json"))
    other = sweep.run(file, [], 2, results)
    assert tree(other) == tree(run)
    assert not [f for f in other.rglob(".*.part")]
