"""Plug-ins are found by looking into their folder: one file each, nothing to edit elsewhere."""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from secretjax.errors import UserError, suggestion


def discover(package: ModuleType, attribute: str) -> dict[str, Any]:
    """{file name: its `attribute`} of every module in `package`, in alphabetical order.

    Files that start with an underscore, and `base.py`, are no plug-ins.
    Raises `UserError` naming the file that cannot be imported or lacks `attribute`.
    """
    found = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        if module.name.startswith("_") or module.name == "base":
            continue
        where = f"{package.__name__}.{module.name}"
        try:
            found[module.name] = getattr(importlib.import_module(where), attribute)
        except (ImportError, SyntaxError, AttributeError) as e:
            raise UserError(f"{where}: no usable {attribute}: {e}") from e
    return found


def pick(kind: str, table: dict[str, Any], name: str) -> Any:
    """The plug-in called `name`, or a `UserError` that says which there are."""
    if name not in table:
        raise UserError(f"no {kind} named '{name}': {suggestion(name, table)}")
    return table[name]
