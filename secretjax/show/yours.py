"""What notebook 90 says about a captured machine: what was seen, what each proposal would do on it.

The machine is the newest capture in the folder machines/ beside the params file. Without one it is
the study's first start state, seen as a stock kernel would have shown it.
"""

import html
import json
import sys
from functools import cached_property
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML, Image, Markdown

from secretjax import cases, proposals
from secretjax.errors import UserError
from secretjax.machine import consistency, forecast, infer, lab, loss, probe, seen, summary
from secretjax.machine.forecast import Forecast
from secretjax.machine.seen import Capture
from secretjax.show import standing, style
from secretjax.show.notebook import noted, picture, table
from secretjax.show.sentences import short
from secretjax.study import runs

LABELS = {
    "dm_2m_split": "2 MiB entries split",
    "dm_1g_split": standing.marked("1 GiB entries split", False),
    "free_2m": "Free 2 MiB blocks",
    "huge_ok": "Huge pages others got",
}
SHOWN = tuple(LABELS)


def open(params_file: str | Path, results_dir: str | Path) -> "Yours":
    """The newest capture beside the params file, or the study's first start state."""
    run = runs.open_run(params_file, results_dir)
    files = [f for f in run.params.machine_files() if f.suffix == ".npz"]
    probes = [f for f in run.params.machine_files() if f.suffix == ".json"]
    name, file = next(iter(run.params.start_files().items()))
    if files:
        return Yours(seen.read(files[-1]), f"capture {files[-1].name}", run, probes)
    read = cases.read(file)
    start = read if isinstance(read, cases.StartState) else read.start
    return Yours(lab.shown(start), f"lab case {name}", run, probes, captured=False)


def figure_of(machine: Capture, zone: str | None, name: str, path: Path) -> list[str]:
    """Draws path.svg and path.png: every proposal on a capture; the same in sentences."""
    chosen = forecast.zone_named(machine, zone)
    found = forecast.forecast(
        machine, chosen, progress=lambda proposal: print(f"predicting {proposal}", file=sys.stderr)
    )
    with style.steady():
        drawn = draw(found, name)
    style.save(drawn, path.parent, path.name)
    return [*answers(found), standing.NOTE, f"figure: {path}.svg, {path}.png"]


class Yours:
    """A machine, and what to show of it."""

    def __init__(
        self, machine: Capture, name: str, run: runs.Run, probes: list[Path], captured: bool = True
    ):
        self.seen, self.name, self.run = machine, name, run
        self.probes, self.captured = probes, captured

    @cached_property
    def forecast(self) -> Forecast:
        """What every proposal does, from drawn states."""
        return forecast.forecast(self.seen, seed=self.run.params.seed)

    def machine(self) -> Markdown:
        """The machine in a few lines; whose it is."""
        if self.captured:
            said = f"**Your machine**, `{self.name}`."
        else:
            said = (
                f"**No capture was given**: this is `{self.name}`, seen as a stock kernel would "
                "have shown it. Run `secretjax capture --out params/machines/mine.npz` as root, "
                "then this notebook again."
            )
        return Markdown("\n".join([said, "", *_listed(summary.facts(self.seen))]))

    def agreement(self) -> HTML:
        """Everything that the kernel said twice."""
        rows = [
            {"agrees": "yes" if f.agrees else "NO", "comparison": f.sentence}
            for f in consistency.report(self.seen)
        ]
        return table(pd.DataFrame(rows))

    def answer(self) -> Markdown:
        """The outcome of every proposal in a sentence each."""
        try:
            head, *rows = answers(self.forecast)
        except UserError as error:
            return _not_modelled(error)
        return noted("\n".join([html.escape(head, quote=False), "", *_listed(rows)]))

    def figure(self, name: str) -> Image | Markdown:
        """Draws the forecast, saves it in the run folder as SVG and PNG, and shows it."""
        try:
            found = self.forecast
        except UserError as error:
            return _not_modelled(error)
        with style.steady():
            drawn = draw(found, f"{self.name}. Run {self.run.run_id}")
        return picture(drawn, self.run.figures_dir, name, "Every proposal on this machine.")

    def inferred(self) -> HTML:
        """What drawing each part of a start state costs on the lab's cases."""
        rows = losses().astype(object)
        return table(rows.where(rows.notna(), "-"))  # since 6.10 a block's list is its pageblock's

    def inferred_answer(self) -> Markdown:
        """The same in a sentence."""
        rows = pd.DataFrame(loss.table())
        away = (rows["inferred"] / rows["exact"] - 1).abs()
        every = rows["drawn"].eq(loss.ALL)
        worst = rows.loc[away[every].idxmax()]
        within = int((away[every] <= loss.BAR).sum())
        return Markdown(
            f"With every part drawn, {within} of {int(every.sum())} predictions of splits are "
            f"within {100 * loss.BAR:.0f} % of those from the exact start state; the farthest is "
            f"`{worst['case']}` at `{worst['step']}`, {short(worst['inferred'])} against "
            f"{short(worst['exact'])}."
        )

    def probe(self) -> Markdown:
        """The newest probe beside its prediction, if there is one."""
        if not self.probes:
            return Markdown(
                "*No probe was given. `secretjax probe --yes --out params/machines/probe.json` "
                "maps real secret memory; what it splits stays split until the machine is started "
                "again.*"
            )
        file = self.probes[-1]
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            told = found["told"] if found["format"] == probe.FORMAT else None
            assert isinstance(told, list) and all(isinstance(line, str) for line in told)
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise UserError(
                f"{file}: is no result of `secretjax probe --out`; remove it or probe again"
            ) from error
        return Markdown("\n".join(_listed(told)))


