"""A study as its params file describes it: strict, resolved, ready to be hashed."""

import json
import os
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr

from secretjax import ageing, project
from secretjax.ageing import boot
from secretjax.errors import UserError, suggestion
from secretjax.mm.words import Secret
from secretjax.study import plugins
from secretjax.study.arms import Arm, Name, Options, plain_name, spelled_out, unlike_default
from secretjax.study.costs import Ways
from secretjax.study.strict import Strict, checked, override, read

Pattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@*?\[\]!-]{1,64}$")]
MAX_STATES = 1 << 16
START_SUFFIX = ".predict.npz"


class Demand(Strict):
    """What users ask for: a workload and its options.

    name     as notebooks call it; its kind if not given
    kind     file in secretjax/workloads
    arms     names of the arms that face it, beside the baseline; not given: all
    options  of the workload; in the params file they stand beside the others
    """

    name: Name
    kind: str
    arms: tuple[Name, ...] = ()
    options: Options


class Ageing(Strict):
    """States of a recipe to show beside the captured ones.

    recipe  file in secretjax/ageing
    pages   of a state, of 4 KiB
    states  how many
    """

    recipe: str
    pages: Annotated[int, Field(ge=boot.LEAST)]
    states: Annotated[int, Field(ge=1, le=MAX_STATES)]


class Params(Strict):
    """A study. Paths and defaults are resolved; every arm faces every demand.

    name           of the study: its folder under results/
    question       what it asks, the headline of its site
    starts         names of start states, files NAME.predict.npz in the folder kernel/
    states         memory states per arm and demand; state i starts from starts[i % len(starts)]
    seed           the randomness of state i depends on (seed, i) only
    arms           proposals, alone or behind an admission: per_page, pmd_pool+reservation,
                   per_page@K511, or a name with proposal, options and so on; all: every one. They
                   face every demand that does not name its own
    baseline       name of the arm that differences are taken to
    demands        what users ask for, each a kind with its options
    ageing_events  events of background work in each state before the demand
    cpus           CPUs that a TLB flush has to reach
    costs          path of the cost table, beside the params file
    kernel_states  simulations per captured case when the model is compared with the kernel; 0: none
    kernel_cases   patterns of names of the cases it is compared on, as a_* or f_thp_s1
    ageing         recipes that notebook 15 shows beside the start states
    notebooks      files in notebooks/ without their ending, or all
    """

    name: Name
    question: Annotated[str, Field(min_length=1, max_length=2000)]
    seed: Annotated[int, Field(ge=0, lt=1 << 31)]
    starts: Annotated[tuple[Name, ...], Field(min_length=1)]
    states: Annotated[int, Field(ge=1, le=MAX_STATES)]
    ageing_events: Annotated[int, Field(ge=0, le=1 << 24)] = 0
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    baseline: Name
    demands: Annotated[tuple[Demand, ...], Field(min_length=1)]
    cpus: Annotated[int, Field(ge=1, le=8192)]
    costs: str
    kernel_states: Annotated[int, Field(ge=0, le=MAX_STATES)] = 0
    kernel_cases: Annotated[tuple[Pattern, ...], Field(min_length=1)] = ("*",)
    ageing: tuple[Ageing, ...] = ()
    notebooks: tuple[Name, ...]
    _shelves: tuple[Path, ...] = PrivateAttr(default=())

    def resolve(self) -> dict[str, Any]:
        """Everything that was chosen, defaults included, as plain JSON values: what is hashed."""
        return self.model_dump(mode="json")

    def points(self) -> list[tuple[Arm, Demand]]:
        """What is simulated: under every demand the arms that face it, demand by demand."""
        return [(arm, demand) for demand in self.demands for arm in self.facing(demand.name)]

    def facing(self, demand: str) -> list[Arm]:
        """The arms that face the demand of this name, in the study's order."""
        named = next(d.arms for d in self.demands if d.name == demand)
        return [a for a in self.arms if not named or a.name in (*named, self.baseline)]

    def arm(self, name: str) -> Arm:
        """The arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def ways(self) -> dict[str, Ways]:
        """{arm: how its kernel flushes and zeroes} of the arms where costs have to know it."""
        found = {arm.name: Ways(arm.flush, arm.zeroing) for arm in self.arms}
        return {name: ways for name, ways in found.items() if ways != Ways()}

    def start_files(self) -> dict[str, Path]:
        """{name of a start state: its file}."""
        return {name: self._find(f"kernel/{name}{START_SUFFIX}") for name in self.starts}

    def cases_dir(self) -> Path:
        """The folder of the captured kernel's cases."""
        return self._find("kernel")

    def kernel_files(self) -> list[Path]:
        """The captured kernel's cases to compare with, largest first; none if that is not asked."""
        if not self.kernel_states:
            return []
        mine = [f for f in self._cases() if any(fnmatch(stem(f), p) for p in self.kernel_cases)]
        return sorted(mine, key=lambda f: (-f.stat().st_size, f.name))

    def _cases(self) -> list[Path]:
        folder = self.cases_dir()
        return [*folder.glob("*.replay.npz"), *folder.glob("*.predict.npz")]

    def machine_files(self) -> list[Path]:
        """Captures and probes of machines in the folder machines/, the newest last."""
        found = [f for f in self._find("machines").glob("[!.]*") if f.suffix in (".npz", ".json")]
        return sorted(found, key=lambda f: (f.stat().st_mtime_ns, f.name))

    def costs_file(self) -> Path:
        """The cost table."""
        return self._find(self.costs)

    def notebook_files(self) -> dict[str, Path]:
        """{name of a notebook: its file}."""
        return {name: self._find(f"../notebooks/{name}.ipynb") for name in self.notebooks}

    def _find(self, relative: str) -> Path:
        return _find(self._shelves, relative)


