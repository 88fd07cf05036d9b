"""What notebook 10 says about the comparison with a captured kernel, from its numbers."""

import re

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from scipy.stats import bootstrap

from secretjax.show import sentences
from secretjax.show.answer import plain
from secretjax.show.comparison import FEW, Comparison
from secretjax.show.notebook import table
from secretjax.study.kernel import TOLERANCE, agrees

SCENARIOS = {
    "a": "secret memory grows page by page, memory fragmented",
    "b": "the same, memory fresh",
    "c": "hugetlb: reservation, overcommit, fork, pool size",
    "d": "a CMA area is emptied under load, with and without pinned pages",
    "e": "others take huge pages until none is left",
    "p1": "a pool of pageblocks from the buddy",
    "p2": "a pool of pageblocks from a CMA area",
}
RULES = {"K511": "Linux 5.0 to 6.9", "K610": "6.10 to 6.12.28", "K612y": "6.12.29 and later"}
MIB = 256  # pages


def machine(study: Comparison) -> Markdown:
    """The captured machines."""
    there = [rows for rows in (study.replays, study.predictions) if len(rows)]
    if not there:
        return study.left_out()
    both = pd.concat(there)
    counts = ((study.replays, "recorded streams"), (study.predictions, "cases to predict"))
    told = [f"{rows['case'].nunique()} {words}" for rows, words in counts if len(rows)]
    low, high = -(-both["pages"].min() // MIB), -(-both["pages"].max() // MIB)
    kernels = study.kernels()
    size = " to ".join(plain(int(pages)) for pages in sorted({low, high}))
    cpus = ", ".join(str(n) for n in sorted(set(both["cpus"])))
    return Markdown(
        f"{f'Captured kernels: {kernels}. ' if kernels else ''}CPUs: {cpus}; zones of {size} MiB. "
        f"{sentences.listed(told)}. Fallback rules: "
        f"{', '.join(f'`{name}` ({RULES[name]})' for name in sorted(set(both['fallback'])))}."
    )


def replay_table(study: Comparison) -> HTML | Markdown:
    """Every compared stream: pfns and lists equal to the kernel's, and the paths it takes."""
    if not len(study.replays):
        return study.left_out()
    mine = study.replays
    words = {
        "case": "stream",
        "requests": "allocations",
        "same_pfn": "same pfn",
        "snapshots": "snapshots",
        "lists": "lists",
        "lists_equal": "equal in order",
        "frees": "frees",
        "claims": "claims",
        "steals": "steals",
    }
    return table(mine[list(words)].rename(columns=words))


def replay_covers(study: Comparison) -> Markdown:
    """Which paths the recorded streams take, and which they never do."""
    if not len(study.replays):
        return study.left_out()
    mine = study.replays
    paths = {
        "allocations": "requests",
        "frees": "frees",
        "pageblocks claimed by another type": "claims",
        "claims that moved the free parts of a used pageblock": "claims_by_moving",
        "blocks stolen from a foreign list": "steals",
    }
    found = {words: int(mine[column].sum()) for words, column in paths.items()}
    taken = "; ".join(f"{words}: {plain(n)}" for words, n in found.items() if n)
    never = [words for words, n in found.items() if not n]
    covered = f"The streams cover: {taken}."
    if not never:
        return Markdown(covered)
    return Markdown(
        f"{covered} **No recorded stream has: {'; '.join(never)}.** That is checked on random "
        "streams only, against an independent allocator in plain Python."
    )


def other_rules(study: Comparison) -> HTML | Markdown:
    """The same streams under the rules of other kernels: how far UNMOVABLE requests spread."""
    rows = study.replays
    every = [f"blocks_{rules}" for rules in RULES]
    rows = rows[rows[every].gt(0).any(axis=1)] if len(rows) else rows
    if not len(rows):
        return study.left_out()
    told = {"stream": rows["case"], "recorded under": rows["fallback"]}
    for rules, versions in RULES.items():
        counts = rows[[f"blocks_{rules}", f"steals_{rules}"]].astype("Int64").astype(str)
        shown = counts[f"blocks_{rules}"] + " (" + counts[f"steals_{rules}"] + ")"
        told[f"{rules}, {versions}"] = shown.where(rows[f"blocks_{rules}"].notna(), "-")
    return table(pd.DataFrame(told))


def two_kernels(study: Comparison) -> HTML | Markdown:
    """Splits by the kernels before and after: the same scenario and seed on each, and the model."""
    rows = study.predictions
    rows = rows[rows["metric"].eq("dm_2m_split")] if len(rows) else rows
    if not len(rows):
        return study.left_out()
    name = rows["case"].str.removesuffix("_k61")
    told = []
    for key, part in rows.groupby([name, rows["step"]], sort=False):
        old, new = (part[part["fallback"].eq(rules)] for rules in ("K511", "K612y"))
        if len(old) and len(new) and part["case"].nunique() == 2:
            pair = old.iloc[0], new.iloc[0]
            line = {"demand": key[0], "step": key[1].removeprefix("secret_") + " %"}
            for words, one in zip(("K511", "K612y"), pair, strict=True):
                line[f"{words}, kernel"] = plain(int(one["kernel"]))
                span = f"{one['mean']:.0f} ({one['low']:.0f} to {one['high']:.0f})"
                line[f"{words}, model"] = span
            for words, column in (("kernel's ratio", "kernel"), ("model's ratio", "mean")):
                before, after = (one[column] for one in pair)
                line[words] = f"{after / before:.2f}" if before else "-"
            told.append(line)
    return table(pd.DataFrame(told)) if told else FEW


def by_scenario(study: Comparison) -> HTML | Markdown:
    """Figures inside their tolerance, by what was done to the kernel."""
    if not len(study.predictions):
        return study.left_out()
    judged = study.predictions[study.predictions["agrees"].notna()]
    rows = []
    for (name, rules), part in judged.groupby(["scenario", "fallback"], sort=True):
        good, reasons = part["agrees"].astype(bool), part["reason"].dropna()
        rows.append({
            "": name, "what is done": SCENARIOS[name], "fallback": rules,
            "cases": part["case"].nunique(),
            "figures": len(part), "within": int(good.sum()), "share": f"{good.mean():.0%}",
            "why not all": "; ".join(dict.fromkeys(reasons)) or "-",
        })  # fmt: skip
    return table(pd.DataFrame(rows))


def by_step(study: Comparison) -> HTML | Markdown:
    """Growth of secret memory page by page: figures inside their tolerance, metric by step."""
    rows = study.predictions
    rows = rows[rows["agrees"].notna() & rows["scenario"].isin(["a", "b"])] if len(rows) else rows
    if not len(rows):
        return study.left_out()
    good = rows.assign(agrees=rows["agrees"].astype(bool))
    counts = good.groupby(["metric", "step"], sort=False)["agrees"].agg(["sum", "size"])
    told = counts.apply(lambda n: f"{n['sum']} of {n['size']}", axis=1).unstack("step")
    return table(told.rename_axis(columns=None).reset_index())


def base(case: str) -> str:
    """The machine state and kernel of a case, without which run of it this is."""
    return re.sub(r"_rep(?=_k61$|$)", "", case)


def repeated(study: Comparison) -> HTML | Markdown:
    """How well one run of the kernel foretells another from the same demand, next to the model."""
    told = repeats(study.predictions)
    return table(pd.DataFrame(told)) if told else study.left_out()


def repeats(rows: pd.DataFrame) -> list[dict]:
    """The lines of `repeated`: each case that the kernel ran twice, both ways."""
    rows = rows[rows["agrees"].notna()] if len(rows) else rows
    told, cases = [], list(dict.fromkeys(rows["case"])) if len(rows) else []
    for name in cases:
        twin = next((case for case in cases if case != name and base(case) == name), None)
        if twin is None:
            continue
        both = (rows[rows["case"] == n] for n in (name, twin))
        runs = [part.set_index(["step", "metric"]) for part in both]
        for one, other in (runs, runs[::-1]):
            guesses = ((key, value, other["kernel"][[key]]) for key, value in one["kernel"].items())
            within = sum(bool(agrees(key[1], v, guess.to_numpy())) for key, v, guess in guesses)
            told.append({
                "case": one["case"].iloc[0], "figures": len(one),
                "within, by the kernel's other run": within,
                "within, by the model": int(one["agrees"].astype(bool).sum()),
            })  # fmt: skip
    return told


def unevictable(study: Comparison) -> HTML | Markdown:
    """What changes when compaction leaves unevictable pages alone: kernel and model."""
    rows = study.predictions
    if len(rows):
        tight = rows["step"].isin(["secret_20", "secret_30"])
        rows = rows[tight & rows["metric"].isin(["dm_2m_split", "migrate_failed"])]
    if not len(rows):
        return study.left_out()
    state = rows["case"].map(base)
    spared = state.str.endswith("_unev0")
    told = []
    for key, part in rows.groupby(
        [state.str.removesuffix("_unev0"), rows["step"], rows["metric"]], sort=False
    ):
        on, off = part[~spared[part.index]], part[spared[part.index]]
        if len(on) and len(off):
            told.append(changed(key, on, off))
    return table(pd.DataFrame(told)) if told else study.left_out()


def changed(key: tuple[str, str, str], on: pd.DataFrame, off: pd.DataFrame) -> dict:
    """One line of `unevictable`: kernel's runs, model's states, and their differences."""
    two = [np.concatenate(list(part["values"])).astype(float) for part in (on, off)]
    kernel = off["kernel"].mean() - on["kernel"].mean()
    found = bootstrap(
        two, lambda a, b, axis: b.mean(axis) - a.mean(axis), method="percentile",
        n_resamples=2000, vectorized=True, random_state=0,
    )  # fmt: skip
    low, high = found.confidence_interval
    model = two[1].mean() - two[0].mean()
    shown = lambda part: ", ".join(plain(int(x)) for x in part["kernel"])  # noqa: E731
    return {
        "state": key[0], "step": key[1].removeprefix("secret_") + " %", "metric": key[2],
        "kernel, isolated": shown(on), "kernel, spared": shown(off),
        "model, isolated": round(two[0].mean(), 1), "model, spared": round(two[1].mean(), 1),
        "kernel changes": round(kernel, 1), "model changes": round(model, 1),
        "95 % of the mean": f"{low:.1f} to {high:.1f}",
        "same direction": "yes" if kernel * model > 0 else "no",
    }  # fmt: skip


def tolerances(study: Comparison) -> Markdown:
    """The rule by which a figure agrees."""
    if not len(study.predictions):
        return study.left_out()
    used = [metric for metric in TOLERANCE if metric in set(study.predictions["metric"])]
    exact = [f"`{m}`" for m in used if not any(TOLERANCE[m])]
    loose = [f"`{m}` {tolerance(*TOLERANCE[m])}" for m in used if any(TOLERANCE[m])]
    return Markdown(
        "A figure agrees when the mean over the states is this near to the kernel's value: "
        f"{', '.join(loose)}; exactly equal: {', '.join(exact) or 'none'}. It also agrees when the "
        "kernel lies in the model's interval and that is not wide. Other metrics are not judged."
    )


def tolerance(absolute: float | int, relative: float | int) -> str:
    """A pair of bounds in words; the larger counts."""
    words = [plain(absolute)] if absolute else []
    words += [f"{relative:.0%}"] if relative else []
    return " or ".join(words)


def misses(study: Comparison) -> HTML | Markdown:
    """Every figure outside its tolerance, with its reason."""
    if not len(study.predictions):
        return study.left_out()
    judged = study.predictions[study.predictions["agrees"].notna()]
    missed = judged[~judged["agrees"].astype(bool)]
    columns = ["case", "step", "metric", "kernel", "mean", "low", "high", "reason"]
    return table(missed[columns].round(1))
