"""What a notebook may call: it opens a run, shows figures and tables, and says what they mean.

Sentences are made from the run's numbers, so no number in a notebook is typed by hand.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import HTML, Image, Markdown

from secretjax.errors import UserError
from secretjax.registry import pick
from secretjax.show import catalogue, figures, style
from secretjax.show.answer import plain
from secretjax.study import runs, statistics
from secretjax.study.headline import described


def open(params_file: str | Path, results_dir: str | Path) -> "Study":
    """The run of a params file; `UserError` with the command to give when it is not there."""
    return Study(runs.open_run(params_file, results_dir))


class Study:
    """A run, and what to show of it."""

    def __init__(self, run: runs.Run):
        self.run, self.params = run, run.params
        self.arms = list(run.params.arms)
        self.samples = run.samples()

    @cached_property
    def costed(self) -> pd.DataFrame:
        """Costs and exposure, with their bounds."""
        return self.run.costed()

    @cached_property
    def replays(self) -> pd.DataFrame:
        """One row a replay case."""
        return self.run.kernel()[0]

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row a predict case, step and metric."""
        return self.run.kernel()[1]

    # what was measured

    def steps(self, demand: str) -> list[str]:
        """Measuring points in order."""
        return list(dict.fromkeys(self.samples.loc[self.samples["demand"] == demand, "step"]))

    def peak(self, demand: str) -> str:
        """The last measuring point before everything is given back."""
        return self.steps(demand)[-2]

    def starts(self, demand: str) -> np.ndarray:
        """Start state of each state."""
        mine = self.samples[self.samples["demand"] == demand]
        return mine.drop_duplicates("state").sort_values("state")["start"].astype(str).to_numpy()

    def values(self, demand: str, metric: str, bound: str = "best") -> dict[str, pd.DataFrame]:
        """{arm: frame of states x steps}."""
        costs = metric in set(self.costed["metric"]) if metric not in set(self.samples["metric"]) else False
        table, column = (self.costed, bound) if costs else (self.samples, "value")
        mine = table[(table["demand"] == demand) & (table["metric"] == metric)]
        return {arm: part.pivot(index="state", columns="step", values=column) for arm, part in mine.groupby("arm", observed=True)}

    def at(self, demand: str, step: str, arm, metric: str, bound: str = "best") -> np.ndarray:
        """One number a state."""
        return self.values(demand, metric, bound)[arm.name][step].to_numpy(np.float64)

    def estimate(self, demand: str, step: str, arm, metric: str, bound: str = "best") -> statistics.Estimate:
        """Mean over the states with its interval."""
        return statistics.interval(self.at(demand, step, arm, metric, bound), self.starts(demand))

    def difference(self, demand: str, step: str, arm, metric: str) -> statistics.Difference:
        """Paired difference to the baseline."""
        base = self.params.arm(self.params.baseline)
        pair = (self.at(demand, step, one, metric) for one in (arm, base))
        return statistics.paired(*pair, self.starts(demand))

    def words(self, metric: str) -> tuple[str, str]:
        """Label and unit."""
        return described()[metric]

    def rests_on(self, demand: str) -> str:
        """What a figure rests on."""
        starts = len(set(self.starts(demand)))
        return (
            f"Run {self.run.run_id}: {self.params.states} states from {starts} captured start states; "
            "mean and 95 % bootstrap interval over the states."
        )

    def kernel_rests_on(self) -> str:
        """The same for comparisons with the kernel."""
        return f"Run {self.run.run_id}: {self.predictions['case'].nunique()} cases of a captured Linux 6.12."

    # what a notebook shows

    def describe(self) -> Markdown:
        """The study in a few lines."""
        p = self.params
        demands = ", ".join(d.name for d in p.demands)
        return Markdown(
            f"**{p.question.strip()}**\n\n"
            f"{len(self.arms)} arms, demands {demands}; {p.states} states each, from the captured states "
            f"{', '.join(p.starts)}; {p.ageing_events} background events before the demand; seed {p.seed}; "
            f"differences are taken to `{p.baseline}`. Run `{self.run.run_id}`."
        )

    def checks(self) -> Markdown:
        """That all arms answered the same demand in full; stops the notebook if not."""
        for demand in self.params.demands:
            total = sum(self.totals(demand.name, m) for m in ("granted", "refused_mmap", "refused_fault"))
            if np.ptp(total) != 0:
                raise UserError(f"{self.run.folder}: arms of '{demand.name}' did not face the same demand")
        return Markdown("Every page that was asked for was granted or refused, in every state of every arm.")

    def totals(self, demand: str, metric: str) -> np.ndarray:
        """[arms, states] at the peak."""
        return np.stack([self.at(demand, self.peak(demand), arm, metric) for arm in self.arms])

    def figure(self, name: str) -> Image | Markdown:
        """Draws a figure, saves it in the run folder as SVG and PNG, and shows it."""
        figure = pick("figure", figures.table(), name)(self)
        if figure is None:
            return Markdown(f"*This study has nothing to show in `{name}`.*")
        style.save(figure, self.run.figures_dir, name)
        style.plt.close(figure)
        return Image(data=(self.run.figures_dir / f"{name}.png").read_bytes(), width=980, alt=f"figure {name}")

    def plugins(self, kind: str) -> HTML:
        """All proposals, admissions or workloads: what each is, who said it, what it leaves out."""
        rows = []
        for entry in catalogue.entries(kind):
            missing = entry.text.partition("Not modelled:")[2].strip().rstrip(".")
            rows.append({"name": entry.name, "what": entry.line, "source": entry.source, "not modelled yet": " ".join(missing.split())})
        return table(pd.DataFrame(rows))

    def answers(self, demand: str, *metrics: str) -> Markdown:
        """A sentence a metric: every arm's mean, and where the paired difference is undetermined."""
        return Markdown("\n".join(f"- {self.sentence(demand, metric)}" for metric in metrics))

    def sentence(self, demand: str, metric: str) -> str:
        """One metric at the peak of a demand, from the numbers."""
        step, (label, unit) = self.peak(demand), self.words(metric)
        found = {arm.name: self.estimate(demand, step, arm, metric) for arm in self.arms}
        groups: dict[str, list[str]] = {}
        for arm, e in sorted(found.items(), key=lambda item: item[1].mean):
            span = plain(round(e.mean, 1)) if e.low == e.high else f"{plain(round(e.mean, 1))} [{plain(round(e.low, 1))}, {plain(round(e.high, 1))}]"
            groups.setdefault(span, []).append(f"`{arm}`")
        told = "; ".join(f"{span} for {', '.join(arms)}" for span, arms in groups.items())
        others = [arm for arm in self.arms if arm.name != self.params.baseline]
        open_ = [a.name for a in others if self.difference(demand, step, a, metric).verdict == "undetermined"]
        tail = f" The difference to `{self.params.baseline}` is undetermined for {', '.join(f'`{n}`' for n in open_)}." if open_ else ""
        return f"**{label}** ({unit}), at `{step}`: {told}.{tail}"

    def summary(self, demand: str, *metrics: str) -> HTML:
        """Arms by metrics at the peak: mean and interval."""
        rows = []
        for arm in self.arms:
            row = {"arm": style.label(arm.proposal, arm.admission)}
            for metric in metrics:
                e = self.estimate(demand, self.peak(demand), arm, metric)
                label, unit = self.words(metric)
                row[f"{label}, {unit}"] = plain(round(e.mean, 1)) if e.low == e.high else f"{plain(round(e.mean, 1))} ({plain(round(e.low, 1))} to {plain(round(e.high, 1))})"
            rows.append(row)
        return table(pd.DataFrame(rows))

    def costs(self) -> HTML:
        """The cost table with its sources."""
        return table(self.run.costs().frame())

    def replay_table(self) -> HTML | Markdown:
        """Replay cases: pfns and lists equal to the kernel's."""
        if not len(self.replays):
            return Markdown("*This study was run without the comparison with the kernel.*")
        mine = self.replays[self.replays["modelled"]].drop(columns="modelled")
        return table(mine.rename(columns={"same_pfn": "same pfn", "lists_equal": "lists equal in order"}))

    def replay_answer(self) -> Markdown:
        """The replay cases in a sentence."""
        if not len(self.replays):
            return Markdown("*This study was run without the comparison with the kernel.*")
        mine, other = (self.replays[self.replays["modelled"] == m] for m in (True, False))
        return Markdown(
            f"**{plain(int(mine['same_pfn'].sum()))} of {plain(int(mine['requests'].sum()))} requests got the very pfn "
            f"that the kernel gave**, and {plain(int(mine['lists_equal'].sum()))} of {plain(int(mine['lists'].sum()))} "
            f"free lists were equal in their order, over {len(mine)} recorded streams. {len(other)} streams of a 6.1 "
            "kernel, whose fallback is another (K511), are not modelled yet and not counted."
        )

    def predict_answer(self) -> Markdown:
        """The predict cases in a sentence."""
        if not len(self.predictions):
            return Markdown("*This study was run without the comparison with the kernel.*")
        judged = self.predictions[self.predictions["agrees"].notna()]
        early = judged[judged["step"].isin(["secret_5", "secret_10"]) & judged["metric"].eq("dm_2m_split")]
        late = judged[judged["step"].isin(["secret_20", "secret_30"]) & judged["metric"].eq("dm_2m_split")]
        told = lambda part: f"{int(part['agrees'].astype(bool).sum())} of {len(part)}"  # noqa: E731
        return Markdown(
            f"**{told(judged)} figures agree within their tolerance.** Splits of the direct map: {told(early)} while secret "
            f"memory is 5 or 10 % of memory, {told(late)} at 20 and 30 %, where memory gets tight and the kernel's "
            "background work, which is not in the model yet, decides."
        )

    def misses(self) -> HTML | Markdown:
        """Every figure outside its tolerance."""
        if not len(self.predictions):
            return Markdown("")
        judged = self.predictions[self.predictions["agrees"].notna()]
        missed = judged[~judged["agrees"].astype(bool)]
        columns = ["case", "step", "metric", "kernel", "mean", "low", "high"]
        return table(missed[columns].round(1))


def table(frame: pd.DataFrame) -> HTML:
    """A frame as HTML, without its index; wide ones scroll."""
    text = frame.to_html(index=False, border=0, justify="left", classes="table", float_format=lambda x: plain(float(x)))
    return HTML(f'<div style="overflow-x:auto">{text}</div>')
