"""The package's floors, and docs/architecture.md and .svg: drawn from the imports themselves.

`python -m tests.architecture` draws them anew; tests/project/test_imports.py says when that is due.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "secretjax"
DOCS = ROOT / "docs"
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the ground up; each may import itself and those below it. A part is a module or a folder.
FLOORS = {
    "ground": ("clock", "errors", "files", "registry", "project"),
    "the kernel": ("mm", "ledger"),
    "plug-ins": ("proposals", "admission", "workloads", "metrics"),
    "the engine": (
        "processes",
        "program",
        "rules",
        "flow",
        "xla",
        "native",
        "runners",
        "engine",
        "replay",
    ),
    "cases": ("cases",),
    "start states": ("hugetlb", "ageing"),
    "one machine": ("predict", "machine"),
    "a study": ("study",),
    "what people see": ("show", "cli", "bench"),
}
FLOOR = {part: height for height, parts in enumerate(FLOORS.values()) for part in parts}

ABOUT = """# The package

Imports run downward, so that the kernel never learns what it is used for. `tests/architecture.py`
has the floors, and draws this page and the map from the imports: an arrow goes from a part to what
it imports, unless other arrows lead there already or it is on the ground floor, which all may use.

![The parts of the package on their floors, with arrows to what each imports](architecture.svg)

A start state comes from `cases` (captured), `ageing` (made) or `machine` (yours). `workloads` turn
a demand into a script of requests, `proposals` answer each with commands to `mm`, `admission` may
refuse before that, `rules` put the three together, and `engine` runs many such states, by `native`
code or a program of `xla`.
`metrics` are read off the states, `study` keeps them in a run folder, `show` draws what is in it.
"""

WIDTH, LEFT, BOX, TALL, ROW, PAD, SHIFT = 880, 130, 92, 30, 62, 16, 40


def part(module: str) -> str:
    """secretjax.mm.state -> mm; secretjax itself (its version) -> errors, the ground floor."""
    words = module.split(".")
    return words[1] if len(words) > 1 else "errors"


def owner(path: Path) -> str:
    """The part that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every module of the package that `path` imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("secretjax"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import on line {node.lineno}"
            if node.module == "secretjax":
                for name in node.names:
                    if name.name != "__version__":
                        yield f"secretjax.{name.name}"
            elif (node.module or "").startswith("secretjax."):
                yield node.module or ""


@cache
def imports() -> dict[str, frozenset[str]]:
    """{part: the other parts that it imports}, from the top floor down."""
    found: dict[str, set[str]] = {name: set() for name in sorted(FLOOR, key=lambda p: -FLOOR[p])}
    for path in MODULES:
        if owner(path) != "__init__":
            found[owner(path)] |= {part(module) for module in imported(path)} - {owner(path)}
    return {name: frozenset(below) for name, below in found.items()}


def page() -> str:
    """docs/architecture.md."""
    lines = [ABOUT]
    for floor, parts in reversed(FLOORS.items()):
        lines += [f"## {floor[0].upper()}{floor[1:]}", "", "| part | what | imports |"]
        lines.append("|---|---|---|")
        for name in parts:
            file = PACKAGE / name / "__init__.py"
            file = file if file.is_file() else PACKAGE / f"{name}.py"
            text = ast.get_docstring(ast.parse(file.read_text())) or ""
            told = " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")
            below = ", ".join(f"`{p}`" for p in imports() if p in imports()[name]) or "nothing"
            lines.append(f"| `{name}` | {told} | {below} |")
        lines.append("")
    return "\n".join(lines)


def drawing() -> str:
    """docs/architecture.svg."""
    rows = _rows()
    height = len(rows) * ROW + PAD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="DejaVu Sans, Arial, sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#4d5a66"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    places = {}
    for number, (floor, names) in enumerate(rows):
        top = number * ROW + PAD
        if floor != (rows[number - 1][0] if number else None):
            deep = sum(f == floor for f, _ in rows) * ROW - 8
            shade = "#f3f6f9" if list(FLOORS).index(floor) % 2 else "#e6edf3"
            parts.append(
                f'<rect x="4" y="{top - PAD + 8}" width="{WIDTH - 8}" height="{deep}" rx="6" '
                f'fill="{shade}"/><text x="14" y="{top + 20}" fill="#1d2833">{floor}</text>'
            )
        step = (WIDTH - LEFT - SHIFT) / len(names)
        for place, name in enumerate(names):
            # Not one below the other, so that an arrow can pass.
            places[name] = (LEFT + step * (place + 0.5) + SHIFT * (number % 3 - 1), top)
    parts += [_arrow(places[a], places[b]) for a, b in arrows()]
    for name, (x, y) in places.items():
        parts.append(
            f'<rect x="{x - BOX / 2:.0f}" y="{y}" width="{BOX}" height="{TALL}" rx="5" '
            f'fill="#ffffff" stroke="#00598c"/><text x="{x:.0f}" y="{y + 20}" '
            f'text-anchor="middle" fill="#1d2833">{name}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def arrows() -> list[tuple[str, str]]:
    """The imports that no other way leads along, but for those of the ground floor."""
    found = []
    for a, below in imports().items():
        for b in sorted(below):
            others = {c for c in below if b in _reach(c) and (c < b or c not in _reach(b))} - {b}
            if FLOOR[b] and not any(a not in _reach(c) for c in others):
                found.append((a, b))
    return found


@cache
def _reach(name: str) -> frozenset[str]:
    """All that a part imports, itself or through others."""
    found, wanted = set(), [name]
    while wanted:
        for below in imports()[wanted.pop()] - found:
            found.add(below)
            wanted.append(below)
    return frozenset(found)


def _rows() -> list[tuple[str, list[str]]]:
    """(floor, parts beside each other), from the top: who imports another stands above it."""
    rows = []
    for floor, parts in reversed(FLOORS.items()):
        left = list(parts)
        while left:
            over = {p: [q for q in left if p in _reach(q) and q not in _reach(p)] for p in left}
            free = [p for p in left if not set(over[p]) - {p}]
            rows.append((floor, free if FLOOR[left[0]] else left))
            left = [p for p in left if p not in rows[-1][1]]
    return rows


def _arrow(source: tuple[float, float], target: tuple[float, float]) -> str:
    (x, y), (u, v) = source, target
    if y == v:
        side = BOX / 2 if u > x else -BOX / 2
        path = f"M{x + side:.0f} {y + TALL / 2:.0f}L{u - side:.0f} {v + TALL / 2:.0f}"
    else:
        bend = (v - y - TALL) / 2
        path = (
            f"M{x:.0f} {y + TALL}C{x:.0f} {y + TALL + bend:.0f} {u:.0f} {v - bend:.0f} {u:.0f} {v}"
        )
    return (
        f'<path d="{path}" fill="none" stroke="#4d5a66" stroke-opacity="0.7" '
        'marker-end="url(#tip)"/>'
    )


if __name__ == "__main__":
    (DOCS / "architecture.md").write_text(page())
    (DOCS / "architecture.svg").write_text(drawing())
