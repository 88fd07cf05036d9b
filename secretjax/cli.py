"""The command line. Everything heavy is imported by the command that needs it, so that
`--help` answers at once; bad input ends in one sentence and exit 2.
"""

import os
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from secretjax.errors import UserError, suggestion

app = typer.Typer(
    name="secretjax",
    help="How should Linux back memory that is removed from the kernel's direct map?",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunFolder = Annotated[
    Path, typer.Argument(help="A run folder, or a folder of them (the newest is taken).")
]
CaseFile = Annotated[Path, typer.Argument(metavar="CASE.npz", help="A case file.")]
Seed = Annotated[int, typer.Option(min=0, max=(1 << 31) - 1, help="State i uses (seed, i).")]
INTERRUPTED = 130  # what typer makes of Ctrl-C


class Kind(StrEnum):
    """What `secretjax list` can list."""

    PROPOSALS = "proposals"
    ADMISSIONS = "admissions"
    WORKLOADS = "workloads"
    METRICS = "metrics"
    FIGURES = "figures"
    NOTEBOOKS = "notebooks"


def _version(wanted: bool) -> bool:
    if wanted:
        from secretjax import __version__

        print(f"secretjax {__version__}")
        raise typer.Exit()
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    params: Annotated[Path, typer.Argument(metavar="PARAMS.yaml", help="The study to run.")],
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Overrides one parameter.")
    ] = [],  # noqa: B006  typer copies it
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks and points run at once.")] = 2,
    results: Annotated[Path, typer.Option(help="Where run folders are kept.")] = Path("results"),
    site: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Publish there afterwards.")
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="GIB", help="For all its processes; else what is free."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Dask scheduler whose workers compute."),
    ] = None,
) -> None:
    """Run a study through its notebooks; resumes.

    Points and notebooks that are done already are kept, a stopped run goes on where it was.
    The last line printed is the run folder.

    Example: secretjax run params/default.yaml --set states=64 --jobs 2
    """
    from secretjax.study import sweep

    folder = sweep.run(params, overrides, jobs, results, memory, cluster)
    if site is not None:
        _publish(folder, site)
    print(folder)


@app.command()
def replay(
    case: CaseFile,
    out: Annotated[Path, typer.Option(metavar="OUT.npz", help="The answer.")],
) -> None:
    """Replay a kernel's requests.

    Answers with the pfn of every request and the free lists at the snapshots.

    Example: secretjax replay a_512_s1.npz --out replayed.npz
    """
    from secretjax import predict

    predict.replay_file(case, out)


@app.command()
def predict(
    case: CaseFile,
    out: Annotated[Path, typer.Option(metavar="OUT.json", help="The answer.")],
    proposal: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Instead of what the captured kernel ran."),
    ] = None,
    states: Annotated[int, typer.Option(min=1, help="Simulations of the same start.")] = 64,
    seed: Seed = 1,
) -> None:
    """Predict what a case's demands will do.

    A capture of a machine holds no demands: then secret memory grows to at most 64 MiB.

    Example: secretjax predict b_512_s1.npz --states 64 --seed 1 --out predicted.json
    """
    from secretjax import predict as prediction

    prediction.predict_file(case, out, proposal, states, seed)


@app.command()
def capture(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.npz", help="The capture.")],
    relative: Annotated[
        bool, typer.Option("--relative", help="Do not say where in memory zones lie.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="NAME", help="Predict too: draw NAME.svg and NAME.png."),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Predict this zone instead."),
    ] = None,
    root: Annotated[Path, typer.Option(metavar="DIR", help="Where proc and sys are.")] = Path("/"),
) -> None:
    """Capture this machine's memory.

    Reads /proc of a stock kernel, as root to see what pages are used for; changes nothing. The
    file holds no contents of pages and no names of processes, and only its owner may read it.

    Example: secretjax capture --out machine.npz --relative --figure machine
    """
    from secretjax.machine import capture as machine
    from secretjax.machine import seen, summary

    found = machine.capture(root, relative)
    seen.write(out, found)
    for line in summary.lines(found):
        print(line)
    if figure is not None:
        from secretjax.show import yours

        for line in yours.figure_of(found, zone, out.name, figure):
            print(line)


@app.command()
def probe(
    yes: Annotated[bool, typer.Option("--yes", help="Splits may stay until reboot.")] = False,
    mib: Annotated[int, typer.Option(help="Secret memory to map, in MiB.")] = 64,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="OUT.json", help="The result.")
    ] = None,
    states: Annotated[int, typer.Option(min=1, help="States drawn from the capture.")] = 8,
    seed: Seed = 1,
) -> None:
    """Map real secret memory and compare.

    Entries of the direct map that this splits stay split until the machine is started again.
    Refuses where memfd_secret is off or memory is short.

    Example: secretjax probe --mib 64 --yes --out probe.json
    """
    from secretjax.machine import probe as real

    if yes:
        print(real.WARNING.format(mib=mib), file=sys.stderr)
    found, before = real.run(mib, yes)
    # What is split stays split: nothing that follows may lose what was measured.
    if out is not None:
        real.write(out, found, real.told_of(found))
    try:
        told = real.compare(found, before, states, seed)
    except UserError as e:
        told = [*real.told_of(found), f"no prediction: {e}"]
    for line in told:
        print(line)
    if out is not None:
        real.write(out, found, told)


