"""The named numbers of a run as the tables on the site's first page."""

import html
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any

from secretjax.show import standing

Numbers = Mapping[str, Any]


def tables(numbers: Numbers, arms: Mapping[str, bool] = {}) -> str:
    """HTML: for each demand its arms by metric; whatever is named otherwise in a list below.

    A number is named `demand.step.arm.metric` and holds value, low, high, unit and label, or it is
    bare. `arms` gives the order of the rows, and whether a capture covers the arm.
    """
    grids: dict[tuple[str, str], dict[str, dict[str, Numbers]]] = {}
    rest = {}
    for name, value in numbers.items():
        parts = name.split(".")
        if len(parts) < 4 or not isinstance(value, Mapping):
            rest[name] = value
            continue
        demand, step, arm, metric = parts[0], parts[1], ".".join(parts[2:-1]), parts[-1]
        grids.setdefault((demand, step), {}).setdefault(arm, {})[metric] = value
    shown = [
        f"<h3>{html.escape(demand)}, at {html.escape(step)}</h3>\n{_grid(grid, arms)}"
        for (demand, step), grid in grids.items()
    ]
    if any(standing.MARK in text for text in shown):
        shown.append(f"<p>{standing.NOTE}</p>")
    if rest:
        shown.append(_list(rest))
    return "\n\n".join(shown)


def claims(rows: Iterable[Mapping[str, str]], folder: str = "", there: Container[str] = ()) -> str:
    """HTML: the claims with their answers. Rows have id, question, answer, why and notebook.

    there: the notebooks that lie in `folder`; the others are named only.
    """
    shown = []
    for row in rows:
        cells = {key: html.escape(str(value)) for key, value in row.items()}
        cells["why"] = re.sub(r"`([^`]*)`", r"<code>\1</code>", cells["why"])
        where = cells["notebook"].partition("_")[0]
        if row["notebook"] in there:
            where = f'<a href="{folder}{cells["notebook"]}.html">{where}</a>'
        said = f"<strong>{cells['answer'].capitalize()}</strong>"
        shown.append([cells["id"], cells["question"], said, cells["why"], where])
    note = f"<p>{standing.NOTE}</p>" if any(standing.MARK in row[3] for row in shown) else ""
    return _table(["claim", "as a question", "answer", "why", "notebook"], shown) + note


def _grid(grid: Mapping[str, Mapping[str, Numbers]], arms: Mapping[str, bool]) -> str:
    metrics = list(dict.fromkeys(metric for row in grid.values() for metric in row))
    heads = {m: next(row[m] for row in grid.values() if m in row) for m in metrics}
    place = {arm: number for number, arm in enumerate(arms)}
    rows = [
        [
            html.escape(standing.marked(arm, arms.get(arm, True))),
            *[_cell(grid[arm].get(metric)) for metric in metrics],
        ]
        for arm in sorted(grid, key=lambda arm: (place.get(arm, len(place)), arm))
    ]
    return _table(["arm", *[_head(metric, heads[metric]) for metric in metrics]], rows)


def _head(metric: str, number: Numbers) -> str:
    label = str(number.get("label", metric)).rpartition(": ")[2] or metric
    unit = number.get("unit")
    label = standing.measure(label, metric)
    return html.escape(f"{label}, {unit}" if unit else label)


def _cell(number: Numbers | None) -> str:
    """The mean and, smaller, its interval."""
    if number is None:
        return ""
    value, low, high = (number.get(key) for key in ("value", "low", "high"))
    if low is None or high is None or low == high:
        return plain(value)
    return f'{plain(value)}<br><span class="interval">{plain(low)} to {plain(high)}</span>'


def _list(numbers: Numbers) -> str:
    rows = []
    for name, value in numbers.items():
        number = value if isinstance(value, Mapping) else {"value": value}
        label, unit = str(number.get("label", name)), str(number.get("unit", ""))
        rows.append([html.escape(label), _cell(number), html.escape(unit)])
    return _table(["number", "value", "unit"], rows)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{cell}</th>" for cell in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return (
        '<div class="pst-scrollable-table-container"><table class="table answer">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def plain(value: object) -> str:
    """A number to four digits, thousands set apart; nothing is "undetermined"."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "undetermined" if value is None else html.escape(str(value))
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
