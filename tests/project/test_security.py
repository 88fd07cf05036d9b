"""What must never be done with what others have written, looked for in the source itself."""

import ast
import html
import re
from pathlib import Path

import jinja2
import nbformat
import pytest
import yaml

from secretjax.show import answer, lab, notebook, policy, site_source
from secretjax.study import strict
from tests import expect, fake_run
from tests.architecture import MODULES, PACKAGE
from tests.project.conftest import make_run

NEVER = {"eval", "exec", "compile", "__import__", "system", "popen", "unsafe_load", "full_load"}
MODULES_NEVER = {"pickle", "cloudpickle", "dill", "shelve", "marshal"}
EVIL = "<script>alert(1)</script>"


def called(node: ast.Call) -> str:
    function = node.func
    return getattr(function, "id", getattr(function, "attr", ""))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_nothing_that_was_read_is_run(path):
    """`re.compile` and what is compiled for the engine are calls of a module's own function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {name.name.split(".")[0] for name in node.names}
            assert not (names | {getattr(node, "module", "") or ""}) & MODULES_NEVER
        if isinstance(node, ast.Call):
            plain = isinstance(node.func, ast.Name)
            of = getattr(getattr(node.func, "value", None), "id", "")
            if plain or of in ("os", "yaml", "builtins"):
                assert called(node) not in NEVER, f"line {node.lineno}"
            for keyword in node.keywords:
                told = f"{path.name}, line {node.lineno}: {keyword.arg}"
                literal = getattr(keyword.value, "value", None)
                assert not (keyword.arg in ("shell", "allow_pickle") and literal), told
            if of == "yaml" and called(node) == "load":
                assert path.name == "strict.py", "one reader, one loader: the safe one"
            if of == "np" and called(node) == "load":
                assert "allow_pickle" in {k.arg for k in node.keywords}, f"line {node.lineno}"


def test_yaml_is_read_by_the_safe_loader():
    assert issubclass(strict._Loader, yaml.SafeLoader)


def test_the_page_map_sets_no_html():
    text = (PACKAGE / "show" / "page_map.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(", text
    )


def test_the_lab_listens_on_this_machine_and_keeps_its_token(tmp_path):
    words = lab.command(tmp_path, port=8888, browser=False)
    assert "--ServerApp.ip=127.0.0.1" in words
    assert not [w for w in words if "token" in w.lower() or "password" in w.lower()]
    assert not [w for w in words if "disable_check_xsrf" in w or "allow_origin" in w]


def test_names_of_arms_claims_and_numbers_are_escaped():
    number = {"value": 1.0, "low": 0.5, "high": 1.5, "unit": EVIL, "label": f"x: {EVIL}"}
    numbers = {f"growth.grow_5.{EVIL}.split_2m": number, EVIL: number}
    shown = answer.tables(numbers, {EVIL: True})
    row: dict[str, str] = dict.fromkeys(("id", "question", "answer", "why", "notebook"), EVIL)
    shown += answer.claims([row], "notebooks/", {EVIL})
    assert EVIL not in shown and html.escape(EVIL) in shown


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "nan"), (float("inf"), "inf"), (-float("inf"), "-inf"), (10**400, None),
        (1234567.0, "1,234,567"), (1e15, "1,000,000,000,000,000"), (1234, "1,234"), (0.25, "0.25"),
    ],
)  # fmt: skip
def test_any_number_can_be_told(value, told):
    assert answer.plain(value) == (told or f"{value:,}")


def test_a_start_state_with_such_a_name_is_text_in_the_notebook(tmp_path):
    file, run = fake_run.make(tmp_path, ("keep_mapped", "per_page"), states=3, with_kernel=False)
    study = notebook.open(file, run)
    object.__setattr__(study.params, "question", EVIL)
    object.__setattr__(study.params, "starts", (EVIL,))
    told = expect.said(study.describe())
    assert f"`{EVIL}`" in told, "as code, which Markdown escapes"
    assert EVIL not in told.replace(f"`{EVIL}`", ""), "the question is somebody's text too"


def test_a_case_with_such_a_name_is_read_and_its_name_stays_text(tmp_path):
    name = f"{EVIL.replace('/', '_')}.npz"
    source = Path(__file__).parents[2] / "params" / "kernel" / "b_512_s1.predict.npz"
    (tmp_path / name).write_bytes(source.read_bytes())
    assert expect.start(tmp_path / name).name == name.removesuffix(".npz")
    shown = expect.said(notebook.table(notebook.pd.DataFrame([{"state": EVIL}])))
    assert EVIL not in shown and html.escape(EVIL) in shown


def test_a_manifest_with_such_texts_is_text_on_the_site(tmp_path):
    run = make_run(tmp_path)
    (tmp_path / "source").mkdir()
    site_source._provenance(run, tmp_path / "source", {EVIL: EVIL, "params": {"starts": [EVIL]}})
    page = (tmp_path / "source" / "provenance.md").read_text()
    assert EVIL not in page and r"\<script>" in page


def test_a_policy_names_the_scripts_of_the_head_only():
    head = "<head><script>one()</script><script src='x.js'></script>"
    page = f"{head}</head><body><article><script>two()</script>"
    names = policy.policy(page.partition("</head>")[0])
    assert names.count("sha256-") == 1 and policy._hash("one()") in names
    assert policy._hash("two()") not in names


def test_only_the_theme_s_page_of_the_search_may_run_what_is_in_its_body(tmp_path):
    page = "<html><head></head><body><script>mine()</script></body></html>"
    files = tmp_path / policy.SEARCH, tmp_path / "notebooks" / policy.SEARCH
    files[1].parent.mkdir()
    for file in files:
        file.write_text(page)
    policy.seal(tmp_path)
    assert [policy._hash("mine()") in file.read_text() for file in files] == [True, False]


def test_the_name_of_a_run_folder_is_text_on_the_site(tmp_path):
    run = make_run(tmp_path, name="<b>x")
    (tmp_path / "source").mkdir()
    site_source._provenance(run, tmp_path / "source", {})
    assert "<b>" not in (tmp_path / "source" / "provenance.md").read_text()
    template = (site_source.TEMPLATE / "_templates" / "run.html").read_text()
    shown = jinja2.Template(template).render(version="1", run="<b>x", pathto=str)
    assert "<b>" not in shown and "&lt;b&gt;x" in shown


def test_notebooks_have_no_javascript_of_their_own():
    folder = Path(__file__).parents[2] / "notebooks"
    for file in folder.glob("*.ipynb"):
        for cell in nbformat.read(file, as_version=4).cells:
            assert "<script" not in cell.source and "%%javascript" not in cell.source
