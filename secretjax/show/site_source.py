"""The Sphinx source of the site: notebooks as they were executed, and pages made from data."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import nbformat

from secretjax import __version__, project
from secretjax.errors import UserError
from secretjax.show import answer, catalogue, reference, state_diagram, states, style
from secretjax.show.comparison import Comparison
from secretjax.show.figures import kernel_splits
from secretjax.study import runs
from secretjax.study.params import Arm

TEMPLATE = Path(__file__).with_name("site_template")
DATA = (
    "manifest.json",
    "numbers.json",
    "samples.parquet",
    "kernel_replay.parquet",
    "kernel_predict.parquet",
)
GROUPS = {"proposals": "Proposals", "admissions": "Admissions", "workloads": "Demands"}
# Code within a line, from ticks to the next so many; else what would be markup, other ticks too.
CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)|[\\`<{$\[\]|]")
HIDDEN = {"parameters", "injected-parameters", "papermill-error-cell-tag"}


def write(run: Path, source: Path) -> None:
    """Writes all pages of the run folder `run` into the new folder `source`."""
    shutil.copytree(TEMPLATE, source, ignore=shutil.ignore_patterns("*.jinja", "__pycache__"))
    manifest = read_json(run / "manifest.json")
    (source / "site.json").write_text(json.dumps({"version": __version__, "run": run.name}))
    _notebooks(run, source)
    _plugins(source)
    _reference(source)
    _guides(source)
    _bench(source)
    _provenance(run, source, manifest)
    _front(run, source, manifest)


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`, an empty one without it; `UserError` if the file is damaged."""
    return runs.read_json(path) if path.is_file() else {}


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook in `path`; a `UserError` says which file is none."""
    try:
        found = nbformat.read(path, as_version=4)
        nbformat.validate(found)
        return found
    except OSError:
        raise
    except Exception as e:  # what nbformat makes of damaged ones is nearly anything
        reason = str(e).strip().splitlines()[:1]
        raise UserError(f"{path}: no notebook ({''.join(reason)}); run the study again") from e


def title(notebook: nbformat.NotebookNode, path: Path) -> str:
    """The first heading, or the file's name."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"(?m)^# +(.+)$", cell.source)):
            return found.group(1).strip()
    return path.stem


def prose(text: str) -> str:
    """A docstring as Markdown: its code stays, what Markdown would take for markup does not."""
    return CODE.sub(lambda m: m.group() if m.group(1) else f"\\{m.group()}", text)


def cell(text: str) -> str:
    """The same for a table, where a bar ends a cell inside code too."""
    return re.sub(r"(?<!\\)\|", r"\|", prose(text))


def _render(name: str, **values: object) -> str:
    loader = jinja2.FileSystemLoader(TEMPLATE)
    environment = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template(f"{name}.md.jinja").render(**values)


def _notebooks(run: Path, source: Path) -> None:
    folder = source / "notebooks"
    folder.mkdir()
    pages = []
    for path in sorted((run / "notebooks").glob("*.ipynb")):
        notebook = read_notebook(path)
        heading = title(notebook, path)
        pages.append({"stem": path.stem, "file": path.name, "title": prose(heading)})
        nbformat.write(_cleaned(notebook, heading), folder / path.name)
    if not pages:
        raise UserError(
            f"{run / 'notebooks'}: no executed notebook here, but the site shows them; "
            "run `make results` first"
        )
    (folder / "index.md").write_text(_render("notebooks", pages=pages))


