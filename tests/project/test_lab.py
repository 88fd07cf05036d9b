"""JupyterLab as a user meets it: `secretjax lab`, a notebook opened, all cells run."""

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The address with its token, as the server printed it."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cells = [new_markdown_cell("# Start here"), new_code_cell("import secretjax; print(6 * 7)")]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(
        new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "00_start.ipynb"
    )
    private = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")}
    said = tmp_path / "said"
    with said.open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "secretjax.cli", "lab", "--no-browser", "--port", "8899"],
            cwd=tmp_path,
            env=kept | private,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield wait_for_address(said, server)
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for_address(said: Path, server: subprocess.Popen[bytes]) -> str:
    for _ in range(360):
        found = re.search(r"http://127\.0\.0\.1:\d+/lab\S*\?token=[0-9a-f]+", said.read_text())
        if found:
            return found.group()
        assert server.poll() is None, said.read_text()
        time.sleep(0.5)
    raise AssertionError(said.read_text())


def test_a_notebook_runs_and_nobody_else_is_asked(lab, chromium):
    from playwright.sync_api import TimeoutError

    base = lab.split("/lab")[0]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{base}/api/contents", timeout=30)
    wanted = []
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.on("request", lambda request: wanted.append(request.url))
    page.goto(lab, timeout=120_000)
    page.locator(".jp-Notebook").wait_for(timeout=120_000)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=120_000)
    assert page.locator(".jp-RenderedMarkdown h1").inner_text().startswith("Start here")
    answered = page.locator(".jp-OutputArea-output", has_text="42")
    for _ in range(6):
        # Lab draws the cell anew while it settles, and a key pressed meanwhile is lost.
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        with contextlib.suppress(TimeoutError):
            answered.wait_for(timeout=10_000)
            break
    assert answered.is_visible()
    assert page.locator(".jp-Dialog").count() == 0
    assert page.get_by_text("Jupyter news").count() == 0
    if folder := os.environ.get("SECRETJAX_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / "lab.png"))
    context.close()
    ours = (base, base.replace("http", "ws"), "data:", "blob:")
    assert [url for url in wanted if not url.startswith(ours)] == []