def load(path: Path, overrides: list[str] | tuple[str, ...] = ()) -> Params:
    """The study in the YAML file `path`, with `--set` assignments on top.

    `arms: all` stands for every proposal, and for every pool behind a reservation too; an arm may
    be written as `proposal` or `proposal+admission`, either with `@rules` and `@key-value` for the
    other keys of `Kernel` behind it; `notebooks: all` stands for every notebook.
    Raises `UserError` on anything unknown, missing, of another type or out of range.
    """
    tree = read(path)
    for assignment in overrides:
        # So that one option of an arm can be set however the arm was written.
        tree |= {"arms": spelled_out(tree["arms"])} if "arms" in tree else {}
        override(tree, assignment)
    where = f"{path} with --set {' --set '.join(overrides)}" if overrides else str(path)
    shelves = _shelves(path)
    if "arms" in tree:
        tree["arms"] = _arms(tree["arms"], where)
    if "demands" in tree:
        tree["demands"] = _demands(tree["demands"], where)
    if tree.get("notebooks", "all") == "all":
        folder = _find(shelves, "../notebooks")
        tree["notebooks"] = sorted(file.stem for file in folder.glob("[!.]*.ipynb"))
    return _complete(tree, where, shelves)


def restore(resolved: dict[str, Any], beside: Path, where: str) -> Params:
    """The study that `Params.resolve` gave, its files looked up beside the params file `beside`."""
    return _complete(json.loads(json.dumps(resolved)), where, _shelves(beside))


def _complete(tree: dict[str, Any], where: str, shelves: tuple[Path, ...]) -> Params:
    params = checked(Params, tree, where)
    params._shelves = shelves
    if not re.search(r"[A-Za-z0-9_]", params.name):
        raise UserError(f"{where}: name: found '{params.name}', but it needs a letter or digit")
    for key, items in (
        ("starts", params.starts),
        ("arms", [arm.name for arm in params.arms]),
        ("demands", [demand.name for demand in params.demands]),
        ("notebooks", params.notebooks),
        ("ageing", [item.recipe for item in params.ageing]),
    ):
        twice = next((item for item in items if list(items).count(item) > 1), None)
        if twice is not None:
            raise UserError(f"{where}: {key}: '{twice}' is there twice; give one another `name`")
    for number, item in enumerate(params.ageing):
        if item.recipe not in ageing.RECIPES:
            known = suggestion(item.recipe, ageing.RECIPES)
            raise UserError(f"{where}: ageing.{number}: no recipe named '{item.recipe}'; {known}")
        try:
            boot.check_pages(item.pages)
        except UserError as e:
            raise UserError(f"{where}: ageing.{number}: {e}") from e
    names = [arm.name for arm in params.arms]
    if params.baseline not in names:
        found = suggestion(params.baseline, names)
        raise UserError(f"{where}: baseline: no arm named '{params.baseline}'; {found}")
    for number, demand in enumerate(params.demands):
        for name in demand.arms:
            if name not in names:
                found = suggestion(name, names)
                raise UserError(f"{where}: demands.{number}.arms: no arm named '{name}'; {found}")
    _check_files(params, where)
    # From here on the files are found from any folder, and in any process.
    params._shelves = tuple(shelf.absolute() for shelf in shelves)
    return params


def _check_files(params: Params, where: str) -> None:
    for key, names, folder, suffix in (
        ("starts", params.starts, "kernel", START_SUFFIX),
        ("notebooks", params.notebooks, "../notebooks", ".ipynb"),
    ):
        shelf = params._find(folder)
        for name in names:
            if not os.path.isfile(shelf / f"{name}{suffix}"):  # False for a name that is too long
                known = [f.name.removesuffix(suffix) for f in shelf.glob(f"[!.]*{suffix}")]
                raise UserError(
                    f"{where}: {key}: no file {name}{suffix} in {shelf}; {suggestion(name, known)}"
                )
    names = [stem(f) for f in params._cases()] if params.kernel_states else []
    for pattern in params.kernel_cases:
        if names and not any(fnmatch(name, pattern) for name in names):
            raise UserError(
                f"{where}: kernel_cases: '{pattern}' is no case of {params.cases_dir()}; "
                f"{suggestion(pattern, names)}"
            )
    if not os.path.isfile(params.costs_file()):
        raise UserError(
            f"{where}: costs: no file {params.costs_file()}; a path beside the params file is "
            "expected, as costs/x86_64.yaml"
        )


