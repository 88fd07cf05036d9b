"""The static site of one run, built beside the old one and then put in its place.

A build that fails leaves the site that was there. Pages ask no other host for anything: the
theme, the search and the mathematics are copied in, and `foreign` checks every page.
"""

import contextlib
import ctypes
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import psutil

from secretjax.errors import UserError
from secretjax.show import policy, site_source

MARK = ".secretjax-site"
AT_FDCWD, RENAME_EXCHANGE = -100, 2
LOADS = {"src", "poster", "data", "background"}
SETS = {"srcset", "imagesrcset"}  # of several addresses, each with its size
OF_A_SET = re.compile(r"(?:^|\s)(?:[\d.]+[wxh])?,*((?:https?:)?//\S+)", re.IGNORECASE)
ADDRESS = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)
REFRESH = re.compile(r"^[\s\d.]*[;,]?\s*(?:url\s*=)?\s*['\"]?", re.IGNORECASE)
CSS_ADDRESS = re.compile(r"(?:url\(\s*|@import\s+)['\"]?\s*(?:https?:)?//[^'\")\s]+", re.IGNORECASE)


def publish(results: Path, out: Path) -> Path:
    """Builds the site of `results` in `out` and returns `out`.

    `results` is a run folder or a folder of them, of which the newest is taken. Raises
    `UserError` if there is no run, if `out` holds something else, or if the build fails.
    """
    run = run_folder(Path(results))
    out = Path(out)
    _refuse_a_folder_that_is_not_ours(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(out) as scratch:
        source, built = scratch / "source", scratch / "site"
        site_source.write(run, source)
        _sphinx(source, built, scratch)
        if found := list(foreign(built)):
            page, address = found[0]
            raise UserError(
                f"{page}: would load {address}, but a page may load only what the site holds; "
                "let the notebook show a static figure instead"
            )
        policy.seal(built)
        (built / MARK).write_text(f"{run.name}\n")
        _swap(built, out, scratch / "old")
    return out


def run_folder(results: Path) -> Path:
    """`results` itself if it is a run folder, else the newest run folder below it."""
    if (results / "manifest.json").is_file():
        return results
    found = [
        manifest.parent
        for depth in ("*", "*/*")
        for manifest in results.glob(f"{depth}/manifest.json")
    ]
    if not found:
        raise UserError(
            f"{results}: no finished run here, but a folder with a manifest.json is needed; "
            "run `make results` first or name the run folder"
        )
    return max(found, key=lambda folder: (folder / "manifest.json").stat().st_mtime_ns)


def notebook_title(file: Path) -> str:
    """The first heading of a notebook, or its file name."""
    return site_source.title(site_source.read_notebook(file), file)


def foreign(site: Path) -> Iterator[tuple[str, str]]:
    """(page, address) of everything that a page would load from another host."""
    for file in sorted(site.rglob("*")):
        name = file.relative_to(site).as_posix()
        if file.suffix == ".html":
            for address in _loaded(file.read_text(encoding="utf-8")):
                yield name, address
        elif file.suffix == ".css":
            for match in CSS_ADDRESS.finditer(file.read_text(encoding="utf-8", errors="replace")):
                yield name, match.group()


class _Loads(HTMLParser):
    """Collects the addresses that a browser fetches unasked; links to click do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag == "meta" and given.get("http-equiv", "").strip().lower() == "refresh":
            address = REFRESH.sub("", given.get("content", ""))
            self.found += [address] if ADDRESS.match(address) else []
        for key, value in attrs:
            if key in SETS:
                self.found += OF_A_SET.findall(value or "")
            fetched = key in LOADS or (tag in ("link", "image", "use") and key.endswith("href"))
            if value and fetched and ADDRESS.match(value):
                self.found.append(value.strip())
            if key == "style" and value:
                self.found += CSS_ADDRESS.findall(value)


def _loaded(page: str) -> list[str]:
    parser = _Loads()
    parser.feed(page)
    styles = "".join(re.findall(r"<style[^>]*>(.*?)</style>", page, re.DOTALL | re.IGNORECASE))
    return parser.found + CSS_ADDRESS.findall(styles)


@contextlib.contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder on the same disk as `out`, gone afterwards; so are those that killed ones left."""
    begin = f".{out.name}."
    for left in out.parent.glob(f"{glob.escape(begin)}*.part"):
        maker = left.name.removeprefix(begin).partition(".")[0]
        if maker.isdecimal() and not psutil.pid_exists(int(maker)):
            shutil.rmtree(left, ignore_errors=True)
    own = f"{begin}{os.getpid()}."
    folder = Path(tempfile.mkdtemp(prefix=own, suffix=".part", dir=out.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_a_folder_that_is_not_ours(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out}: is no folder, but the site is one; name another with --site")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise UserError(
            f"{out}: holds files that are no site of secretjax, and the site would replace them; "
            "name another folder with --site"
        )


def _sphinx(source: Path, built: Path, scratch: Path) -> None:
    log = scratch / "warnings"
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-j", "1"]
    command += ["-d", str(scratch / "doctrees"), "-w", str(log), str(source), str(built)]
    done = subprocess.run(
        command,
        env=os.environ | {"LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = log.read_text() if log.exists() else ""
    said = said.replace(f"{source}{os.sep}", "").strip()
    if done.returncode != 0 or not (built / "index.html").is_file():
        last = (said or done.stderr.strip() or "no output").splitlines()[-1]
        raise UserError(f"the site could not be built, the old one is untouched: {last}")
    if said:
        print(said, file=sys.stderr)


def _swap(built: Path, out: Path, old: Path) -> None:
    """`built` takes the place of `out`; if that fails, `out` is as it was."""
    if not out.exists():
        os.rename(built, out)
    elif _exchange(built, out):
        os.rename(built, old)
    else:
        os.rename(out, old)
        try:
            os.rename(built, out)
        except OSError:
            os.rename(old, out)
            raise


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two folders in one step where the system can (Linux: renameat2(2))."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    paths = os.fsencode(one), os.fsencode(other)
    return rename(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0