def _listed(lines: list[str]) -> list[str]:
    """Sentences as a list; what was read from a machine's files is text in them, never markup."""
    return [f"- {html.escape(line, quote=False)}" for line in lines]


def _not_modelled(error: UserError) -> Markdown:
    """A capture without root is shown as far as it goes."""
    return Markdown(f"*No prediction: {html.escape(str(error), quote=False)}.*")


def answers(found: Forecast) -> list[str]:
    """What was predicted, then a line a proposal at the last step."""
    size = list(found.pages)[-1]
    told = [
        f"With {size} of secret memory in {found.zone}, over {found.states} states drawn from "
        f"what was seen{f' ({found.note})' if found.note else ''}:"
    ]
    for name, values in found.values.items():
        parts = [_span(values[m][:, -1], LABELS[m]) for m in SHOWN]
        refused = found.pages[size] - values["granted"][:, -1]
        if refused.any():
            parts.append(_span(refused, "Pages refused"))
        validated = proposals.make(name).validated
        told.append(f"{standing.marked(f'`{name}`', validated)}: {'; '.join(parts)}")
    return told


def _span(values: np.ndarray, label: str) -> str:
    mean, low, high = forecast.interval(values)
    text = short(mean) if low == high else f"{short(mean)} [{short(low)}, {short(high)}]"
    return f"{label[:1].lower()}{label[1:]} {text}"


def losses() -> pd.DataFrame:
    """The committed table of `machine.loss`, a row a case and step, a column a part."""
    rows = pd.DataFrame(loss.table())
    rows["drawn"] = pd.Categorical(rows["drawn"], [*infer.PARTS, loss.ALL])
    wide = rows.pivot(index=["case", "step", "exact"], columns="drawn", values="inferred")
    wide.columns = ["all" if c == loss.ALL else lab.named([c]) for c in wide.columns]
    return wide.reset_index()


def draw(found: Forecast, source: str):
    """Every proposal's outcome at the last step: a dot a state, a bar for the mean."""
    style.apply()
    names = list(found.values)
    metrics = [m for m in SHOWN if m != "dm_1g_split" or _any(found, m)]
    figure, axes = plt.subplots(
        1,
        len(metrics),
        figsize=(3.1 * len(metrics) + 1.4, 0.42 * len(names) + 1.6),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    known, rows = proposals.table(), range(len(names))
    for axis, metric in zip(axes.flat, metrics, strict=True):
        for row, name in enumerate(names):
            values = found.values[name][metric][:, -1]
            slot = known[name].slot
            colour = style.COLOURS[slot % len(style.COLOURS)]
            shifted = row + np.linspace(-0.2, 0.2, len(values))
            axis.plot(
                values, shifted, lw=0, color=colour, alpha=0.6, ms=5,
                marker=style.MARKERS[slot % len(style.MARKERS)],
            )  # fmt: skip
            axis.plot([values.mean()] * 2, [row - 0.33, row + 0.33], color=style.INK, lw=1.6)
        axis.set_title(LABELS[metric])
        axis.set_yticks(
            rows, [standing.marked(known[name].label, known[name]().validated) for name in names]
        )
        axis.set_xlim(left=min(0, axis.get_xlim()[0]))
        axis.grid(axis="y", visible=False)
    axes.flat[0].invert_yaxis()
    style.caption(
        figure,
        f"{list(found.pages)[-1]} of secret memory in {found.zone}. Each dot is one of "
        f"{found.states} states drawn within what the kernel shows, each bar their mean; seed "
        f"{found.seed}. {source}.",
    )
    return figure


def _any(found: Forecast, metric: str) -> bool:
    return any(values[metric].any() for values in found.values.values())
