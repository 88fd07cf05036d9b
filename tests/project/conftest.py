"""A run folder as a study leaves it, small: what the site is built from."""

import base64
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jax.numpy as jnp
import matplotlib
import nbformat
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from secretjax.mm.state import Op
from secretjax.proposals.base import Proposal, Result, Turn, When, choose_command, command, one_page
from secretjax.show import catalogue, site
from secretjax.study import runs, tables
from tests import fake_run

ROOT = Path(__file__).parents[2]
WIDE = "<table class='dataframe'><tr>" + "<td>1234567890</td>" * 40 + "</tr></table>"
LONG = "pmd_pool+reservation/" * 40


def drawn(kind: str) -> bytes:
    with matplotlib.rc_context({"svg.hashsalt": "x"}):
        figure = Figure(figsize=(6, 3), layout="constrained")
        axes = figure.subplots()
        axes.plot([5, 10, 20, 30], [0, 3, 9, 20], marker="o", label="per_page")
        axes.set(xlabel="secret memory, % of memory", ylabel="2 MiB entries split")
        axes.legend()
        file = io.BytesIO()
        figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()


def executed() -> nbformat.NotebookNode:
    def shown(data: dict, **more: object) -> nbformat.NotebookNode:
        return new_output("display_data", data=data, **more)

    parameters = new_code_cell("results_dir = 'not/to/be/shown'")
    parameters.metadata["tags"] = ["parameters"]
    png = base64.b64encode(drawn("png")).decode()
    figures = [shown({"image/png": png, "text/plain": "<Figure>"})]
    figures += [shown({"image/svg+xml": drawn("svg").decode(), "text/plain": "<Figure>"})]
    table = [shown({"text/html": WIDE, "text/plain": "table"})]
    noise = [new_output("stream", name="stderr", text="100%|####| 3/3\n")]
    live = [
        shown(
            {
                "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
                "text/plain": "IntSlider(value=3)",
            }
        )
    ]
    return new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            new_markdown_cell("# Does the model match the kernel?\n\nIt sees a *zebrafinch*."),
            parameters,
            new_code_cell("study.figure('splits')", outputs=figures, execution_count=1),
            new_markdown_cell("## How much\n\nWith $x^2$ in it, and\n\n$$\\sum_i p_i$$"),
            new_code_cell("study.table()", outputs=table + noise + live, execution_count=2),
            new_markdown_cell(f"A path: `{LONG}`"),
        ],
    )


def make_run(folder: Path, name: str = "0123abcd") -> Path:
    run = folder / "tiny" / name
    (run / "notebooks").mkdir(parents=True)
    (run / "figures").mkdir()
    nbformat.write(executed(), run / "notebooks" / "10_match.ipynb")
    (run / "figures" / "answer.svg").write_bytes(drawn("svg"))
    claim = {"id": "H1", "question": "Is it <so>?", "answer": "in part"}
    claim |= {"why": "`per_page` is lower"}
    claims = [claim | {"notebook": name} for name in ("10_match", "99_absent")]
    (run / "figures" / "claims.json").write_text(json.dumps({"claims": claims}))
    arms = [{"name": "per_page", "proposal": "per_page"}]
    arms += [{"name": "balloon+reservation", "proposal": "balloon", "admission": "reservation"}]
    manifest = {
        "question": "Who is refused, and when?",
        "params": {"seed": 7, "states": 4, "arms": arms},
        "versions": {"jax": "0.10.2"},
        "run_id": name,
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    split = {"value": 20.25, "low": 18, "high": 22.5, "unit": "entries", "label": "x: 2 MiB split"}
    numbers = {
        "growth.grow_30.balloon+reservation.split_2m": split | {"value": 0, "low": 0, "high": 0},
        "growth.grow_30.per_page.split_2m": split,
        "growth.grow_30.per_page.cost_ns": {"value": 1234567.5, "unit": "ns"},
        "flips_with": {"value": None, "unit": "% <of memory>"},
        "states": 4,
    }
    (run / "numbers.json").write_text(json.dumps(numbers))
    for rows, file in zip(fake_run.compared(), runs.KERNEL_FILES, strict=True):
        tables.write(rows, run / file)
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "results")


@dataclass(frozen=True)
class Balloon(Proposal):
    """Secret pages come from balloons, see `balloon <b>`.

    It costs $2 to $3, in {braces} and [brackets].

    Not modelled: the <wind>.
    """

    name: ClassVar[str] = "balloon"
    label: ClassVar[str] = "Balloons & pages"
    source: ClassVar[str] = "a thread of 2031"
    slot: ClassVar[int] = 8
    gas_pages: int = 512
    hot: bool = False

    def command(self, own, ask):
        """A fault allocates; a release burns the page, once more if it is hot."""
        burns = (ask.when == When.RELEASE) & (own.stage <= int(self.hot))
        give = (burns, command(Op.PUT, handle=ask.handle))
        return choose_command([(ask.when == When.FAULT, one_page(ask)), give])

    def advance(self, own, ask, answer):
        again = (ask.when == When.RELEASE) & (own.stage < int(self.hot))
        refused = (ask.when == When.FAULT) & (answer < 0)
        result = jnp.where(refused, int(Result.REFUSED), int(Result.DONE))
        stage = jnp.where(again, own.stage + 1, own.stage)
        return Turn(own._replace(stage=stage), jnp.where(again, int(Result.ON), result))


def only_balloons(kind: str) -> list[catalogue.Entry]:
    return list(catalogue._unfold("balloon", Balloon)) if kind == "proposals" else []


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "entries", only_balloons)


@pytest.fixture(scope="session")
def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once, with a made-up proposal: what it shows is nobody's special case."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "entries", only_balloons)
        return site.publish(make_run(folder / "results"), folder / "site")


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A headless browser; without one the test is skipped, but never where CI is set."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None and not os.environ.get("CI"):
        pytest.skip("no Chromium here; `apt-get install chromium` lets these tests run")
    assert path is not None, "CI must have a Chromium: see .ci/run"
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()
