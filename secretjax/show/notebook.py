"""What a notebook may call: it opens a run, shows figures and tables, and says what they mean.

Sentences are made from the run's numbers, and each number quoted is kept by name in the run's
`figures/numbers`; no number in a notebook is typed by hand.
"""

import html
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Image, Markdown

from secretjax.errors import UserError
from secretjax.registry import pick
from secretjax.show import (
    answer,
    catalogue,
    claims,
    conclusions,
    figures,
    sentences,
    standing,
    style,
)
from secretjax.show.answer import plain
from secretjax.show.claims.base import said
from secretjax.show.comparison import Comparison
from secretjax.show.figures.decision_map import wins
from secretjax.show.measured import Measured, words
from secretjax.study import runs, sensitivity
from secretjax.study.sensitivity import Sensitivity

PAIRS = (("pmd_pool", "per_page"), ("cma_pool", "per_page"), ("migratable", "per_page"))
TOLD = {True: "as claimed", False: "not as claimed", None: "the interval says neither"}
ONE_KERNEL = "*Here each state runs under its own kernel's rules; `params/fallback.yaml` compares.*"


def open(params_file: str | Path, results_dir: str | Path) -> "Study":
    """The run of a params file; `UserError` with the command to give when it is not there."""
    return Study(runs.open_run(params_file, results_dir))


