"""Compiled programs are kept by default, where only their owner can change them."""

import os
import stat
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEY = "JAX_COMPILATION_CACHE_DIR"
SHOW = f"import os, secretjax; print(os.environ.get('{KEY}'))"


def said(program: str, cache: Path, **more: str) -> str:
    """What the program prints with its caches in `cache`."""
    clean = {name: value for name, value in os.environ.items() if name != KEY}
    environment = clean | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)} | more
    found = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    return found.strip()


def test_the_folder_is_the_users_own(tmp_path):
    folder = Path(said(SHOW, tmp_path))
    assert folder.parent == tmp_path / "secretjax"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert said(SHOW, tmp_path) == str(folder)


def test_without_a_cache_folder_of_its_own_it_is_in_the_home(tmp_path):
    folder = Path(said(SHOW, Path(""), XDG_CACHE_HOME="", HOME=str(tmp_path)))
    assert folder.parent == tmp_path / ".cache" / "secretjax"


def test_what_the_user_has_set_stays(tmp_path):
    assert said(SHOW, tmp_path, **{KEY: "mine"}) == "mine"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_others_can_write_is_not_used(tmp_path):
    Path(said(SHOW, tmp_path)).chmod(0o777)
    assert said(SHOW, tmp_path) == "None"


def test_no_folder_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    assert said(SHOW, tmp_path / "file") == "None"


def test_a_compiled_program_is_kept_there(tmp_path):
    program = "import secretjax, jax; print(jax.jit(lambda x: x * 3)(5))"
    at_once = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PLATFORMS": "cpu"}
    assert said(program, tmp_path, **at_once) == "15"
    assert list(tmp_path.glob("secretjax/compiled-*/jit*"))
