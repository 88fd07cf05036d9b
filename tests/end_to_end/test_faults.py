"""Disks that fill or cannot be written, clocks that jump, workers and builds that are killed."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from secretjax import files
from secretjax.errors import UserError
from secretjax.show import site
from secretjax.study import executed, points, runs, sweep
from tests import study_fakes
from tests.project.conftest import make_run
from tests.study_fakes import tree

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("calls")


@pytest.fixture
def expected(reference):
    """The files of the study when nothing goes wrong."""
    return tree(reference[1])


@pytest.fixture
def disk(tmp_path):
    """A disk of 100 KiB that can be grown or made read-only: `disk("size=9m")`. Needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if os.geteuid() or not shutil.which("mount") or not mount("size=100k"):
        pytest.skip("only root can mount a small disk")
    yield folder, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", "-l", str(folder)], check=True)


def halves(folder: Path) -> list[Path]:
    return [f for f in folder.rglob("*") if f.name.endswith(".part")]


def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(disk, tmp_path, expected):
    results, again = disk
    file = study_fakes.make_study(tmp_path)
    fill = results / "fill"
    with open(fill, "wb", buffering=0) as other, pytest.raises(OSError, match="No space left"):
        while True:
            other.write(b"x" * 4096)
    for left in (8, 40, 56):  # KiB: not even params.json; some points; not the notebook
        os.truncate(fill, (100 - left) * 1024)
        with pytest.raises((OSError, UserError)) as error:
            sweep.run(file, [], 1, results)
        assert getattr(error.value, "errno", errno.ENOSPC) == errno.ENOSPC
        assert halves(results) == [] and not list(results.glob("tiny/*/manifest.json"))
    assert again("size=9m")
    assert tree(sweep.run(file, [], 2, results)) == expected


@pytest.mark.parametrize("place", [0, 1, 3, 5, 7])
def test_wherever_the_disk_fills_nothing_is_half_written(place, tmp_path, monkeypatch, expected):
    file, results, count = study_fakes.make_study(tmp_path), tmp_path / "results", iter(range(99))
    sync = os.fsync

    def full(handle: int) -> None:
        if next(count) >= place:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises((OSError, UserError), match="No space left"):
            sweep.run(file, [], 1, results)
    assert halves(results) == [] and not list(results.glob("tiny/*/manifest.json"))
    assert tree(sweep.run(file, [], 1, results)) == expected


def test_results_that_cannot_be_written_can_be_read(disk, tmp_path, expected):
    results, again = disk
    file = study_fakes.make_study(tmp_path)
    assert again("size=9m")
    run = sweep.run(file, [], 2, results)
    assert again("ro,size=9m")
    with pytest.raises(OSError, match="Read-only file system"):
        sweep.run(file, [], 1, results)
    assert tree(run) == expected
    assert len(runs.open_run(file, run).samples())


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch, calls, expected):
    file, results = study_fakes.make_study(tmp_path), tmp_path / "results"
    now, jumps = time.time, iter(range(10**6))
    far = executed.STARTS / 3  # so that no kernel seems to be late
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + far * (-1) ** next(jumps))
        run = sweep.run(file, [], 2, results)
    assert tree(run) == expected
    made = len(calls)
    for moment in (0, 4_000_000_000):
        for path in [file, *run.rglob("*")]:
            os.utime(path, (moment, moment))
        assert tree(sweep.run(file, [], 2, results)) == expected
    assert len(calls) == made, "times of files say nothing of what is in them"


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX has threads by then, or not
def test_a_killed_worker_is_told_and_what_is_done_is_kept(tmp_path, monkeypatch, expected):
    file, results = study_fakes.make_study(tmp_path), tmp_path / "results"
    with monkeypatch.context() as patch:
        patch.setattr(points, "workers", ProcessPoolExecutor)  # by fork: the fakes come along
        patch.setattr(points, "timed", die)
        with pytest.raises(UserError) as error:
            sweep.run(file, [], 1, results)
    assert "\n" not in str(error.value) and "memory" in str(error.value)
    assert halves(results) == []
    assert tree(sweep.run(file, [], 2, results)) == expected


PUBLISH = "import sys; from pathlib import Path; from secretjax.show import site; "
PUBLISH += "site.publish(Path(sys.argv[1]), Path(sys.argv[2]))"


def test_a_killed_publish_leaves_the_old_site_and_the_next_cleans_up(tmp_path, monkeypatch):
    run, out = make_run(tmp_path / "results"), tmp_path / "site"
    out.mkdir()
    (out / site.MARK).write_text("old\n")
    (out / "index.html").write_text("the old one")
    command = [sys.executable, "-c", PUBLISH, str(run), str(out)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}) as process:
        while process.poll() is None and not list(tmp_path.glob(".site.*.part/source/conf.py")):
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it was still at it"
    assert (out / "index.html").read_text() == "the old one"
    (left,) = tmp_path.glob(".site.*.part")
    others = tmp_path / f".site.{os.getpid()}.x.part"
    others.mkdir()
    monkeypatch.setattr(site.site_source, "write", lambda run, source: source.mkdir())
    with pytest.raises(UserError, match="could not be built, the old one is untouched"):
        site.publish(run, out)
    assert not left.exists() and others.is_dir(), "that of a process that lives stays"
    assert (out / "index.html").read_text() == "the old one"