class Study(Measured, Comparison):
    """A run, and what to show of it."""

    def __init__(self, run: runs.Run):
        Measured.__init__(self, run)
        Comparison.__init__(self, run.folder)

    def kernel(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The model compared with the kernel, see `secretjax.study.runs.Run.kernel`."""
        return self.run.kernel()

    @cached_property
    def aged(self) -> pd.DataFrame:
        """Aged states and the captured start states, see `secretjax.study.aged`."""
        return self.run.ageing()

    # the study and its plug-ins

    def describe(self) -> Markdown:
        """The study in a few lines."""
        p = self.params
        demands = " and ".join(f"`{d.name}`" for d in p.demands)
        return Markdown(
            f"**{html.escape(' '.join(p.question.split()), quote=False)}**\n\n"
            f"{len(self.arms)} arms face the demands {demands} in {p.states} memory states each"
            f"{', not every arm each demand' if any(d.arms for d in p.demands) else ''}. "
            f"The states come from {len(p.starts)} captured ones ({sentences.code(p.starts)}), "
            f"each aged by {plain(p.ageing_events)} background events of its own. Differences are "
            f"taken to `{p.baseline}`, state by state; seed {p.seed}; run `{self.run.run_id}`."
        )

    def checks(self) -> Markdown:
        """That all arms answered the same demand in full; stops the notebook if not."""
        for demand in self.params.demands:
            total = sum(self.totals(demand.name, m) for m in ("granted", "refused"))
            if np.ptp(total, axis=0).any():
                raise UserError(
                    f"{self.run.folder}: arms of '{demand.name}' did not face the same demand; "
                    "remove the folder and run the study again"
                )
        return Markdown(
            "Checked: every page that was asked for was granted or refused, in every state of "
            "every arm, and every arm was asked for the same."
        )

    def totals(self, demand: str, metric: str) -> np.ndarray:
        """[arms, states] at the peak."""
        step, arms = self.peak(demand), self.facing(demand)
        return np.stack([self.at(demand, step, arm, metric) for arm in arms])

    def plugins(self, kind: str) -> HTML:
        """All proposals, admissions or workloads: what each is, who said it, what it leaves out."""
        rows = []
        for entry in catalogue.entries(kind):
            missing = " ".join(entry.text.partition("Not modelled:")[2].split()).rstrip(".")
            rows.append(
                {
                    "name": entry.name,
                    "what": entry.line,
                    **({"validated": entry.standing} if entry.standing else {}),
                    "source": entry.source,
                    "not modelled yet": missing or "-",
                }
            )
        return table(pd.DataFrame(rows).map(lambda words: words.replace("`", "")))

    def costs(self) -> HTML:
        """The cost table with its sources."""
        return table(self.run.costs().frame())

    def wins(self) -> HTML | Markdown:
        """Arms by criteria: in how many of the places of the decision map no other beats them."""
        if not self.demand_steps("growth"):
            return self._absent("demand", "growth")
        found = wins(self)
        rows = []
        for arm in self.facing("growth"):
            if arm.name in found:
                shares = found[arm.name].items()
                row = {
                    title: "all tie" if np.isnan(s) else sentences.short(s) for title, s in shares
                }
                rows.append({"arm, % of the places where arms differ": style.label(arm)} | row)
        return table(pd.DataFrame(rows))

    def published(self) -> HTML:
        """What others measured, with its sources: to hold beside the model, never part of it."""
        return table(pd.read_csv(Path(__file__).with_name("published.csv"), dtype=str))

    # figures and answers

    def figure(self, name: str) -> Image | Markdown:
        """Draws a figure, saves it in the run folder as SVG and PNG, and shows it."""
        draw = pick("figure", figures.table(), name)
        with style.steady():
            drawn = draw(self)
        if drawn is None:
            return Markdown(f"*This study has nothing to show in `{name}`.*")
        what = " ".join((draw.__doc__ or name).split("\n\n")[0].split())
        return picture(drawn, self.run.figures_dir, name, what)

    def memory_map(self, arm: str, demand: str = "growth", state: int = 0) -> Image | Markdown:
        """What each page is in one state, computed again, at each measuring point of a demand."""
        from secretjax.show import explorer, memory_map

        if not self.demand_steps(demand):
            return self._absent("demand", demand)
        if (one := sentences.arm_of(self, arm, demand)) is None:
            return self._absent_arm(arm, demand)
        asked = next(d for d in self.params.demands if d.name == demand)
        zones = explorer.watched(self, one, asked, state)
        start = self.starts(demand)[state]
        about = (
            f"{style.label(one)}, `{demand}`: state {state}, from {start}. Run {self.run.run_id}."
        )
        name = f"memory_map_{demand}_{arm}_{state}"
        drawn = memory_map.draw({sentences.moment(k): z for k, z in zones.items()}, about)
        return picture(drawn, self.run.figures_dir, name, f"Map of physical memory. {about}")

    def memory_film(self, *arms: str, state: int = 0) -> HTML | Markdown:
        """Memory of one state as secret memory grows percent by percent, under each arm."""
        from secretjax.show import memory_film

        if not self.demand_steps("growth"):
            return self._absent("demand", "growth")
        shown = [one for arm in arms if (one := sentences.arm_of(self, arm, "growth"))]
        if not shown:
            return self._absent_arm("` or `".join(arms), "growth")
        return memory_film.of(self, shown, state)

    def explorer(self, demand: str = "", arm: str = "", state: int = 0) -> Any:
        """Widgets to look at one state under any arm, see `secretjax.show.explorer`.

        demand, arm: shown at first; `growth` and `per_page` if not given, or what there is instead
        """
        from secretjax.show.explorer import Explorer

        demand = demand or _first([d.name for d in self.params.demands], "growth")
        if not self.demand_steps(demand):
            return self._absent("demand", demand)
        arm = arm or _first([a.name for a in self.facing(demand)], "per_page")
        if sentences.arm_of(self, arm, demand) is None:
            return self._absent_arm(arm, demand)
        return Explorer(self, demand, arm, state)

    def answers(self, demand: str, *metrics: str) -> Markdown:
        """A sentence a metric at the peak of a demand: all arms, from the lowest to the highest."""
        if not self.demand_steps(demand):
            return self._absent("demand", demand)
        told = [sentences.state_of(self, demand, metric) for metric in metrics]
        for metric, (_, numbers) in zip(metrics, told, strict=True):
            self.quote(f"{demand}.{metric}", numbers)
        return noted("\n".join(f"- {text}" for text, _ in told))

    def compare(self, demand: str, arm: str, other: str, *metrics: str) -> Markdown:
        """Paired differences between two arms at the peak of a demand, a sentence a metric."""
        if not self.demand_steps(demand):
            return self._absent("demand", demand)
        one, two = (sentences.arm_of(self, name, demand) for name in (arm, other))
        if one is None or two is None:
            return self._absent_arm(arm if one is None else other, demand)
        told = [sentences.compared(self, demand, one, two, m) for m in metrics]
        for metric, (_, numbers) in zip(metrics, told, strict=True):
            self.quote(f"{demand}.{arm}-minus-{other}.{metric}", numbers)
        names = [sentences.called(side) for side in (one, two)]
        head = f"{' against '.join(names)}, `{demand}` {sentences.when(self.peak(demand))}:"
        return noted("\n".join([head, "", *[f"- {text}" for text, _ in told]]))

    def compare_rules(self, demand: str, *metrics: str) -> Markdown:
        """`compare`, of each arm that runs under other kernels' rules with its first such arm."""
        first: dict[tuple[str, str], str] = {}
        told = []
        for arm in self.arms:
            if arm.rules:
                other = first.setdefault((arm.proposal, arm.admission), arm.name)
                if other != arm.name:
                    told.append(self.compare(demand, arm.name, other, *metrics).data)
        return Markdown("\n\n".join(told) or ONE_KERNEL)

    def summary(self, demand: str, *metrics: str) -> HTML | Markdown:
        """Arms by metrics at the peak: mean and interval."""
        if not self.demand_steps(demand):
            return self._absent("demand", demand)
        step = self.peak(demand)
        rows = []
        for arm in self.facing(demand):
            row = {"arm": style.label(arm)}
            for metric in metrics:
                said = words(metric)
                head = f"{said.label}, {said.unit}"
                row[head] = sentences.span(self.estimate(demand, step, arm, metric))
            rows.append(row)
        for metric in metrics:
            self.quote(f"{demand}.{metric}", sentences.state_of(self, demand, metric)[1])
        return table(pd.DataFrame(rows))

    def claims(self, *ids: str) -> Markdown:
        """Claims as they were made, whether they hold in this run, and what each test says."""
        told = []
        for claim in (pick("claim", claims.table(), name) for name in ids):
            verdict, found = claim.weigh(self)
            self.quote(f"claims.{claim.id}", {k: v for w in found for k, v in w.numbers.items()})
            why = said(claim, verdict, found)
            tests = [f"- {w.text}: {TOLD[w.holds]}" for w in found if w.asked]
            head = f"**{claim.id}: {claim.question}** {claim.said}."
            told += [f"{head}\n\n**{verdict.capitalize()}**: {why}.", "\n".join(tests)]
        return noted("\n\n".join(told))

    def verdicts(self) -> HTML:
        """Every claim, its answer, the reason, and the notebook that goes into it.

        Kept in the run's `figures/claims.json`, for the first page of the site.
        """
        rows = []
        for claim in claims.table().values():
            verdict, found = claim.weigh(self)
            row = {"id": claim.id, "question": claim.question, "answer": verdict}
            rows.append(row | {"why": said(claim, verdict, found), "notebook": claim.notebook})
        runs.write_json(self.run.figures_dir / "claims.json", {"claims": rows})
        return HTML(answer.claims(rows))

    @cached_property
    def sensitivities(self) -> dict[tuple[str, str], Sensitivity]:
        """{(arm, other): on what it depends which is cheaper} at the peak of growth."""
        if not self.demand_steps("growth"):
            return {}
        step, table = self.peak("growth"), self.run.costs()
        at, of = self.demand_steps("growth").index(step), self.starts("growth")
        means = {}
        for arm in self.facing("growth"):
            granted = self.array("growth", arm, "granted")[:, at]
            events = self.counts("growth", arm)[:, at]
            served = [(of == s) & (granted > 0) for s in dict.fromkeys(of)]
            if all(rows.any() for rows in served):
                per_page = events / np.maximum(granted, 1)[:, None]
                means[arm.name] = np.stack([per_page[rows].mean(0) for rows in served])
        pairs = [pair for pair in PAIRS if set(pair) <= set(means)]
        cpus = self.params.cpus
        return {(a, b): sensitivity.analyse(means[a], means[b], table, cpus) for a, b in pairs}

    def depends(self) -> Markdown:
        """Where each conclusion holds, and what in memory it depends on most; a sentence each."""
        told = []
        for one in conclusions.of(self):
            text, numbers = conclusions.told(self, one)
            told.append(f"- {text}")
            self.quote(f"depends.{one.arm.name}.{one.other.name}.{one.metric}", numbers)
        if not told:
            return Markdown("*This study has no arms to compare here.*")
        own = "Each place is judged by its own 95 % interval, not corrected for their number."
        return noted("\n".join([*told, "", own]))

    def cheaper(self) -> Markdown:
        """Which of two arms is cheaper, or what it depends on, in a sentence a pair."""
        told = []
        for (one, other), s in self.sensitivities.items():
            first, second = (sentences.called(self.params.arm(name)) for name in (one, other))
            told.append(f"- {sentences.cheaper(first, second, s)}")
            numbers = {f"total.{f}": {"value": v, "unit": "of 1"} for f, v in s.total.items()}
            self.quote(f"cheaper.{one}.{other}", {"share": {"value": s.cheaper}, **numbers})
        return noted("\n".join(told) or "*This study has no arms to compare here.*")

    def quote(self, name: str, numbers: sentences.Numbers) -> None:
        """Keeps numbers that are quoted, so that each can be found by its name."""
        runs.write_json(self.run.figures_dir / "numbers" / f"{name}.json", numbers)

    def _absent(self, kind: str, name: str) -> Markdown:
        return Markdown(f"*This study has no {kind} `{name}`.*")

    def _absent_arm(self, name: str, demand: str) -> Markdown:
        return Markdown(f"*This study has no arm `{name}` under `{demand}`.*")


def _first(names: list[str], wanted: str) -> str:
    return wanted if wanted in names else names[0]


def picture(drawn: style.Figure, folder: Path, name: str, what: str) -> Image:
    """A figure, saved as SVG and PNG; what: said instead of it."""
    style.save(drawn, folder, name)
    return Image(data=(folder / f"{name}.png").read_bytes(), width=980, alt=what)


def noted(text: str) -> Markdown:
    """Sentences, and what a mark in them means."""
    return Markdown(f"{text}\n\n{standing.NOTE}" if standing.MARK in text else text)


def table(frame: pd.DataFrame) -> HTML:
    """A frame as HTML, without its index; wide ones scroll; what a mark in it means."""
    text = frame.to_html(
        index=False,
        border=0,
        justify="left",
        classes="table",
        float_format=lambda x: plain(float(x)),
    )
    note = f"<p>{standing.NOTE}</p>" if standing.MARK in text else ""
    return HTML(f'<div style="overflow-x:auto">{text}</div>{note}')
