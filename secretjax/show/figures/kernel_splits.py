"""The model and the captured kernel: splits of the direct map, run by run."""

import matplotlib.pyplot as plt

from secretjax.show import style


def panel(axis, name: str, part) -> None:
    """One captured run."""
    x = range(len(part))
    axis.plot(x, part["mean"], color=style.MODEL, lw=1.8, marker="o", ms=4, label="model")
    axis.fill_between(x, part["low"], part["high"], color=style.MODEL, alpha=0.2, lw=0)
    axis.plot(
        x,
        part["kernel"],
        color=style.KERNEL,
        lw=0,
        marker="x",
        ms=8,
        mew=2,
        label="captured kernel",
    )
    missed = part[~part["agrees"].astype(bool)]
    at = [i for i, agrees in zip(x, part["agrees"], strict=True) if not agrees]
    axis.plot(
        at,
        missed["kernel"],
        lw=0,
        marker="o",
        ms=15,
        mfc="none",
        mec=style.MISS,
        mew=1.6,
        label="outside the tolerance",
    )
    axis.set_xticks(x, [s.removeprefix("secret_") + " %" for s in part["step"]])
    axis.set(title=name, ylim=(0, None))


def draw(study):
    """Direct-map splits of page-by-page secret memory: captured kernel against model."""
    style.apply()
    rows = study.predictions
    rows = (
        rows[rows["metric"].eq("dm_2m_split") & rows["scenario"].isin(["a", "b"])]
        if len(rows)
        else rows
    )
    names = list(dict.fromkeys(rows["case"])) if len(rows) else []
    if not names:
        return None
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.4 * columns, 2.5 * lines), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes.flat, names, strict=False):
        panel(axis, name, rows[rows["case"] == name])
        axis.set_ylabel("2 MiB entries split" if axis in axes[:, 0] else "")
    for axis in list(axes.flat)[len(names) :]:
        axis.set_visible(False)
    handles = {
        label: handle
        for axis in axes.flat
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=3)
    style.caption(
        figure,
        f"x: secret memory, share of memory; tolerance: 3 or 10 %. {study.kernel_rests_on()}",
    )
    return figure


FIGURE = draw
