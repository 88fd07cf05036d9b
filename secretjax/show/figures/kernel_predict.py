"""Predict: the model's interval against the kernel's value, every step of every growth."""

import matplotlib.pyplot as plt

from secretjax.show import style

PANELS = {
    "dm_2m_split": "2 MiB entries split",
    "free_2m": "free blocks of 2 MiB",
    "unmovable_pageblocks": "pageblocks with\nunmovable pages",
}


def draw(study):
    """Splits, huge pages left and unmovable pageblocks as secret memory grows."""
    style.apply()
    rows = study.predictions
    if len(rows):
        rows = rows[rows["scenario"].isin(["a", "b"]) & rows["metric"].isin(PANELS)]
    if not len(rows):
        return None
    keys = list(dict.fromkeys(zip(rows["case"], rows["step"], strict=True)))
    cases = list(dict.fromkeys(rows["case"]))
    places = {key: i + cases.index(key[0]) for i, key in enumerate(keys)}
    size = (10, 0.17 * max(places.values()) + 1.5)
    figure, axes = plt.subplots(1, len(PANELS), figsize=size, sharey=True, layout="constrained")
    for axis, (metric, title) in zip(axes, PANELS.items(), strict=True):
        panel(axis, rows[rows["metric"] == metric], places, title)
    label_steps(axes[0], places)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    equal = "Where nothing is drawn at random all states are equal: the interval is a point."
    style.caption(figure, f"{equal} {study.kernel_rests_on()}")
    return figure


def panel(axis, rows, places, title) -> None:
    """One metric: kernel and model of each step on a line."""
    y = [places[key] for key in zip(rows["case"], rows["step"], strict=True)]
    miss = ~rows["agrees"].astype(bool).to_numpy()
    colours = [style.MISS if m else style.MODEL for m in miss]
    axis.hlines(y, rows["kernel"], rows["mean"], color=colours, lw=1.4, alpha=0.6)
    axis.hlines(y, rows["low"], rows["high"], color=style.MODEL, lw=5, alpha=0.25)
    for which, colour, words in (
        (~miss, style.MODEL, "model, within the tolerance"),
        (miss, style.MISS, "model, outside"),
    ):
        at = [p for p, chosen in zip(y, which, strict=True) if chosen]
        axis.plot(rows["mean"][which], at, "o", ms=4.5, color=colour, label=words)
    axis.plot(rows["kernel"], y, "x", ms=6, mew=1.6, color=style.KERNEL, label="captured kernel")
    axis.set(title=title, xlim=(min(0, -0.03 * rows["mean"].max()), None))
    axis.grid(axis="y", visible=False)


def label_steps(axis, places) -> None:
    """Steps as ticks, the captures in bold at their first step."""
    labels, before = [], None
    for case, step in places:
        share = step.removeprefix("secret_") + " %"
        labels.append(share if case == before else f"{case}   {share}")
        before = case
    axis.set_yticks(list(places.values()), labels, fontsize=7.5)
    axis.set_ylim(max(places.values()) + 1, -1)


FIGURE = draw
