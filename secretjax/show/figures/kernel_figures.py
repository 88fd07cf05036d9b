"""Every figure of every predict case: how far the model is from the kernel."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from secretjax.show import style


def draw(study):
    """All predicted figures against the captured kernel, misses marked."""
    style.apply()
    rows = study.predictions
    rows = rows[rows["agrees"].notna()] if len(rows) else rows
    if not len(rows):
        return None
    rows = rows.assign(
        away=100 * (rows["mean"] - rows["kernel"]) / np.maximum(rows["kernel"].abs(), 1),
        verdict=np.where(
            rows["agrees"].astype(bool), "within the tolerance", "outside the tolerance"
        ),
    )
    rows["away"] = rows["away"].clip(-110, 110)
    order = list(dict.fromkeys(rows["metric"]))
    figure, axis = plt.subplots(figsize=(10, 0.38 * len(order) + 1.2), layout="constrained")
    sns.stripplot(
        rows,
        x="away",
        y="metric",
        hue="verdict",
        order=order,
        ax=axis,
        size=5.5,
        alpha=0.75,
        jitter=0.22,
        palette={"within the tolerance": style.MODEL, "outside the tolerance": style.MISS},
        hue_order=["within the tolerance", "outside the tolerance"],
    )
    axis.axvline(0, color="#333333", lw=1)
    axis.set(
        xlabel="model minus kernel, % of the kernel's value (cut at 110 %)",
        ylabel="",
        xlim=(-118, 118),
    )
    legend = axis.get_legend()
    assert legend is not None
    legend.remove()
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    style.caption(
        figure, f"Each dot is one figure of one step of one case. {study.kernel_rests_on()}"
    )
    return figure


FIGURE = draw
