"""Proposals, admissions and workloads as a params file names them: found, checked, made."""

import dataclasses
import importlib
from typing import Any, get_type_hints

from pydantic import BaseModel, create_model

from secretjax import registry
from secretjax.errors import UserError
from secretjax.study.strict import Strict, checked

PACKAGES = {
    "proposal": "secretjax.proposals",
    "admission": "secretjax.admission",
    "workload": "secretjax.workloads",
}


def table(kind: str) -> dict[str, Any]:
    """{name: class} of a kind, from its folder."""
    return importlib.import_module(PACKAGES[kind]).table()


def options(kind: str, name: str, given: dict[str, Any], where: str, prefix: str) -> dict[str, Any]:
    """All options of one plug-in, `given` ones checked and the others at their defaults.

    Raises `UserError` naming `where` and `prefix` for an unknown option, a value of another type,
    and for what the plug-in itself refuses.
    """
    tried = checked(_model(kind, name), given, where, prefix)
    full = tried.model_dump()
    try:
        made = make(kind, name, full)
    except (ValueError, TypeError) as e:
        raise UserError(f"{where}: {prefix}: {e}") from e
    return {f.name: getattr(made, f.name) for f in _fields(kind, name)}


def make(kind: str, name: str, full: dict[str, Any]) -> Any:
    """The plug-in with these options. Lists become tuples, since plug-ins are hashed."""
    chosen = registry.pick(kind, table(kind), name)
    return chosen(**{k: tuple(v) if isinstance(v, list) else v for k, v in full.items()})


def _fields(kind: str, name: str) -> list[dataclasses.Field[Any]]:
    found = registry.pick(kind, table(kind), name)
    return (
        [f for f in dataclasses.fields(found) if f.init] if dataclasses.is_dataclass(found) else []
    )


def _model(kind: str, name: str) -> type[BaseModel]:
    """A strict model of the plug-in's dataclass fields."""
    hints = get_type_hints(table(kind)[name])
    fields: dict[str, Any] = {}
    for f in _fields(kind, name):
        default = f.default if f.default is not dataclasses.MISSING else ...
        if f.default_factory is not dataclasses.MISSING:
            default = f.default_factory()
        fields[f.name] = (hints[f.name], default)
    return create_model(name, __base__=Strict, **fields)
