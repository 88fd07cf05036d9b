"""Notebooks through papermill: executed where needed, stored so that repeating gives the same."""

import ast
import contextlib
import json
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import nbformat

from secretjax.errors import UserError
from secretjax.files import replacing
from secretjax.study import identity, runs
from secretjax.study.params import Params

PARAMETERS = {"params_file", "results_dir"}
DATA = ("samples.parquet", "numbers.json", *runs.KERNEL_FILES, runs.AGEING_FILE)
VOLATILE = ("papermill", "execution", "widgets")
STARTS = 600  # seconds within which a kernel answers; one that dies is seen at once
WIDGET = "application/vnd.jupyter.widget-view+json"


def keys(study: Params, folder: Path) -> dict[str, str]:
    """{notebook: hash of all that its executed copy depends on}."""
    data = [folder / name for name in DATA]
    there = [*(file for file in data if file.is_file()), *study.machine_files()]
    files = study.notebook_files()
    return {name: identity.notebook_key(study, file, there) for name, file in files.items()}


def current(folder: Path, name: str, key: str) -> bool:
    """Whether the executed copy is there and was made from the same."""
    return _key(folder / "notebooks" / f"{name}.ipynb") == key


def refresh(folder: Path, wanted: dict[str, str]) -> None:
    """Removes executed copies and figures if any is out of date or not what the manifest says.

    All go, since nobody knows which notebook drew which figure; the manifest goes last, so that
    an interruption is noticed the next time.
    """
    copies = {file.stem: file for file in (folder / "notebooks").glob("*.ipynb")}
    stale = [name for name, file in copies.items() if _key(file) != wanted.get(name)]
    manifest = folder / "manifest.json"
    if manifest.is_file() and not stale:
        try:
            told = runs.read_json(manifest)["files"]
        except (UserError, KeyError):
            told = None
        here = runs.digests(folder)
        drawn = ("figures/", "notebooks/")
        same = told is not None and all(
            here.get(file) == told.get(file) for file in {*here, *told} if file.startswith(drawn)
        )
        stale = [] if same else ["manifest"]
    if stale:
        for file in [*(folder / "figures").rglob("*"), *copies.values(), manifest]:
            if not file.is_dir():
                file.unlink(missing_ok=True)


