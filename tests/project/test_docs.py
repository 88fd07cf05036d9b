"""What the documents tell a reader to type must exist, and what they quote must be so."""

import re
import sys
from pathlib import Path

import pytest

from secretjax import cli, proposals
from secretjax.show import catalogue

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "CONTRIBUTING.md"]
GUIDES = ["docs/cluster.md"]  # they name commands, but no make target


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", (ROOT / name).read_text())


def typed(name: str) -> list[str]:
    return [line.strip() for block in blocks(name, "sh") for line in block.splitlines()]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_exists(name):
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([a-z]+):", text))
    used = {
        word
        for line in typed(name)
        for word in re.findall(r"(?:^|&& *)make ((?:[a-z]+ ?)+)", line.split("#")[0])
        for word in word.split()
    }
    assert used and used <= targets


@pytest.mark.parametrize("name", [*DOCUMENTS, *GUIDES])
def test_every_command_and_option_exists(name):
    parameters = {
        command.name or command.callback.__name__: command.callback
        for command in cli.app.registered_commands
        if command.callback
    }
    for line in typed(name):
        words = line.split("#")[0].split()
        if "secretjax" not in [Path(w).name for w in words]:
            continue
        start = [Path(w).name for w in words].index("secretjax") + 1
        if words[start - 1] == "activate" or words[start - 2 : start - 1] == ["activate"]:
            continue
        command = words[start]
        assert command in parameters, line
        for option in (w for w in words[start:] if w.startswith("--")):
            known = {p.replace("_", "-") for p in parameters[command].__annotations__}
            known |= {"set"} if "overrides" in known else set()
            assert option.strip("-").removeprefix("no-") in known, line


@pytest.mark.parametrize("name", [*DOCUMENTS, "CHANGELOG.md"])
def test_every_relative_link_leads_somewhere(name):
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#:\s]+)\)", text):
        assert (ROOT / target).exists(), f"{name} links to {target}"


def test_the_first_screen_says_how_to_start():
    screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:45])
    for needed in ("![", "make results", "make test", "package index", "Python 3.11"):
        assert needed in screen


def test_contributing_fits_one_screen():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 60


def test_the_changelog_knows_the_model_rule():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.index("## Unreleased") < 1500
    assert "`MODEL:`" in text


def test_the_proposal_of_the_readme_is_found_once_it_is_in_the_folder(tmp_path, monkeypatch):
    (example,) = blocks("README.md", "python")
    assert len(example.splitlines()) <= 18, "ten lines and what holds them apart"
    taken = sorted(plugin.slot for plugin in proposals.PROPOSALS.values())
    (tmp_path / "my_pool.py").write_text(example)
    monkeypatch.setattr(proposals, "__path__", [*proposals.__path__, str(tmp_path)])
    try:
        found = {entry.name: entry for entry in catalogue.entries("proposals")}
    finally:
        sys.modules.pop("secretjax.proposals.my_pool", None)
    assert found["my_pool"].line.startswith("One pool for all files")
    assert {o.name: o.default for o in found["my_pool"].options}["shared"] == "True"
    assert 9 not in taken, "the example takes a free slot"
