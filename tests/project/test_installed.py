"""The built package, installed where no checkout is: what it holds, and what it can do."""

import errno
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from secretjax import project
from secretjax.errors import UserError

ROOT = Path(__file__).parents[2]


def ran(*command: object, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Without what would let it find this checkout."""
    own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=cwd, env=own | more, capture_output=True, text=True, check=False
    )


def built(source: Path, kind: str, out: Path) -> Path:
    done = ran(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", out, cwd=source)
    assert done.returncode == 0, done.stderr
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; the libraries are those of this one, without network."""
    folder = tmp_path_factory.mktemp("fresh")
    assert ran(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder).returncode == 0
    found = folder / "bin" / "python"
    command = ("uv", "pip", "install", "--python", found, "--offline", "--no-deps", wheel)
    done = ran(sys.executable, "-m", *command, cwd=folder)
    assert done.returncode == 0, done.stderr
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return found


def test_the_wheel_is_the_same_from_the_source_archive(wheel, tmp_path):
    archive = built(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    again = built(source, "wheel", tmp_path / "wheel")
    names = zipfile.ZipFile(wheel).namelist()
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(names)
    assert "secretjax/shipped/docs/architecture.md" in names
    assert wheel.stat().st_size < 20 << 20


def test_captures_of_this_machine_are_in_no_archive(tmp_path):
    """As a build backend sees a checkout in which somebody has captured a machine."""
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in ("secretjax/__init__.py", "params/smoke.yaml", "params/machines/mine.npz"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("__version__ = '1.0'\n")
    names = zipfile.ZipFile(built(tmp_path, "wheel", tmp_path / "w")).namelist()
    with tarfile.open(built(tmp_path, "sdist", tmp_path / "s")) as files:
        names += files.getnames()
    assert "secretjax/shipped/params/smoke.yaml" in names
    assert not [name for name in names if "mine.npz" in name]


def test_installed_it_fills_a_folder_to_work_in(python, tmp_path):
    where = "import secretjax; print(secretjax.__file__)"
    assert str(ROOT) not in ran(python, "-c", where, cwd=tmp_path).stdout
    command = python.with_name("secretjax")
    listed = ran(command, "list", "notebooks", cwd=tmp_path)
    assert "00_start_here" in listed.stdout, listed.stderr
    done = ran(command, "init", "study", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for part in project.PARTS:
        for file in (ROOT / part).rglob("*"):
            if file.is_file() and not set(file.parts) & set(project.LOCAL):
                assert (tmp_path / "study" / file.relative_to(ROOT)).read_bytes() == (
                    file.read_bytes()
                )
    assert "per_page" in ran(command, "list", "proposals", cwd=tmp_path / "study").stdout
    tried = "from secretjax.study import params as p; s = p.load(p.Path('params/smoke.yaml'))"
    tried += "; print(s.costs_file(), *s.start_files().values(), *s.notebook_files().values())"
    found = ran(python, "-c", tried, cwd=tmp_path / "study").stdout.split()
    assert len(found) > 10 and not [path for path in found if "site-packages" in path]
    again = ran(command, "init", "study", cwd=tmp_path)
    assert again.returncode == 2 and again.stderr.count("\n") == 1
    assert "study: holds notebooks and more, but only a new or an empty" in again.stderr


def test_an_empty_folder_is_filled_and_any_other_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project.init(Path("."))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebooks", "params", "results"]
    for name, told in (
        ("file", "file: is a file"),
        ("link", "link: a link to nothing"),
        ("half", "half: holds .init.part, so an earlier `secretjax init` was stopped there"),
    ):
        if name == "file":
            (tmp_path / name).touch()
        elif name == "link":
            (tmp_path / name).symlink_to("nowhere")
        else:
            (tmp_path / name / project.HALF / "params").mkdir(parents=True)
        with pytest.raises(UserError, match=told):
            project.init(Path(name))
    assert (tmp_path / "half" / project.HALF / "params").is_dir(), "nothing is removed unasked"


@pytest.mark.parametrize("there", [True, False])
def test_a_disk_that_fills_leaves_nothing(tmp_path, monkeypatch, there):
    target = tmp_path / "study"
    if there:
        target.mkdir()

    rename = Path.rename

    def full(self: Path, other: Path) -> Path:
        if self.name == "params":
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        project.init(target)
    assert target.is_dir() == there
    assert not there or list(target.iterdir()) == []
