"""What the lists and pages say of a plug-in comes from its own file."""

import dataclasses
from typing import Literal, NamedTuple

import pytest

from secretjax.errors import UserError
from secretjax.show import catalogue


class Measure(NamedTuple):
    """Never shown: this text belongs to the class of all metrics."""

    name: str
    label: str
    unit: str


SPLITS = Measure("split_2m", "2 MiB entries split", "entries")


@pytest.mark.parametrize("metrics", [[SPLITS], (SPLITS,), {"split_2m": SPLITS}])
def test_a_file_of_metrics_is_listed_one_by_one(metrics):
    (entry,) = catalogue._unfold("direct_map", metrics)
    assert (entry.name, entry.line) == ("split_2m", "2 MiB entries split, in entries")


def test_a_function_is_listed_by_its_first_paragraph():
    def refused(samples):
        """Who is refused,
        and when.

        Second paragraph.
        """

    (entry,) = catalogue._unfold("refusals", refused)
    assert (entry.name, entry.line) == ("refusals", "Who is refused, and when.")


def test_options_are_the_fields_with_their_defaults():
    @dataclasses.dataclass(frozen=True)
    class Leaf:
        """One sentence."""

        size: int
        shares: tuple[float, ...] = (0.5,)
        later: list[int] = dataclasses.field(default_factory=list)
        way: Literal["up", "down"] = "up"
        fixed: bool = dataclasses.field(default=True, init=False)

    (entry,) = catalogue._unfold("leaf", Leaf)
    assert [(o.name, o.type, o.default) for o in entry.options] == [
        ("size", "int", "required"),
        ("shares", "tuple[float, ...]", "(0.5,)"),
        ("later", "list[int]", "[]"),
        ("way", "Literal['up', 'down']", "up"),
    ]


@pytest.mark.parametrize("kind", ["proposals", "admissions", "workloads"])
def test_every_plug_in_says_what_it_is(kind):
    entries = catalogue.entries(kind)
    assert entries
    for entry in entries:
        assert len(entry.line) > 20, f"{entry.name} has no docstring of its own"
        assert "(" not in entry.line[:20], f"{entry.name} shows a generated docstring"


def test_every_proposal_says_what_it_does_not_model():
    for entry in catalogue.entries("proposals"):
        assert "Not modelled:" in entry.text, entry.name
        assert entry.source, entry.name


def test_a_broken_file_is_named(tmp_path, monkeypatch):
    from secretjax import admission

    (tmp_path / "half.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.setattr(admission, "__path__", [*admission.__path__, str(tmp_path)])
    with pytest.raises(UserError, match=r"secretjax\.admission\.half: .*a_module_that_is_not"):
        catalogue.entries("admissions")
