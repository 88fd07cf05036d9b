"""The model's states and the captured kernel: splits of the direct map, state by state."""

import matplotlib.pyplot as plt
import seaborn as sns

from secretjax.show import style
from secretjax.show.model_check import base

RUNS = ("x", "+", "1")  # marks of the kernel's runs of the same machine state


def panel(axis, part) -> None:
    """All captured runs of one machine state: their states side by side, step by step."""
    steps, cases = list(dict.fromkeys(part["step"])), list(dict.fromkeys(part["case"]))
    points = part.explode("values", ignore_index=True).astype({"values": float})
    with style.steady():
        sns.stripplot(
            points, x="step", y="values", order=steps, hue="case", hue_order=cases, dodge=True,
            palette=[style.MODEL] * len(cases), size=3, alpha=0.35, jitter=0.3, legend=False,
            ax=axis,
        )  # fmt: skip
    axis.plot([], [], color=style.MODEL, lw=0, marker="o", ms=4, label="states of the model")
    for k, case in enumerate(cases):
        mine = part[part["case"] == case].set_index("step").reindex(steps)
        width = 0.8 / len(cases)
        x = [i - 0.4 + width * (k + 0.5) for i in range(len(steps))]
        words = "captured kernel" if k == 0 else "the same, another run"
        axis.plot(x, mine["kernel"], lw=0, marker=RUNS[k % len(RUNS)], ms=9, mew=2,
                  color=style.KERNEL, label=words, zorder=5)  # fmt: skip
        missed = ~mine["agrees"].astype(bool)
        at = [place for place, miss in zip(x, missed, strict=True) if miss]
        axis.plot(at, mine["kernel"][missed], lw=0, marker="o", ms=14, mfc="none",
                  mec=style.MISS, mew=1.5, label="outside the rule", zorder=4)  # fmt: skip
    axis.set_xticks(range(len(steps)), [s.removeprefix("secret_") + " %" for s in steps])
    axis.set(title=base(part["case"].iloc[0]), ylim=(0, None), xlabel="", ylabel="")


def draw(study):
    """Direct-map splits of page-by-page secret memory: captured kernel against model."""
    style.apply()
    rows = study.predictions
    if len(rows):
        rows = rows[rows["metric"].eq("dm_2m_split") & rows["scenario"].isin(["a", "b"])]
    if not len(rows):
        return None
    groups = [part for _, part in rows.groupby(rows["case"].map(base), sort=False)]
    columns = min(3, len(groups))
    lines = -(-len(groups) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(4.2 * columns, 2.6 * lines), squeeze=False, layout="constrained"
    )
    for axis, part in zip(axes.flat, groups, strict=False):
        panel(axis, part)
    for axis in axes[:, 0]:
        axis.set_ylabel("2 MiB entries split")
    for axis in list(axes.flat)[len(groups) :]:
        axis.set_visible(False)
    handles = {
        label: handle
        for axis in axes.flat
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=4)
    states = int(rows["states"].max())
    style.caption(
        figure,
        f"x: secret memory, share of memory. {states} states a run; they differ in when background "
        f"threads get the CPU. {study.kernel_rests_on()}",
    )
    return figure


FIGURE = draw
