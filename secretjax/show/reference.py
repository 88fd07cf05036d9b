"""What a params file may say and what the package offers, from the models and docstrings."""

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any

from secretjax import project
from secretjax.study.arms import Arm, Kernel
from secretjax.study.params import Ageing, Demand, Params
from secretjax.study.strict import Strict

ROOT = project.PACKAGE
MODELS = {
    "The study": Params,
    "An entry of `arms`": Arm,
    "What an arm's kernel is like": Kernel,
    "An entry of `demands`": Demand,
    "An entry of `ageing`": Ageing,
}
KEY = re.compile(r"^    (\w+) +(\S.*)$")


def params() -> list[dict[str, Any]]:
    """A section for each model: title, about, and rows of key, default and text."""
    return [
        {"title": title, "about": _about(model), "rows": list(_rows(model))}
        for title, model in MODELS.items()
    ]


def _about(model: type[Strict]) -> str:
    return inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def _told(model: type[Strict]) -> dict[str, str]:
    """{key: what the docstring says of it}; its lines begin with the keys in a column."""
    found: dict[str, str] = {}
    key = ""
    for line in (model.__doc__ or "").splitlines()[1:]:
        start = KEY.match(line)
        if start and start.group(1) in model.model_fields:
            key, text = start.groups()
            found[key] = text.strip()
        elif key and line.startswith("      "):
            found[key] += f" {line.strip()}"
        else:
            key = ""
    return found


def _rows(model: type[Strict]) -> Iterator[dict[str, str]]:
    told = _told(model)
    own = {name for base in model.__mro__[1:] for name in getattr(base, "model_fields", ())}
    for name, field in model.model_fields.items():
        if name in own:
            continue  # where its own model is shown
        default = (
            "required"
            if field.is_required()
            else _plain(field.get_default(call_default_factory=True))
        )
        yield {"key": name, "default": default, "text": told.get(name, "-")}


def _plain(value: Any) -> str:
    return {"()": "none", "{}": "none", "None": "null", "('*',)": "*"}.get(str(value), str(value))


def parts() -> list[dict[str, Any]]:
    """The package part by part: name, and its modules with what each says of itself.

    A module has a name, its docstring, and entries of its public functions and classes: signature
    and docstring. Read from the source, nothing is imported.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        if project.SHIPPED in path.parents:
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        text = ast.get_docstring(tree)
        if not text or module == "__init__":
            continue
        entry = {"name": f"secretjax.{module}", "text": text, "entries": list(_entries(tree.body))}
        found.setdefault(module.partition(".")[0], []).append(entry)
    return [{"name": name, "modules": modules} for name, modules in found.items()]


def _entries(body: list[ast.stmt], owner: str = "") -> Iterator[dict[str, str]]:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name[0] != "_":
            yield {"name": f"class {node.name}", "text": ast.get_docstring(node) or ""}
            yield from _entries(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef) and node.name[0] != "_":
            given = re.sub(r"\s+", " ", ast.unparse(node.args))
            back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            text = ast.get_docstring(node) or ""
            if text:
                yield {"name": f"{owner}{node.name}({given}){back}", "text": text}