def _cleaned(notebook: nbformat.NotebookNode, heading: str) -> nbformat.NotebookNode:
    """Without the parameter cells and papermill's marks, and with a heading to be listed by."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata.setdefault("language_info", {"name": "python", "pygments_lexer": "ipython3"})
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        tags = set(cell.metadata.get("tags", []))
        if tags & HIDDEN:
            cell.metadata["tags"] = sorted(tags | {"remove-cell"})
        for output in cell.get("outputs", []):
            # A widget is alive only in JupyterLab; its static form is shown instead.
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    first = next((c for c in notebook.cells if c.cell_type == "markdown"), None)
    if first is None or not re.search(r"(?m)^# +", first.source):
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(f"# {heading}"))
    return notebook


def _plugins(source: Path) -> None:
    folder = source / "proposals"
    folder.mkdir()
    groups = []
    for kind, heading in GROUPS.items():
        listed = []
        for entry in catalogue.entries(kind):
            page = entry.name if kind == "proposals" else f"{kind}-{entry.name}"
            shown = {
                "name": entry.name,
                "label": prose(entry.label),
                "source": prose(entry.source),
                "line": prose(entry.line),
                "body": _body(entry.text),
                "options": [
                    {"name": o.name, "type": cell(o.type), "default": cell(o.default)}
                    for o in entry.options
                ],
                "page": page,
                "standing": entry.standing,
                "proposed": entry.drawn,
                "validated": entry.validated,
                "diagrams": list(_diagrams(entry, folder)),
            }
            (folder / f"{page}.md").write_text(_render("plugin", entry=shown))
            listed.append(shown)
        groups.append({"title": heading, "entries": listed})
    (folder / "index.md").write_text(_render("plugins", groups=groups))


def _diagrams(entry: catalogue.Entry, folder: Path) -> Iterable[dict[str, Any]]:
    """A proposal's state machines drawn into `folder`: as it is, and where an option differs."""
    if not entry.drawn:
        return
    plain = states.machines(entry.plugin())
    moved = states.moved(entry.plugin())
    yield {"option": "", "told": moved, "pictures": _pictures(plain, entry.name, folder)}
    shapes = {machine.shape(): machine for machine in plain}
    for option, other in states.variants(entry.plugin):
        found = states.machines(other)
        changed = [m for m in found if m.shape() not in shapes]
        alike = [(shapes[m.shape()], m) for m in found if m.shape() in shapes]
        told = [line for pair in alike for line in _reworded(*pair)]
        titles = {m.title for m in found}
        told += [f"{m.title}: nothing is done." for m in plain if m.title not in titles]
        if states.moved(other) != moved:
            told.append(states.moved(other) or "Compaction never moves its pages.")
        if changed or told:
            stem = f"{entry.name}-{re.sub('[^a-z0-9]+', '-', option)}"
            pictures = _pictures(changed, stem, folder)
            yield {"option": option, "told": "\n\n".join(told), "pictures": pictures}


def _reworded(plain: states.Machine, other: states.Machine) -> Iterable[str]:
    """What a machine of the same shape says in other words."""
    for node, instead in zip(plain.nodes, other.nodes, strict=True):
        if node != instead:
            words = " (".join(filter(None, instead[::2])) + (")" if instead.detail else "")
            yield f"{plain.title}: {words} instead."


def _pictures(found: list[states.Machine], stem: str, folder: Path) -> list[dict[str, str]]:
    for place, machine in enumerate(found):
        figure = state_diagram.draw(machine)
        style.save(figure, folder, f"{stem}-{place}")
    return [
        {"file": f"{stem}-{place}.svg", "alt": machine.sentence()}
        for place, machine in enumerate(found)
    ]


def _body(text: str) -> str:
    """The docstring; what is not modelled or not validated is set off, not to be overlooked."""
    text = prose(text).replace("\nUnvalidated:", "\n\nUnvalidated:")
    paragraphs = []
    for paragraph in text.split("\n\n"):
        head, _, rest = paragraph.partition(":")
        if head in ("Not modelled", "Unvalidated"):
            rest = rest.strip()
            rest = rest[:1].upper() + rest[1:]
            paragraph = f":::{{admonition}} {head}\n:class: warning\n{rest}\n:::"
        paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


def _reference(source: Path) -> None:
    """The params reference and what the package says of itself."""
    sections = reference.params()
    for section in sections:
        section["title"], section["about"] = (prose(section[k]) for k in ("title", "about"))
        section["rows"] = [{k: cell(v) for k, v in row.items()} for row in section["rows"]]
    (source / "params.md").write_text(_render("params", sections=sections))
    folder = source / "api"
    folder.mkdir()
    parts = reference.parts()
    for part in parts:
        (folder / f"{part['name']}.md").write_text(_render("part", part=part))
    (folder / "index.md").write_text(_render("api", parts=parts))


def _guides(source: Path) -> None:
    """What docs/ says of the package and of how to add to it."""
    folder = source / "guides"
    folder.mkdir()
    docs = project.folder() / "docs"
    shutil.copyfile(docs / "architecture.svg", folder / "architecture.svg")
    pages = []
    for path in sorted(docs.glob("*.md"), reverse=True):
        text = path.read_text(encoding="utf-8")
        (folder / path.name).write_text(text, encoding="utf-8")
        pages.append({"stem": path.stem, "title": text.partition("\n")[0].removeprefix("# ")})
    (folder / "index.md").write_text(_render("guides", pages=pages))


