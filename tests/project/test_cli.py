"""The command line: quick to answer, one sentence for what is wrong, exit 2."""

import errno
import inspect
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import secretjax
from secretjax import cli
from secretjax.errors import UserError

COMMANDS = (
    *("run", "replay", "predict", "capture", "probe", "age"),
    *("init", "list", "lab", "publish", "bench"),
)


def call(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "secretjax.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        **options,
    )


def stopped(capsys: pytest.CaptureFixture[str], monkeypatch, *arguments: str) -> tuple[int, str]:
    """Exit status and standard error of `main`, in this process."""
    monkeypatch.setattr(sys, "argv", ["secretjax", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert isinstance(end.value.code, int)
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(capsys, monkeypatch, command):
    monkeypatch.setattr(sys, "argv", ["secretjax", command, "--help"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert f"Example: secretjax {command} " in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_uses_options_that_exist(command):
    commands = {
        c.name or c.callback.__name__: c.callback for c in cli.app.registered_commands if c.callback
    }
    (example,) = re.findall(r"Example: secretjax (.*)", commands[command].__doc__ or "")
    known = {name.replace("_", "-") for name in inspect.signature(commands[command]).parameters}
    for option in re.findall(r"--[a-z-]+", example):
        assert option.strip("-").removeprefix("no-") in known | {"set"}, option


def test_help_answers_at_once_and_loads_nothing_heavy():
    best = min(timed_help() for _ in range(3))
    assert best < 1.0
    code = "import secretjax.cli, sys; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    heavy = {"jax", "numpy", "pandas", "seaborn", "matplotlib", "papermill", "sphinx", "scipy"}
    assert loaded & heavy == set()


def timed_help() -> float:
    """CPU seconds, which a busy machine does not stretch."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert call("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_the_version_is_the_package_version():
    assert call("--version").stdout == f"secretjax {secretjax.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("run", "x", "--job", "3"), "run: no such option '--job': did you mean '--jobs'?"),
        (("rum",), "secretjax: no such command 'rum': did you mean 'run'?"),
        (("run",), "secretjax run: missing argument 'PARAMS.yaml'"),
        (("replay", "case.npz"), "secretjax replay: missing option '--out'"),
        (("run", "x.yaml", "--jobs", "0"), "secretjax run: invalid value for '--jobs'"),
        (("list", "proposal"), "secretjax list: invalid value for 'kind': 'proposal' is not"),
        (("predict", "c.npz", "--out", "o", "--states", "many"), "invalid value for '--states'"),
    ],
)
def test_a_misspelt_call_ends_in_one_sentence(capsys, monkeypatch, arguments, found):
    code, said = stopped(capsys, monkeypatch, *arguments)
    assert code == 2
    assert found in said
    assert said.count("\n") == 1 and said.endswith("--help)\n")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("a.npz: not an\n  npz file"), "secretjax: a.npz: not an npz file\n"),
        (OSError(errno.ENOSPC, "No space left on device"), "secretjax: no space left on device\n"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.npz"),
            "secretjax: a.npz: no such file or directory\n",
        ),
        (OSError("Tried to read 4 bytes, got 0"), "secretjax: Tried to read 4 bytes, got 0\n"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(capsys, monkeypatch, error, sentence):
    def broken(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(cli, "_publish", broken)
    assert stopped(capsys, monkeypatch, "publish") == (2, sentence)


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch):
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(cli, "_publish", broken)
    monkeypatch.setattr(sys, "argv", ["secretjax", "publish"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_an_interrupt_is_no_traceback(capsys, monkeypatch):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_publish", interrupted)
    assert stopped(capsys, monkeypatch, "publish") == (
        130,
        "secretjax: stopped; what is done is kept\n",
    )


def test_a_full_disk_is_one_sentence(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "secretjax.cli", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "secretjax: no space left on device\n"


def test_a_reader_that_leaves_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "secretjax.cli", "--version"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.stderr == ""


def test_lab_needs_its_notebooks(capsys, monkeypatch, tmp_path):
    code, said = stopped(capsys, monkeypatch, "lab", str(tmp_path / "nowhere"))
    assert code == 2 and "no such folder" in said


def test_lab_stays_on_this_machine_with_a_token_and_asks_nobody_for_news(tmp_path, monkeypatch):
    from secretjax.show import lab

    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "10_b.ipynb").touch()
    (folder / "00_a.ipynb").touch()
    command = lab.command(folder, port=8890, browser=False)
    assert "--ServerApp.ip=127.0.0.1" in command
    assert "--LabApp.default_url=/lab/tree/notebooks/00_a.ipynb" in command
    assert f"--ServerApp.root_dir={tmp_path}" in command
    assert not any("token" in word or "password" in word for word in command)
    settings = Path(lab.environment()["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
    config = (settings / "labconfig" / "page_config.json").read_text()
    assert '"@jupyterlab/apputils-extension:announcements": true' in config


@pytest.mark.parametrize("kind", list(cli.Kind))
def test_list_names_what_is_there(capsys, monkeypatch, kind):
    monkeypatch.setattr(sys, "argv", ["secretjax", "list", kind.value])
    monkeypatch.chdir(Path(__file__).parents[2])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines and all(re.match(r"[\w.+]+ {2,}\S", line) for line in lines)


def test_run_hands_over_and_publishes(capsys, monkeypatch, tmp_path):
    from secretjax.study import sweep

    calls = []

    def pretend(*arguments: object) -> Path:
        calls.append(arguments)
        return tmp_path / "run"

    monkeypatch.setattr(sweep, "run", pretend)
    monkeypatch.setattr(cli, "_publish", lambda folder, site: calls.append((folder, site)))
    words = "run p.yaml --set a=1 --set b=2 --jobs 3 --site s --memory 1.5 --cluster tcp://a:1"
    monkeypatch.setattr(sys, "argv", ["secretjax", *words.split()])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert calls == [
        (Path("p.yaml"), ["a=1", "b=2"], 3, Path("results"), 1.5, "tcp://a:1"),
        (tmp_path / "run", Path("s")),
    ]
    assert capsys.readouterr().out == f"{tmp_path / 'run'}\n"
