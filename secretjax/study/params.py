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
from secretjax.cases.start import Collapsing, Entry, Mapped, Rules
from secretjax.errors import UserError, suggestion
from secretjax.mm.words import Secret
from secretjax.study import plugins
from secretjax.study.costs import Flush, Ways, Zeroing
from secretjax.study.strict import Strict, checked, override, read

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,63}$")]
Pattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@*?\[\]!-]{1,64}$")]
Options = Annotated[dict[str, Any], Field(default_factory=dict)]
MAX_STATES = 1 << 16
START_SUFFIX = ".predict.npz"


class Kernel(Strict):
    """What the kernel is like that an arm runs on. Only `rules` is validated by captures.

    rules     fallback of the allocator (cases.start.Rules); null: of the start state's own
    mapping   of secret files. unevictable: AS_UNEVICTABLE, their pages are on the unevictable LRU
              list, from where compaction isolates them in vain (mm/secretmem.c); inaccessible: it
              does not even do that, AS_INACCESSIBLE, as guest_memfd (mm/compaction.c:
              isolate_migratepages_block)
    collapse  of 2 MiB entries that the run split: never, free, scan (mm/collapse.py)
    entries   of the direct map at the start, all of one size, 4K, 2M or 1G; null: as the case has
              them. 4K: arm64 with rodata=full, where nothing is ever split; its broadcast flushes
              need no IPIs, which costs do not know
    flush     how the TLB is flushed, see study/costs.py: range, full, lazy
    zeroing   when a page that held a secret is cleared, see there: fault, free, destruction
    """

    rules: Rules | None = None
    mapping: Mapped = "unevictable"
    collapse: Collapsing = "never"
    entries: Entry | None = None
    flush: Flush = "range"
    zeroing: Zeroing = "fault"


KERNEL = Kernel()


class Arm(Kernel):
    """One way to back secret memory: a proposal behind an admission, each with its options.

    name               as figures and tables call it
    proposal           file in secretjax/proposals
    admission          file in secretjax/admission
    options            of the proposal
    admission_options  of the admission rule
    """

    name: Name
    proposal: str
    admission: str = "none"
    options: Options
    admission_options: Options

    @property
    def validated(self) -> bool:
        """Whether captures cover it: a proposal as a captured kernel ran it, alone."""
        alone = self.admission == "none" and not unlike_default(self).keys() - {"rules"}
        return alone and plugins.make("proposal", self.proposal, self.options).validated


class Demand(Strict):
    """What users ask for: a workload and its options.

    name     as notebooks call it; its kind if not given
    kind     file in secretjax/workloads
    options  of the workload; in the params file they stand beside name and kind
    """

    name: Name
    kind: str
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
                   per_page@K511, or a name with proposal, options and so on; all: every one
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
        """What is simulated: every arm under every demand, demand by demand."""
        return [(arm, demand) for demand in self.demands for arm in self.arms]

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
        folder = self.cases_dir()
        found = [*folder.glob("*.replay.npz"), *folder.glob("*.predict.npz")]
        mine = [f for f in found if any(fnmatch(stem(f), p) for p in self.kernel_cases)]
        return sorted(mine, key=lambda f: (-f.stat().st_size, f.name))

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
        tree |= {"arms": _spelled_out(tree["arms"])} if "arms" in tree else {}
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


def _spelled_out(given: Any) -> Any:
    """`all` and `proposal+admission@rules@key-value` as mappings; anything else as it is."""
    if given == "all":
        proposals = plugins.table("proposal")
        reserve = "reservation" in plugins.table("admission")
        given = []
        for name in sorted(proposals, key=lambda n: (proposals[n].slot, n)):
            given.append(name)
            if reserve and getattr(proposals[name], "pool", False):
                given.append(f"{name}+reservation")
    if not isinstance(given, list):
        return given
    return [_spelled_out_arm(item) if isinstance(item, str) else item for item in given]


def _spelled_out_arm(text: str) -> dict[str, str]:
    whole, *kernel = text.split("@")
    proposal, _, admission = whole.partition("+")
    arm = {"proposal": proposal, "admission": admission or "none"}
    for word in kernel:
        key, _, value = word.partition("-")
        arm |= {key: value} if key in Kernel.model_fields else {"rules": word}
    return arm


def unlike_default(arm: Kernel | dict[str, Any]) -> dict[str, str]:
    """{key of `Kernel`: value} of what an arm says of its kernel, as far as it is no default."""
    given = arm if isinstance(arm, dict) else arm.model_dump()
    default = KERNEL.model_dump()
    return {k: given[k] for k in default if given.get(k, default[k]) != default[k]}


def plain_name(proposal: str, admission: str, kernel: dict[str, str]) -> str:
    """What an arm is called that has no name of its own; kernel: see `unlike_default`."""
    whole = proposal + ("" if admission == "none" else f"+{admission}")
    return whole + "".join(f"@{v}" if k == "rules" else f"@{k}-{v}" for k, v in kernel.items())


def _arms(given: Any, where: str) -> Any:
    given = _spelled_out(given)
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
    own = {k: v for k, v in item.items() if k not in ("kind", "name")}
    full = plugins.options("workload", item["kind"], own, where, prefix)
    demand = {"kind": item["kind"], "name": item.get("name", item["kind"]), "options": full}
    checked(Demand, demand, where, prefix)
    return demand


def _known(kind: str, name: str, where: str) -> None:
    known = plugins.table(kind)
    if name not in known:
        raise UserError(f"{where}: no {kind} named '{name}'; {suggestion(name, known)}")


def stem(path: Path) -> str:
    """The name of a case, without what tells its kind."""
    return path.name.removesuffix(".npz").removesuffix(".replay").removesuffix(".predict")