def _shelves(path: Path) -> tuple[Path, ...]:
    """Where files that a params file names are looked up: beside it, else the project's own."""
    shipped = project.folder() / "params"
    return (path.parent, path.parent / "params", Path("params"), shipped)


def _find(shelves: tuple[Path, ...], relative: str) -> Path:
    # Not `shelf / "../x"` as it stands: that fails where `shelf` itself does not exist.
    up = relative.startswith("../")
    places = [(shelf.absolute().parent if up else shelf) for shelf in shelves]
    found = [place / relative.removeprefix("../") for place in places]
    return next((path for path in found if os.path.exists(path)), found[0])


def _arms(given: Any, where: str) -> Any:
    given = spelled_out(given)
    if not isinstance(given, list):
        raise UserError(
            f"{where}: arms: found {given!r}, but `all` or a list is expected, as "
            "[per_page, pmd_pool+reservation]"
        )
    return [_arm(item, where, f"arms.{i}") for i, item in enumerate(given)]


def _arm(item: Any, where: str, prefix: str) -> Any:
    if not isinstance(item, dict) or not isinstance(item.get("proposal"), str):
        raise UserError(
            f"{where}: {prefix}: a proposal is expected, as pmd_pool+reservation or "
            "{proposal: pmd_pool, admission: reservation}"
        )
    arm = {"admission": "none", "options": {}, "admission_options": {}} | item
    arm.setdefault("name", plain_name(arm["proposal"], arm["admission"], unlike_default(arm)))
    checked(Arm, arm, where, prefix)
    for kind, key in (("proposal", "options"), ("admission", "admission_options")):
        _known(kind, arm[kind], f"{where}: {prefix}.{kind}")
        arm[key] = plugins.options(kind, arm[kind], arm[key], where, f"{prefix}.{key}")
    made = plugins.make("proposal", arm["proposal"], arm["options"])
    taken = getattr(made, "pool", False)
    if arm["admission"] == "reservation" and not taken:
        raise UserError(
            f"{where}: {prefix}: {arm['proposal']} has no pool to reserve from; "
            "a reservation goes with a pool, or leave the admission out"
        )
    _check_moves(arm, getattr(made, "secret", 0), f"{where}: {prefix}")
    return arm


def _check_moves(arm: dict[str, Any], secret: int, where: str) -> None:
    """Pages that move cannot be inaccessible, and need flushes if the direct map shows them."""
    if secret & Secret.MOVES and arm.get("mapping") == "inaccessible":
        raise UserError(
            f"{where}.mapping: found inaccessible, but {arm['proposal']} moves its pages; leave "
            "it out, or say options: {mode: never_map}"
        )
    if secret & Secret.DIRECT_MAP and arm.get("flush") == "lazy":
        raise UserError(
            f"{where}.flush: found lazy, but {arm['proposal']} copies through the direct map, "
            "which shows a page until a flush; leave it out, or say options: {window: temporary}"
        )


def _demands(given: Any, where: str) -> Any:
    if not isinstance(given, list):
        raise UserError(f"{where}: demands: a list is expected, as [{{kind: growth}}]")
    return [_demand(item, where, f"demands.{i}") for i, item in enumerate(given)]


def _demand(item: Any, where: str, prefix: str) -> Any:
    if not isinstance(item, dict) or not isinstance(item.get("kind"), str):
        known = ", ".join(plugins.table("workload"))
        raise UserError(f"{where}: {prefix}.kind: a workload is expected; known here: {known}")
    _known("workload", item["kind"], f"{where}: {prefix}.kind")
    own = {k: v for k, v in item.items() if k not in ("kind", "name", "arms")}
    full = plugins.options("workload", item["kind"], own, where, prefix)
    demand = {"kind": item["kind"], "name": item.get("name", item["kind"]), "options": full}
    demand["arms"] = item.get("arms", [])
    checked(Demand, demand, where, prefix)
    return demand


def _known(kind: str, name: str, where: str) -> None:
    known = plugins.table(kind)
    if name not in known:
        raise UserError(f"{where}: no {kind} named '{name}'; {suggestion(name, known)}")


def stem(path: Path) -> str:
    """The name of a case, without what tells its kind."""
    return path.name.removesuffix(".npz").removesuffix(".replay").removesuffix(".predict")
