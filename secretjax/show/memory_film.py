"""The map of physical memory as it fills: a short film, the arms side by side on the same state."""

import base64
import html
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure

from secretjax.files import replacing
from secretjax.mm.state import Zone
from secretjax.show import explorer, memory_map, sentences, style
from secretjax.show.measured import Measured
from secretjax.study.params import Arm

FRAMES_PER_SECOND = 5
DPI = 96
LAST = 5  # frames that the end is shown for


def of(study: Measured, arms: Sequence[Arm], state: int) -> HTML:
    """A state of a study under the demand `growth`, stopped at every percent, for each arm."""
    asked = next(d for d in study.params.demands if d.name == "growth")
    every = {"percents": list(range(1, max(asked.options["percents"]) + 1)), "huge_pages": 0}
    asked = asked.model_copy(update={"options": asked.options | every})
    zones = {style.label(arm): explorer.watched(study, arm, asked, state) for arm in arms}
    moments = [sentences.moment(step) for step in next(iter(zones.values()))]
    about = f"State {state}, from {study.starts('growth')[state]}. Run {study.run.run_id}."
    film = animate({title: list(own.values()) for title, own in zones.items()}, moments, about)
    what = f"secret memory grows percent by percent, {' and '.join(zones)}. {about}"
    name = f"memory_film_{'_'.join(arm.name for arm in arms)}_{state}"
    return shown(film, study.run.figures_dir, name, what)


def animate(films: Mapping[str, Sequence[Zone]], moments: Sequence[str], about: str) -> bytes:
    """{title: a zone at each moment} as a GIF that plays again and again."""
    style.apply()
    figure, axes = plt.subplots(
        1, len(films), figsize=(3.9 * len(films), 5.2), squeeze=False, layout="constrained"
    )
    views = [
        memory_map.View(axis, title, zones[0])
        for axis, (title, zones) in zip(axes.flat, films.items(), strict=True)
    ]
    axes[0, 0].set_ylabel(memory_map.DOWN)
    memory_map.legend(figure, columns=3)
    style.caption(figure, about)

    def show(frame: int) -> None:
        for view, zones in zip(views, films.values(), strict=True):
            view.show(zones[frame], f"{moments[frame]}: ")

    frames = [*range(len(moments)), *[len(moments) - 1] * LAST]
    return _gif(figure, FuncAnimation(figure, show, frames, blit=False))


def _gif(figure: Figure, film: FuncAnimation) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "film.gif"
        film.save(file, writer=PillowWriter(FRAMES_PER_SECOND), dpi=DPI)
        plt.close(figure)
        return file.read_bytes()


def shown(film: bytes, folder: Path, name: str, what: str) -> HTML:
    """The film, kept in a folder; closed at first, so that nothing moves unless it is asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"{name}.gif") as temporary:
        temporary.write_bytes(film)
    data, said = base64.b64encode(film).decode(), html.escape(what)
    return HTML(
        f"<details><summary>Play: {said}</summary>"
        f'<img src="data:image/gif;base64,{data}" alt="{said}" style="max-width: 100%">'
        "</details>"
    )
