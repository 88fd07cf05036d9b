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

from tests import fake_run

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@contextlib.contextmanager
def serving(tmp_path: Path, cells: list) -> Iterator[str]:
    """The address with its token, as the server printed it; a notebook of these cells is open."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
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


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    cells = [new_markdown_cell("# Start here"), new_code_cell("import secretjax; print(6 * 7)")]
    with serving(tmp_path, cells) as address:
        yield address


def run_cell(page, number: int, answered) -> None:
    """Runs a code cell until what it answers is there."""
    from playwright.sync_api import TimeoutError

    for _ in range(6):
        # Lab draws the cell anew while it settles, and a key pressed meanwhile is lost.
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").nth(number).click()
        page.keyboard.press("Control+Enter")
        with contextlib.suppress(TimeoutError):
            answered.wait_for(timeout=10_000)
            break
    assert answered.is_visible()


def opened(chromium, address: str, wanted: list):
    """A page with the notebook, its kernel idle and reached. wanted: gets every address asked for.

    Lab's own sign says idle before there is a kernel: a cell run then asks which one to take.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 1400})
    page = context.new_page()
    page.on("request", lambda request: wanted.append(request.url))
    page.goto(address, timeout=120_000)
    page.locator(".jp-Notebook").wait_for(timeout=120_000)
    sessions = f"{address.split('/lab')[0]}/api/sessions"
    for _ in range(240):
        kernels = [session["kernel"] for session in page.request.get(sessions).json()]
        if any(k["execution_state"] == "idle" and k["connections"] for k in kernels):
            break
        page.wait_for_timeout(500)
    else:
        raise AssertionError(kernels)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=120_000)
    return page


def elsewhere(address: str, wanted: list[str]) -> list[str]:
    """What was asked from anybody but the server."""
    base = address.split("/lab")[0]
    assert wanted, "the browser was used"
    return [
        u for u in wanted if not u.startswith((base, base.replace("http", "ws"), "data:", "blob:"))
    ]


def test_a_slider_redraws_the_figure_and_a_click_on_the_map_comes_back(
    tmp_path, tmp_path_factory, chromium
):
    """The explorer of notebook 05, on the model itself."""
    study = tmp_path_factory.mktemp("study")
    file, run = fake_run.make(study, ("keep_mapped", "per_page"), states=2, with_kernel=False)
    look = [
        "from secretjax.show import notebook",
        f"explorer = notebook.open({str(file)!r}, {str(run)!r}).explorer()",
        "explorer",
    ]
    cells = [new_code_cell("\n".join(look)), new_code_cell("print('picked', explorer.picked)")]
    wanted: list[str] = []
    with serving(tmp_path, cells) as address:
        page = opened(chromium, address, wanted)
        canvas = page.locator("canvas.secretjax-map")
        run_cell(page, 0, page.locator(".jp-InputPrompt", has_text="[*]").or_(canvas).first)
        canvas.wait_for(timeout=240_000)  # the model is compiled first
        figure = page.locator(".jp-OutputArea-output img").first
        figure.wait_for(timeout=60_000)
        before, drawn = figure.get_attribute("src"), canvas.evaluate("c => c.toDataURL()")
        page.locator(".widget-slider .noUi-handle").first.press("ArrowLeft")
        page.wait_for_function(
            "was => document.querySelector('.jp-OutputArea-output img')?.src !== was",
            arg=before,
            timeout=60_000,
        )
        assert canvas.evaluate("c => c.toDataURL()") != drawn
        box = canvas.bounding_box()
        canvas.click(position={"x": box["width"] * 0.25, "y": box["height"] * 0.5})
        page.get_by_text(re.compile(r"pfn [\d,]+ in pageblock")).wait_for(timeout=30_000)
        told = page.locator(".jp-OutputArea-output", has_text="'pageblock'")
        run_cell(page, 1, told)
        pfn, block = (int(n) for n in re.findall(r"'(?:pfn|pageblock)': (\d+)", told.inner_text()))
        assert pfn >> 9 == block and abs(pfn / (1 << 17) - 0.5) < 0.01
        if folder := os.environ.get("SECRETJAX_SCREENSHOTS"):
            page.screenshot(path=str(Path(folder) / "explorer.png"))
        page.context.close()
        assert elsewhere(address, wanted) == []


def test_a_notebook_runs_and_nobody_else_is_asked(lab, chromium):
    base = lab.split("/lab")[0]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{base}/api/contents", timeout=30)
    wanted: list[str] = []
    page = opened(chromium, lab, wanted)
    assert page.locator(".jp-RenderedMarkdown h1").inner_text().startswith("Start here")
    run_cell(page, 0, page.locator(".jp-OutputArea-output", has_text="42"))
    assert page.locator(".jp-Dialog").count() == 0
    assert page.get_by_text("Jupyter news").count() == 0
    if folder := os.environ.get("SECRETJAX_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / "lab.png"))
    page.context.close()
    assert elsewhere(lab, wanted) == []
