"""What the registries hold, in words: for `secretjax list` and the site's pages."""

import dataclasses
import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from secretjax.proposals.base import Proposal
from secretjax.registry import discover
from secretjax.show import standing

# kind: (package, attribute of each file)
KINDS = {
    "proposals": ("secretjax.proposals", "PROPOSAL"),
    "admissions": ("secretjax.admission", "ADMISSION"),
    "workloads": ("secretjax.workloads", "WORKLOAD"),
    "metrics": ("secretjax.metrics", "METRICS"),
    "figures": ("secretjax.show.figures", "FIGURE"),
}


@dataclass(frozen=True)
class Option:
    """One parameter of a plug-in, as a params file may set it."""

    name: str
    type: str
    default: str


@dataclass(frozen=True)
class Entry:
    """One plug-in: `line` is the first paragraph of `text`, its docstring.

    plugin     itself
    standing   what captures cover of it, "" of a figure; validated: with its options as they are
    drawn      it is a proposal: it has state machines
    """

    name: str
    label: str
    source: str
    line: str
    text: str
    options: tuple[Option, ...]
    plugin: Any = None
    standing: str = ""
    validated: bool = False
    drawn: bool = False


def entries(kind: str) -> list[Entry]:
    """All plug-ins of a kind, by name. Raises `UserError` naming a file that is broken."""
    package, attribute = KINDS[kind]
    found = discover(importlib.import_module(package), attribute)
    return [entry for file, plugin in found.items() for entry in _unfold(file, plugin)]


def _unfold(file: str, plugin: Any) -> Iterable[Entry]:
    """A metrics file holds several; every other file is one plug-in."""
    if isinstance(plugin, dict):
        return [_entry(name, one) for name, one in plugin.items()]
    if isinstance(plugin, (list, tuple)):
        return [_entry(file, one) for one in plugin]
    return [_entry(file, plugin)]


def _entry(name: str, plugin: Any) -> Entry:
    text = inspect.cleandoc(_own_doc(plugin))
    label = str(getattr(plugin, "label", name))
    return Entry(
        name=str(getattr(plugin, "name", name)),
        label=label,
        source=str(getattr(plugin, "source", "")),
        line=" ".join(text.split("\n\n")[0].split()) or _measured(label, plugin),
        text=text,
        options=tuple(_options(plugin)),
        plugin=plugin,
        standing=standing.sentence(plugin),
        validated=_is_validated(plugin),
        drawn=_is_proposal(plugin),
    )


def _is_proposal(plugin: Any) -> bool:
    return inspect.isclass(plugin) and issubclass(plugin, Proposal)


def _is_validated(plugin: Any) -> bool:
    if _is_proposal(plugin):
        return plugin().validated
    return bool(getattr(plugin, "captures", ()))


def _measured(label: str, plugin: Any) -> str:
    """A metric is data without a docstring: its label and unit say what it is."""
    unit = getattr(plugin, "unit", "")
    return f"{label}, in {unit}" if unit else label


def _own_doc(plugin: Any) -> str:
    """The docstring written in the file, never one that was inherited or generated."""
    if inspect.isfunction(plugin):
        return plugin.__doc__ or ""
    kind = plugin if inspect.isclass(plugin) else type(plugin)
    written = kind is plugin or getattr(plugin, "slot", None) is not None
    return (kind.__dict__.get("__doc__") or "") if written else ""


def _options(plugin: Any) -> Iterable[Option]:
    if not (inspect.isclass(plugin) and dataclasses.is_dataclass(plugin)):
        return
    for field in (f for f in dataclasses.fields(plugin) if f.init):
        default = "required"
        if field.default is not dataclasses.MISSING:
            default = str(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            default = str(field.default_factory())
        kind = field.type
        type_ = str(kind).replace("typing.", "")
        if isinstance(kind, type) and not hasattr(kind, "__origin__"):
            type_ = kind.__name__
        yield Option(field.name, type_, default)
