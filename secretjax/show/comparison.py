"""How far the model matches the kernel: what a run's folder holds, and what to say of it."""

from functools import cached_property
from pathlib import Path

import pandas as pd
from IPython.display import Markdown

from secretjax.show.answer import plain
from secretjax.study import runs

NO_KERNEL = Markdown("*This study was run without the comparison with the kernel.*")
FEW = Markdown("*This study leaves those cases out; `params/kernel.yaml` compares all of them.*")


class Comparison:
    """The cases of a run folder, answered by the model, beside the captured kernel."""

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def run_id(self) -> str:
        """The hash that names the folder."""
        return self.folder.name

    def kernel(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(replay, predict), see `secretjax.study.runs.kernel`."""
        return runs.kernel(self.folder)

    @cached_property
    def replays(self) -> pd.DataFrame:
        """One row a replay case."""
        return self.kernel()[0]

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row a predict case, step and metric."""
        return self.kernel()[1]

    def kernels(self) -> str:
        """The captured kernels, as the recorded streams name them; nothing without a stream."""
        names = sorted(set(self.replays["kernel"])) if len(self.replays) else []
        return f"Linux {' and '.join(names)}" if names else ""

    def kernel_rests_on(self) -> str:
        """What a figure of the comparison with the kernel rests on, for its caption."""
        cases, kernels = self.predictions["case"].nunique(), self.kernels()
        return f"Run {self.run_id}: {cases} cases{f' of captured {kernels}' if kernels else ''}."

    def left_out(self) -> Markdown:
        """What is said of cases that are not in this run."""
        return FEW if len(self.replays) or len(self.predictions) else NO_KERNEL

    def replay_answer(self) -> Markdown:
        """The replay cases in a sentence."""
        if not len(self.replays):
            return self.left_out()
        mine = self.replays
        total = {c: int(mine[c].sum()) for c in ("same_pfn", "requests", "lists_equal", "lists")}
        return Markdown(
            f"**{plain(total['same_pfn'])} of {plain(total['requests'])} allocations got the very "
            f"pfn that the kernel gave**, and {plain(total['lists_equal'])} of "
            f"{plain(total['lists'])} free lists were equal in their order, over {len(mine)} "
            f"recorded streams of {self.kernels()}."
        )

    def predict_answer(self) -> Markdown:
        """The predict cases in a sentence."""
        if not len(self.predictions):
            return self.left_out()
        judged = self.predictions[self.predictions["agrees"].notna()]
        splits = judged[judged["metric"].eq("dm_2m_split")]
        early = splits[splits["step"].isin(["secret_5", "secret_10"])]
        late = splits[splits["step"].isin(["secret_20", "secret_30"])]
        told = f"**{_agreeing(judged)} figures agree within their tolerance.**"
        if len(early) and len(late):
            told += (
                f" Splits of the direct map: {_agreeing(early)} while secret memory is 5 or 10 % "
                f"of memory, {_agreeing(late)} at 20 and 30 %, where memory gets tight and the "
                "timing of the kernel's background threads decides."
            )
        return Markdown(told)


def _agreeing(rows: pd.DataFrame) -> str:
    return f"{plain(int(rows['agrees'].astype(bool).sum()))} of {plain(len(rows))}"