def execute(source: Path, params_file: Path, folder: Path, key: str) -> float:
    """Executes `source` and stores its copy in the run folder; seconds it took.

    Raises `UserError` naming the notebook and the cell that failed.
    """
    import papermill
    from jupyter_core.utils import ensure_event_loop
    from traitlets.config import Config

    begin = time.perf_counter()
    _check_parameters(source)
    raw = folder / "log" / source.name
    # Else every kernel warns that its messages are open to who listens on this machine.
    sealed = Config({"KernelManager": {"transport_encryption": "auto"}})
    given = {"params_file": str(params_file.absolute()), "results_dir": str(folder.absolute())}
    try:
        for attempt in range(2):
            try:
                papermill.execute_notebook(
                    str(source),
                    str(raw),
                    given,
                    kernel_name="python3",
                    language="python",
                    progress_bar=False,
                    start_timeout=STARTS,
                    config=sealed,
                )
                break
            except RuntimeError as e:
                # Two kernels may be given the same port; the loser dies before its first answer.
                if attempt or "before replying" not in str(e):
                    raise
    except Exception as e:
        raise UserError(f"{source}: {_failure(e)}; its output so far is in {raw}") from e
    finally:
        loop = ensure_event_loop()  # this thread's, opened by the client unless it was there
        if not loop.is_running():
            loop.close()
        _log(raw, folder / "log" / f"{source.stem}.log", time.perf_counter() - begin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        notebook = nbformat.read(raw, as_version=4)
    cleaned = clean(notebook, _homely(params_file, folder))
    cleaned["metadata"]["secretjax"] = {"key": key}
    text = json.dumps(cleaned, indent=1, sort_keys=True, ensure_ascii=False)
    with replacing(folder / "notebooks" / source.name) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    raw.unlink()
    return time.perf_counter() - begin


def end_kernels() -> None:
    """Ends the kernels that this process has started, so that Ctrl-C does not wait for them."""
    import psutil

    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "ipykernel_launcher" in child.cmdline():
                child.kill()


def clean(notebook: Any, paths: dict[str, str]) -> Any:
    """The notebook as plain values without times, random names, this machine's paths and stderr."""
    plain = json.loads(nbformat.writes(notebook))
    _drop(plain["metadata"], VOLATILE)
    for number, cell in enumerate(plain["cells"]):
        cell["id"] = f"cell-{number}"
        _drop(cell["metadata"], VOLATILE)
        if cell["cell_type"] == "code":
            cell["outputs"] = _outputs(cell["outputs"])
    text = json.dumps(plain, ensure_ascii=False)
    for path, name in paths.items():
        # not within a picture, whose base64 may hold a short path by chance
        whole = rf"(?<![A-Za-z0-9+]){re.escape(path)}(?![A-Za-z0-9+])"
        text = re.sub(whole, lambda _, name=name: name, text)
    text = re.sub(r"\bat 0x[0-9a-f]{6,}", "at 0x0", text)
    styles: dict[str, str] = {}
    text = re.sub(
        r"\bT_[0-9a-f]{5}(?=_|\\\"|'| )",
        lambda m: styles.setdefault(m.group(), f"T_{len(styles):05}"),
        text,
    )
    return json.loads(text)


def _outputs(outputs: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for output in outputs:
        _drop(output.get("data", {}), (WIDGET,))
        if output.get("name") == "stderr":
            continue
        last = kept[-1] if kept else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            # Where a stream is cut depends on the clock.
            last["text"] = _text(last["text"]) + _text(output["text"])
        else:
            kept.append(output)
    for output in kept:
        if output["output_type"] == "stream":
            output["text"] = _text(output["text"]).splitlines(keepends=True)
    return kept


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


def _drop(values: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        values.pop(name, None)


def _homely(params_file: Path, folder: Path) -> dict[str, str]:
    """{path of this machine: what a reader is shown instead}, the longest first."""
    shown = {
        folder.absolute(): f"results/{folder.parent.name}/{folder.name}",
        params_file.absolute(): f"params/{params_file.name}",
        Path(sys.prefix): ".venv",
        identity.ROOT: "secretjax",
        Path.home(): "~",
    }
    texts = {str(path): name for path, name in shown.items() if len(path.parts) > 1}
    texts |= {str(Path(p).resolve()): name for p, name in texts.items()}
    return dict(sorted(texts.items(), key=lambda item: -len(item[0])))


def _key(file: Path) -> str | None:
    try:
        return json.loads(file.read_text(encoding="utf-8"))["metadata"]["secretjax"]["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_parameters(source: Path) -> None:
    """papermill accepts parameters that a notebook does not have; here that is an error."""
    try:
        cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
        tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
        code = ast.parse("\n".join(_text(cell["source"]) for cell in tagged))
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as e:
        raise UserError(f"{source}: no notebook ({type(e).__name__}: {e})") from e
    found = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
    if found != PARAMETERS:
        names = ", ".join(sorted(found)) or "nothing"
        raise UserError(
            f"{source}: its cell tagged 'parameters' sets {names}, but exactly "
            f"{', '.join(sorted(PARAMETERS))} are expected there"
        )


def _failure(error: Any) -> str:
    cell = getattr(error, "cell_index", None)
    if cell is None:
        ended = "its kernel ended" if "Kernel" in type(error).__name__ else "it was not executed"
        return f"{ended} ({' '.join(str(error).split()) or type(error).__name__})"
    said = " ".join(str(error.evalue).split())
    line = next((x for x in error.source.splitlines() if x.strip()), "")
    return f"cell {cell} ({line.strip()[:60]}) failed with {error.ename}: {said[:300]}"


def _log(raw: Path, log: Path, seconds: float) -> None:
    """What the cells printed, stderr included, for whoever looks for the cause of something."""
    parts = [f"{time.strftime('%Y-%m-%d %H:%M:%S')} {raw.name}: {seconds:.1f} s\n"]
    try:
        cells = json.loads(raw.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        cells = []
    for number, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                parts.append(f"cell {number} {output['name']}: {_text(output['text'])}")
    log.write_text("".join(parts), encoding="utf-8")