def _bench(source: Path) -> None:
    """The committed measurements of speed, if there are any, drawn anew."""
    from secretjax.bench import figures

    told = read_json(project.folder() / "results" / "published" / "bench" / "report.json")
    folder = source / "bench"
    folder.mkdir()
    drawn = list(figures.draw(told, folder)) if told else []
    shown = [{"file": f"{name}.svg", "about": figures.about(name)} for name in drawn]
    rows = list(figures.rows(told)) if told else []
    (folder / "index.md").write_text(_render("bench", figures=shown, rows=rows))


def _provenance(run: Path, source: Path, manifest: Mapping[str, Any]) -> None:
    folder = source / "data"
    folder.mkdir()
    files = [name for name in DATA if (run / name).is_file()]
    for name in files:
        shutil.copyfile(run / name, folder / name)
    plain = {k: v for k, v in manifest.items() if not isinstance(v, Mapping)}
    sections = [{"title": "This run", "rows": list(_rows(plain))}] if plain else []
    for key, value in manifest.items():
        if isinstance(value, Mapping):
            sections.append({"title": _words(key), "rows": list(_rows(value))})
    page = _render("provenance", run=run.name, version=__version__, files=files, sections=sections)
    (source / "provenance.md").write_text(page)


def _words(key: str) -> str:
    return prose(key.replace("_", " ").capitalize())


def _rows(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested values as (dotted key, text) rows."""
    for key, value in values.items():
        if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            value = {str(v.get("name", number)): v for number, v in enumerate(value)}
        if isinstance(value, Mapping) and value:
            yield from _rows(value, f"{prefix}{key}.")
        else:
            flat = value if isinstance(value, str) else json.dumps(value)
            yield cell(f"{prefix}{key}"), cell(" ".join(flat.split())) or "-"


def _validated(arm: Mapping[str, Any]) -> bool:
    """Whether captures cover an arm of the manifest; what is not known today, none does."""
    try:
        return Arm(**arm).validated
    except (UserError, ValueError, TypeError):
        return False


def _params(run: Path, manifest: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bool]]:
    """The manifest's params, and of each arm whether captures cover it."""
    params = manifest.get("params", {})
    arms = params.get("arms", []) if isinstance(params, dict) else None
    if not isinstance(arms, list) or not all(
        isinstance(arm, dict) and isinstance(arm.get("name", ""), str) for arm in arms
    ):
        raise UserError(f"{run / 'manifest.json'}: its params are none; run the study again")
    return params, {arm["name"]: _validated(arm) for arm in arms if "name" in arm}


def _front(run: Path, source: Path, manifest: Mapping[str, Any]) -> None:
    params, arms = _params(run, manifest)
    question = params.get("question") or manifest.get("question")
    figure = next((run / "figures").glob("answer*.svg"), None)
    if figure:
        shutil.copyfile(figure, source / "answer.svg")
    match = next((run / "notebooks").glob("10_*.ipynb"), None)
    page = _render(
        "index",
        match=match.name if match else "index.md",
        compared=_compared(run, source),
        question=prose(" ".join(str(question or "What did this run find?").split())),
        claims=_claims(run),
        answers=answer.tables(read_json(run / "numbers.json"), arms),
        figure="answer.svg" if figure else "",
        figure_alt="The answer as a figure; its numbers are in the table below.",
    )
    (source / "index.md").write_text(page)


def _compared(run: Path, source: Path) -> dict[str, Any]:
    """What the run says of model and kernel, and its figure; nothing if it compares none."""
    if not any((run / name).is_file() for name in runs.KERNEL_FILES):
        return {}
    found = Comparison(run)
    drawn = kernel_splits.draw(found)
    if drawn is not None:
        style.save(drawn, source, "kernel")
    said = [found.replay_answer().data, found.predict_answer().data]
    return {"said": said, "figure": "kernel.svg" if drawn is not None else ""}


def _claims(run: Path) -> str:
    """The claims and their answers, as notebook 00 left them; nothing if it was not run."""
    file, keys = run / "figures" / "claims.json", ("id", "question", "answer", "why", "notebook")
    rows = read_json(file).get("claims", [])
    whole = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    if not whole or not all(isinstance(row.get(key), str) for row in rows for key in keys):
        raise UserError(f"{file}: holds no claims with {', '.join(keys)}; run the study again")
    there = {path.stem for path in (run / "notebooks").glob("*.ipynb")}
    return answer.claims(rows, "notebooks/", there) if rows else ""
