"""JupyterLab as the suite starts it: on this machine only, quiet about the outside world."""

import os
import sys
from pathlib import Path
from typing import NoReturn

CONFIG = Path(__file__).with_name("lab_config")


def command(notebooks: Path, *, port: int, browser: bool) -> list[str]:
    """The server's command line; the token stays on, Jupyter draws it anew at each start."""
    folder = notebooks.resolve()
    first = min((file.name for file in folder.glob("*.ipynb")), default="")
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        f"--ServerApp.open_browser={browser}",
        f"--ServerApp.root_dir={folder.parent}",
        f"--LabApp.default_url=/lab/tree/{folder.name}/{first}".rstrip("/"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        "--LabApp.extension_manager=readonly",
    ] + (["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])


def environment() -> dict[str, str]:
    """Ours, with the settings in `lab_config/` before the user's own."""
    paths = [str(CONFIG), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    return os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}


def serve(notebooks: Path, *, port: int, browser: bool) -> NoReturn:
    """Becomes the server, so that whoever stops us stops it."""
    os.execve(sys.executable, command(notebooks, port=port, browser=browser), environment())
