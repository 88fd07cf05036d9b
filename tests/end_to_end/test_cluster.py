"""Points on the workers of a Dask scheduler: the same bytes, whoever computes and whoever dies."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from secretjax.errors import UserError
from secretjax.study import cluster, params, points
from tests import study_fakes

ROOT = Path(__file__).parents[2]
# A process of its own: the scheduler's threads and sockets outlive their close() for a moment.
SCRIPT = """
import os, signal, sys, threading, time
from pathlib import Path
from distributed import Client, LocalCluster, WorkerPlugin
from secretjax.errors import UserError
from secretjax.study import cluster, sweep
from tests import study_fakes

class Fakes(WorkerPlugin):
    name = "fakes"
    def setup(self, worker):
        study_fakes.install(setattr, slowness=0.5, frozen=True)

def victim(worker, point):
    '''Ends a worker by SIGKILL as soon as a point is there, while it computes another.'''
    def end():
        while not list(point.glob("tiny/*/points/*.parquet")):
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(worker.pid, signal.SIGKILL)
        print("killed", flush=True)
    threading.Thread(target=end, daemon=True).start()

if __name__ == "__main__":
    file, results = Path(sys.argv[1]), Path(sys.argv[2])
    study_fakes.install(setattr, frozen=True)
    how = dict(n_workers=2, threads_per_worker=1, memory_limit="4GiB", dashboard_address=None)
    with LocalCluster(**how) as local, Client(local, set_as_default=False) as client:
        client.register_plugin(Fakes())
        victim(local.workers[0], results)
        sweep.run(file, [], 1, results, cluster=local.scheduler_address)
        cluster._source = lambda: "another"  # of the command; the workers have theirs
        try:
            sweep.run(file, ["seed=8"], 1, results / "8", cluster=local.scheduler_address)
        except UserError as e:
            print("UserError:", e)
"""


def tree(results: Path) -> dict[str, str]:
    (run,) = (results / "tiny").iterdir()
    return study_fakes.tree(run)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The study on this machine: its params file and what came out."""
    from secretjax.study import sweep

    folder = tmp_path_factory.mktemp("reference")
    file = study_fakes.make_study(folder)
    with pytest.MonkeyPatch.context() as patch:
        study_fakes.install(partial(patch.setattr, raising=False), frozen=True)
        sweep.run(file, [], 1, folder / "results")
    return file, tree(folder / "results")


def test_workers_give_the_same_bytes_one_of_them_is_killed_and_other_sources_are_refused(
    reference, tmp_path
):
    file, wanted = reference
    command = [sys.executable, "-c", SCRIPT, str(file), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    killed, refused = done.stdout.splitlines()
    assert killed == "killed"
    assert tree(tmp_path) == wanted
    assert refused.startswith("UserError: ") and "another version of secretjax" in refused


def test_the_job_script_of_the_document_is_what_dask_jobqueue_makes():
    text = (ROOT / "docs" / "cluster.md").read_text()
    code, told = (
        re.findall(rf"(?ms)^```{what}\n(.*?)^```", text)[0] for what in ("python", "bash")
    )
    assert code.count("8786") == 1 and code.endswith("cluster.adapt(minimum=0, maximum=64)\n")
    code = code.replace("8786", "0").rpartition("cluster.adapt")[0]
    code += "print(cluster.job_script(), flush=True)\ncluster.close()"
    made = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT)
    made = made.replace(sys.executable, "python")
    made = re.sub(r"tcp://[0-9.]+:\d+", "tcp://node1:8786", made)
    assert made.strip() == told.strip()


@pytest.fixture
def study(tmp_path, monkeypatch):
    study_fakes.install(partial(monkeypatch.setattr, raising=False), frozen=True)
    return params.load(study_fakes.make_study(tmp_path))


def test_no_scheduler_is_one_sentence(study, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(UserError, match=r"no Dask scheduler answers there"):
            list(points.compute(study, tmp_path, 1, scheduler=address))


def test_without_the_library_it_says_what_to_install(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"secretjax\[cluster\]"):
        list(points.compute(study, tmp_path, 1, scheduler="tcp://127.0.0.1:9"))
