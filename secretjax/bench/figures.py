"""What `report` measured, as figures in the house style."""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from secretjax.show import style

LOOKS = {
    "engine": {"color": "#0072b2", "marker": "o", "linestyle": "-"},
    "engine, all dynamics": {"color": "#56b4e9", "marker": "s", "linestyle": (0, (4, 1.6))},
    "scalar C": {"color": "#222222", "marker": "^", "linestyle": "-"},
    "Numba": {"color": "#d55e00", "marker": "D", "linestyle": (0, (1, 1.2))},
}
RATE = "million events a CPU second"


def draw(found: dict[str, Any], folder: Path) -> Iterator[str]:
    """Writes each figure as SVG and PNG into `folder`; yields their names."""
    for name, figure in FIGURES.items():
        drawn = figure(found)
        style.save(drawn, folder, name)
        yield name


def about(name: str) -> str:
    """What a figure shows, without the full stop."""
    return (FIGURES[name].__doc__ or name).partition("\n")[0].rstrip(".")


def rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """All numbers as texts: figure, side, pages, states, threads, rate, and three a CPU second."""
    for row in found["rows"]:
        rates = (median(row["rates"]), *(f(row["cpu_rates"]) for f in (median, min, max)))
        counts = (f"{row[key]:,}" for key in ("pages", "states", "threads"))
        yield row["figure"], row["side"], *counts, *(f"{rate:.2f}" for rate in rates)


def along(found: dict[str, Any], which: str, key: str) -> dict[str, list[tuple[int, list[float]]]]:
    """{side: (value of `key`, rates a CPU second)} of the rows of one figure."""
    lines: dict[str, list[tuple[int, list[float]]]] = {}
    for row in found["rows"]:
        if row["figure"] == which:
            lines.setdefault(row["side"], []).append((row[key], row["cpu_rates"]))
    return lines


def _lines(axis: Axes, lines: dict[str, list[tuple[int, list[float]]]]) -> None:
    """Medians as lines, all rounds as thin bars."""
    for side, points in lines.items():
        x, middle = [p for p, _ in points], [median(rates) for _, rates in points]
        low, high = ([f(rates) for _, rates in points] for f in (min, max))
        axis.vlines(x, low, high, color=LOOKS[side]["color"], alpha=0.35, lw=4)
        axis.plot(x, middle, label=side, markersize=6, **LOOKS[side])


def _named(axis: Axes, ticks: list[int], name: Callable[[int], str]) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: name(int(x))))


def _size(pages: int) -> str:
    mib = pages // 256
    return f"{mib} MiB" if mib < 1024 else f"{mib // 1024} GiB"


def _rests_on(found: dict[str, Any]) -> str:
    told = found["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in told["versions"].items())
    return (
        f"{told['cpu']}, {told['cores']} cores, load {told['load']} before; {versions}. "
        f"{found['events']:,} events a state, "
        "the same for all sides; medians of rounds in turns, bars from the slowest to the fastest. "
        "A thread that waits for a CPU does not count."
    )


def _framed(found: dict[str, Any], panels: int = 1) -> tuple[Figure, Any]:
    style.apply()
    figure, axes = plt.subplots(1, panels, figsize=(8.6, 4.2), layout="constrained")
    style.caption(figure, _rests_on(found))
    return figure, axes


def pages(found: dict[str, Any]) -> Figure:
    """Events a CPU second against the size of a state."""
    figure, axis = _framed(found)
    lines = along(found, "pages", "pages")
    _lines(axis, lines)
    _named(axis, [x for x, _ in next(iter(lines.values()))], _size)
    axis.set(xlabel="memory of a state", ylabel=RATE, ylim=(0, None))
    style.legend(figure, axis)
    return figure


def states(found: dict[str, Any]) -> Figure:
    """CPU time for all states against their number: a line of slope one is linear cost."""
    figure, axis = _framed(found)
    lines = along(found, "states", "states")
    for side, points in lines.items():
        seconds = [n * found["events"] / median(rates) / 1e6 for n, rates in points]
        axis.plot([n for n, _ in points], seconds, label=side, markersize=6, **LOOKS[side])
    ticks = [n for n, _ in next(iter(lines.values()))]
    _named(axis, ticks, lambda n: f"{n:,}")
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axis.set(xlabel="states of 512 MiB", ylabel="CPU seconds")
    style.legend(figure, axis)
    return figure


def cores(found: dict[str, Any]) -> Figure:
    """Events a CPU second against threads (level: all cores count), and the memory's bandwidth."""
    figure, (left, right) = _framed(found, 2)
    lines = along(found, "cores", "threads")
    _lines(left, lines)
    ticks = [n for n, _ in next(iter(lines.values()))]
    left.set(xlabel="threads", ylabel=RATE, ylim=(0, None), xticks=ticks)
    triad = {int(n): rate for n, rate in found["triad_gb_s"].items()}
    right.plot(list(triad), list(triad.values()), color=style.QUIET, marker="o")
    right.set(xlabel="threads", ylabel="GB a second", ylim=(0, None), xticks=list(triad))
    right.set_title("Memory bandwidth (triad)")
    style.legend(figure, left)
    return figure


def costs(found: dict[str, Any]) -> Figure:
    """Seconds to compile, and memory."""
    figure, axes = _framed(found, 2)
    told = (found["compile_seconds"], "seconds to the first answer", "{:.2g}"), (
        {k: v / 131_072 for k, v in found["state_bytes"].items()},
        "bytes a page of a state", "{:.1f}",
    )  # fmt: skip
    for axis, (values, title, form) in zip(axes, told, strict=True):
        bars = axis.barh(
            list(values), list(values.values()), color=[LOOKS[k]["color"] for k in values]
        )
        axis.bar_label(bars, [form.format(v) for v in values.values()], padding=3)
        axis.set(xlabel=title, xlim=(0, 1.15 * max(values.values())))
        axis.invert_yaxis()
        axis.grid(False, axis="y")
    axes[1].set_yticklabels([])
    return figure


FIGURES = {"pages": pages, "states": states, "cores": cores, "costs": costs}