@app.command()
def age(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="llfree or meta_like.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.")],
    states: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    pages: Annotated[int, typer.Option(help="Of 4 KiB, each; 131072 are 512 MiB.")] = 131_072,
    seed: Seed = 1,
) -> None:
    """Make start states that have been in use for a while.

    One file a state, RECIPE_SEED_I.predict.npz. In a folder kernel/ beside a params file they can
    be named under its `starts`, as captured ones.

    Example: secretjax age meta_like --states 64 --out mine/kernel
    """
    from secretjax import ageing, cases
    from secretjax.ageing.run import start_states

    made = ageing.make(recipe)
    for start in start_states(made, pages, states, seed):
        path = out / f"{start.name}.predict.npz"
        cases.write_start(path, start)
        print(path)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or an empty folder.")],
) -> None:
    """Fill a folder to work in.

    With the params, the notebooks and the published run that belong to this package, for
    whoever has no checkout. Then, in DIR: secretjax run params/smoke.yaml

    Example: secretjax init secret-study
    """
    from secretjax import project

    project.init(folder)
    print(f"{folder}: {', '.join(project.PARTS)}")


@app.command("list")
def list_(kind: Annotated[Kind, typer.Argument(help="What to list.")]) -> None:
    """List proposals, figures and so on.

    Example: secretjax list proposals
    """
    entries = _entries(kind)
    width = max((len(name) for name, _ in entries), default=0)
    for name, line in entries:
        print(f"{name:<{width}}  {line}".rstrip())


@app.command()
def lab(
    notebooks: Annotated[Path, typer.Argument(help="The notebooks' folder.")] = Path("notebooks"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="The next free one is taken.")] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Open JupyterLab on the notebooks.

    It listens on 127.0.0.1 only and asks for a token, which is in the address it prints.

    Example: secretjax lab --no-browser --port 8890
    """
    if not notebooks.is_dir():
        raise UserError(
            f"{notebooks}: no such folder, but the notebooks are expected there; "
            "run this in the repository's root or in a folder made by `secretjax init`, or name one"
        )
    from secretjax.show import lab as server

    server.serve(notebooks, port=port, browser=browser)


@app.command()
def publish(
    results: RunFolder = Path("results"),
    site: Annotated[Path, typer.Option(metavar="DIR", help="The site's folder.")] = Path("site"),
) -> None:
    """Build the site of a finished run.

    The site is static, and opening it asks nothing from the network.

    Example: secretjax publish results/default --site site
    """
    _publish(results, site)


@app.command()
def bench(
    states: Annotated[int, typer.Option(min=1, help="Memory states.")] = 64,
    pages: Annotated[int, typer.Option(help="Of 4 KiB, each; 131072 are 512 MiB.")] = 131_072,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each side.")] = 5,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="All sizes, a JSON file and figures.")
    ] = None,
) -> None:
    """Measure exact events a second.

    In turns with scalar C and Numba, which answer the same requests with the same lists; an event
    is one block allocated or freed, exactly as the kernel would. Needs a C compiler and Numba.

    Example: secretjax bench --states 64 --rounds 5
    """
    from secretjax.bench import report as measured

    if report is None:
        measured.compare(pages, states, rounds)
    else:
        measured.report(report, rounds)


def _publish(results: Path, out: Path) -> None:
    from secretjax.show import site

    site.publish(results, out)
    print(f"site: {out / 'index.html'}", file=sys.stderr)


def _entries(kind: Kind) -> list[tuple[str, str]]:
    if kind is Kind.NOTEBOOKS:
        from secretjax import project
        from secretjax.show import site

        here = Path("notebooks")
        files = sorted((here if here.is_dir() else project.folder() / here).glob("*.ipynb"))
        return [(file.stem, site.notebook_title(file)) for file in files]
    from secretjax.show import catalogue

    return [
        (entry.name, f"{entry.line} {entry.standing}") for entry in catalogue.entries(kind.value)
    ]


def _sentence(error: Exception) -> str:
    """One line, whatever the error's text looks like."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror.lower()}"
    return " ".join(str(error).split()) or type(error).__name__


def _usage(error: TyperException) -> str:
    """The library's complaint as one sentence that names the command and its help."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "secretjax"
    text = error.format_message().rstrip(".").replace("Value error, ", "")
    name = getattr(error, "option_name", None)
    if name and context:
        known = {o for p in context.command.get_params(context) for o in p.opts if o[:2] == "--"}
        text = f"no such option '{name}': {suggestion(name, known)}"
    elif text.startswith("No such command") and context:
        found = text.split("'")[1]
        text = f"no such command '{found}': {suggestion(found, _commands())}"
    return f"{command}: {text[:1].lower()}{text[1:]} (see {command} --help)"


def _commands() -> Iterable[str]:
    return [command.name or _name(command.callback) for command in app.registered_commands]


def _name(function: Callable[..., None] | None) -> str:
    return "" if function is None else function.__name__


def main() -> None:
    """Entry point: 0 done, 2 bad input in one sentence; anything else keeps its traceback."""
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="secretjax", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as e:
        _end(_usage(e))
    except BrokenPipeError:
        # The reader of our output has left, as `secretjax list figures | head -1` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UserError, OSError) as e:
        _end(f"secretjax: {_sentence(e)}")
    code = code if isinstance(code, int) else 0
    if code == INTERRUPTED:
        print("secretjax: stopped; what is done is kept", file=sys.stderr)
    sys.exit(code)


def _end(sentence: str) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
