"""YAML files that people write by hand, read so that no slip of the pen goes unnoticed."""

import json
import math
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from secretjax.errors import UserError, suggestion

MAX_BYTES = 1 << 16
MAX_DEPTH = 20


class Strict(BaseModel):
    """No unknown key, no silent conversion, no change after the checks."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
    )


class _Loader(yaml.SafeLoader):
    """The safe loader without what no params file needs: references and keys given twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem=f"found the reference '{event.anchor}', but & and * are not allowed; "
                "write the value out",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(
                    problem="found a key that is no plain word; put it in quotes",
                    problem_mark=key.start_mark,
                )
            if key.value in lines:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key.value}' is there already in line "
                    f"{lines[key.value]}; keep one of them",
                    problem_mark=key.start_mark,
                )
            lines[key.value] = line
        return super().construct_mapping(node, deep)


def parse(text: str, where: str) -> Any:
    """The YAML `text` as plain dicts, lists, strings, numbers, booleans and None.

    Raises `UserError`, naming `where` and the line, on bad YAML, keys given twice, anchors and
    aliases, dates, and numbers that are not finite.
    """
    try:
        tree = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line = f" line {mark.line + 1}:" if mark else ""
        problem = (e.problem or str(e)).replace("'\\t'", "a tab")
        hint = "; indent with spaces" if "a tab" in problem else ""
        raise UserError(f"{where}:{line} {problem}{hint}") from e
    except yaml.reader.ReaderError as e:
        raise UserError(
            f"{where}: found a character that YAML does not allow (code {e.character!r} at "
            f"position {e.position}); remove it"
        ) from e
    except RecursionError as e:
        raise UserError(f"{where}: nested too deeply; at most {MAX_DEPTH} levels") from e
    except (ValueError, LookupError, AttributeError) as e:  # of a tag, too
        raise UserError(f"{where}: a value that cannot be read ({e}); put it in quotes") from e
    _refuse_what_is_not_plain(tree, where, 0)
    return tree


def _refuse_what_is_not_plain(tree: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UserError(f"{where}: nested too deeply; at most {MAX_DEPTH} levels")
    if isinstance(tree, dict | list):
        parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in parts:
            _refuse_what_is_not_plain(value, f"{where}: {key}", depth + 1)
    elif isinstance(tree, float) and not math.isfinite(tree):
        raise UserError(f"{where}: found {tree}, but only finite numbers are allowed")
    elif not isinstance(tree, str | int | float | None):
        raise UserError(
            f"{where}: found a {type(tree).__name__}, but only text, numbers, true and false are "
            "allowed; put it in quotes"
        )


def read(path: Path) -> dict[str, Any]:
    """The mapping in the YAML file `path`; a `UserError` says what is wrong with the file."""
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as e:
        reason = "no such file" if isinstance(e, FileNotFoundError) else str(e.strerror).lower()
        raise UserError(f"{path}: {reason}, but a YAML file is expected there") from e
    if data is None:
        raise UserError(f"{path}: larger than {MAX_BYTES // 1024} KiB, so it is no params file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise UserError(f"{path}: not UTF-8 text (byte {e.start}); save it as UTF-8") from e
    tree = parse(text, str(path))
    if not isinstance(tree, dict):
        found = "nothing" if tree is None else f"a {type(tree).__name__}"
        raise UserError(f"{path}: found {found}, but keys with values are expected")
    return tree


def checked(model: type[BaseModel], tree: Any, where: str, prefix: str = "") -> Any:
    """`tree` as a `model`, or a `UserError` that names `where`, the key and what is allowed."""
    try:
        # From JSON, so that lists may fill tuples and nothing else is converted.
        return model.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as e:
        errors = sorted(e.errors(include_url=False), key=lambda x: x["type"] != "extra_forbidden")
        raise UserError(f"{where}: {_sentence(model, tree, errors[0], prefix)}") from e


def _sentence(model: type[BaseModel], tree: Any, error: Any, prefix: str) -> str:
    loc = error["loc"]
    key = ".".join([*filter(None, [prefix]), *map(str, loc)])
    if error["type"] == "extra_forbidden":
        known = sorted(_fields(model, loc[:-1]))
        if not known:
            return f"{key}: unknown key; there is nothing to set here"
        return f"{key}: unknown key; {suggestion(str(loc[-1]), known)}"
    if error["type"] == "missing":
        return f"{key}: missing, but it is needed; known here: " + ", ".join(
            sorted(_fields(model, loc[:-1]))
        )
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{key or 'it'}: found {_shown(_at(tree, loc))}, but it {message}"


def _fields(model: Any, loc: tuple[str | int, ...]) -> list[str]:
    """The keys that are known at `loc` of `model`."""
    for step in loc:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation
        while not hasattr(annotation, "model_fields") and get_args(annotation):
            annotation = next(a for a in get_args(annotation) if a not in (str, type(None), ...))
        model = annotation
    return list(getattr(model, "model_fields", {}))


def _at(tree: Any, loc: tuple[str | int, ...]) -> Any:
    for step in loc:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            break
    return tree


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."


def override(tree: dict[str, Any], assignment: str) -> None:
    """Sets `a.b=v` in `tree`; `v` is YAML. An item of a list is named by number or by name.

    Raises `UserError` on anything that is not such an assignment. Whether the key is known is
    seen when the whole tree is checked.
    """
    where = f"--set {assignment}"
    key, equals, text = assignment.partition("=")
    steps = key.split(".")
    if not equals or not all(steps):
        raise UserError(f"{where}: not of the form key=value, as in --set states=64")
    value = parse(text, where)
    here: Any = tree
    for depth, step in enumerate(steps):
        path = ".".join(steps[: depth + 1])
        last = depth == len(steps) - 1
        if isinstance(here, dict):
            if last:
                here[step] = value
            elif step not in here and depth == 0:
                raise UserError(f"{where}: {path}: unknown key; {suggestion(step, here)}")
            else:
                here = here.setdefault(step, {})
        elif isinstance(here, list):
            index = _index(here, step, f"{where}: {path}")
            if last:
                here[index] = value
            here = here[index]
        else:
            parent = ".".join(steps[:depth])
            raise UserError(f"{where}: {parent} is {_shown(here)}, so it has no '{step}'")


def _index(items: list[Any], step: str, where: str) -> int:
    names = [_names(item) for item in items]
    for index, known in enumerate(names):
        if step in known:
            return index
    if step.isdecimal() and int(step) < len(items):
        return int(step)
    known = [n[0] for n in names if n] + [f"0 to {len(items) - 1}"]
    raise UserError(f"{where}: no such item; {suggestion(step, known)}")


def _names(item: Any) -> list[str]:
    if isinstance(item, str):
        return [item]
    if not isinstance(item, dict):
        return []
    words = [item[k] for k in ("name", "kind", "proposal") if isinstance(item.get(k), str)]
    if "name" not in item and words and item.get("admission", "none") != "none":
        words.insert(0, f"{words[-1]}+{item['admission']}")
    return words
