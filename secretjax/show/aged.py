"""What notebook 15 says of aged memory, from the run's numbers."""

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown

from secretjax import ageing
from secretjax.ageing.control import PUBLISHED, PUBLISHED_BUDDY, PUBLISHED_FREE
from secretjax.mm.words import PAGEBLOCK_PAGES
from secretjax.show.answer import plain
from secretjax.show.notebook import Study, table
from secretjax.study.aged import CAPTURED, CONTROL, LOOKS, MAPS

NONE = Markdown("*This study has no aged memory; `ageing:` in a params file asks for some.*")
# Johannes Weiner, linux-mm, 18 April 2023: % of memory, % of 2 MiB blocks.
META = (7.0, 34.0)


def numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a state, its numbers as columns."""
    one = rows[rows["values"].map(len).eq(1)]
    flat = one.assign(value=[int(v[0]) for v in one["values"]])
    keys = ["recipe", "state", "name"]
    wide = flat.pivot(index=keys, columns="metric", values="value").reset_index()
    place = {recipe: at for at, recipe in enumerate(rows["recipe"].unique())}
    return wide.sort_values("recipe", key=lambda r: r.map(place), kind="stable", ignore_index=True)


def curve(rows: pd.DataFrame, recipe: str) -> np.ndarray:
    """[states, looks]: share of free memory in free huge frames, in %."""
    mine = rows[rows["recipe"].eq(recipe)]
    free, huge = (np.array(mine[mine["metric"].eq(m)]["values"].tolist(), float) for m in LOOKS)
    return 100 * PAGEBLOCK_PAGES * huge / np.maximum(free, 1)


def published(points: dict[int, int]) -> dict[int, float]:
    """The same of the published run, by iteration."""
    return {k: 100 * PAGEBLOCK_PAGES * huge / PUBLISHED_FREE for k, huge in points.items()}


def state_map(rows: pd.DataFrame, name: str) -> dict[str, np.ndarray]:
    """{free, stays, movable, label: one value a pageblock} of a state."""
    mine = rows[rows["name"].eq(name)].set_index("metric")["values"]
    return {m: np.asarray(mine[m]) for m in MAPS}


def about(study: Study) -> HTML | Markdown:
    """The recipes of this study: what each does, and where it is published."""
    if not len(study.aged):
        return NONE
    told = []
    for item in study.params.ageing:
        recipe = ageing.RECIPES[item.recipe]
        mib = item.pages * 4 // 1024
        told.append({
            "recipe": item.recipe, "what": recipe.label, "states": item.states,
            "MiB each": mib, "source": recipe.source,
        })  # fmt: skip
    return table(pd.DataFrame(told))


def meta_answer(study: Study) -> Markdown:
    """Whether the server's recipe is where the fleet is."""
    mine = _of(study, "meta_like")
    if mine is None:
        return NONE
    share, blocks = mine["unmovable"] / 10, mine["unmovable_blocks"] / 10
    return Markdown(
        f"**Unmovable memory is {share.mean():.1f} % of memory and lies in {blocks.mean():.0f} % "
        f"of the pageblocks** (mean over {len(mine)} states, from {blocks.min():.0f} to "
        f"{blocks.max():.0f} %); Meta's fleet: {META[0]:.0f} % in {META[1]:.0f} %. Packed as "
        f"tightly as it goes it would lie in {share.mean():.0f} %."
    )


def llfree_answer(study: Study) -> Markdown:
    """What the benchmark does to the kernel's lists and to the control."""
    if _of(study, "llfree") is None:
        return NONE
    kernel, control = (curve(study.aged, name) for name in ("llfree", CONTROL))
    linux, llfree = (list(published(p).values())[-1] for p in (PUBLISHED_BUDDY, PUBLISHED))
    return Markdown(
        f"**With the kernel's lists {kernel[:, -1].mean():.1f} % of free memory is in huge frames "
        f"after {kernel.shape[1] - 1} iterations** ({kernel[:, 0].mean():.1f} % before; published "
        f"{linux:.1f} %), **with the control {control[:, -1].mean():.1f} %** (published, LLFree "
        f"itself: {llfree:.1f} %). The kernel's value is the part of memory that was never handed "
        "out, so it is the same in every state; the control says that the benchmark can tell "
        "allocators apart."
    )


def states(study: Study) -> HTML | Markdown:
    """Aged and captured states in the kernel's indices."""
    if not len(study.aged):
        return NONE
    every = numbers(study.aged)
    told = [_line(row["name"], every.loc[[k]]) for k, row in _captured(every).iterrows()]
    for item in study.params.ageing:
        mine = every[every["recipe"].eq(item.recipe)]
        told.append(_line(f"{item.recipe}, {len(mine)} states", mine))
    return table(pd.DataFrame(told))


def _captured(every: pd.DataFrame) -> pd.DataFrame:
    return every[every["recipe"].eq(CAPTURED)]


def _line(name: str, mine: pd.DataFrame) -> dict[str, str]:
    """One line of `states`: means, with the range where it is one."""
    words = {
        "free_pages": "free, % of memory", "huge_free": "of it in huge frames, %",
        "unusable_index_9": "unusable index, order 9",
        "fragmentation_index_9": "fragmentation index, order 9",
        "unmovable": "unmovable, % of memory", "unmovable_blocks": "in % of pageblocks",
    }  # fmt: skip
    shown = mine.assign(
        free_pages=100 * mine["free_pages"] / mine["pages"],
        **{name: mine[name] / 10 for name in ("huge_free", "unmovable", "unmovable_blocks")},
    )
    return {"state": name} | {words[m]: _span(shown[m].to_numpy(float), m) for m in words}


def _span(values: np.ndarray, metric: str) -> str:
    form = (lambda x: plain(round(x))) if "index" in metric else (lambda x: f"{x:.1f}")
    low, high = form(values.min()), form(values.max())
    return low if low == high else f"{form(values.mean())} [{low}, {high}]"


def _of(study: Study, recipe: str) -> pd.DataFrame | None:
    if not len(study.aged) or not study.aged["recipe"].eq(recipe).any():
        return None
    every = numbers(study.aged)
    return every[every["recipe"].eq(recipe)]
