"""`secretjax probe`: when it must not go on, and what it measures, with a made-up kernel."""

import errno
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secretjax import cli
from secretjax.errors import UserError
from secretjax.machine import forecast, probe
from secretjax.machine.system import ABSENT, System
from tests import expect, fake_proc

KERNEL = Path(__file__).parents[2] / "params" / "kernel"


class Memory:
    """What a mapping is to the probe."""

    def __init__(self, kind: str, open_: list):
        self.kind, self.open = kind, open_
        open_.append(kind)

    def close(self) -> None:
        self.open.remove(self.kind)


class Fake(System):
    """A kernel whose secret memory lies at given pfns and splits given entries."""

    def __init__(self, root: Path, frames=None, splits=(7, 1), error: int = 0, limit: int = -1):
        self.root, self.frames, self.splits = root, frames, splits
        self.error, self.limit = error, limit
        self.open: list = []
        self.calls: list = []

    def memfd_secret(self):
        if self.error:
            raise OSError(self.error, "made up")
        self.calls.append("memfd_secret")
        self.open.append(5)
        return 5

    def memfd(self):
        self.open.append(6)
        return 6

    def close(self, fd):
        self.open.remove(fd)

    def map(self, fd, pages):
        return Memory({-1: "anonymous", 6: "memfd", 5: "memfd_secret"}[fd], self.open)

    def touch(self, memory: Any, pages):
        self.calls.append((memory.kind, pages))
        if memory.kind == "memfd_secret":
            text = (self.root / "proc/vmstat").read_text()
            for name, more in zip(("level2", "level3"), self.splits, strict=True):
                have = int(text.split(f"direct_map_{name}_splits ")[1].split()[0])
                old, new = (f"direct_map_{name}_splits {n}" for n in (have, have + more))
                text = text.replace(old, new)
            (self.root / "proc/vmstat").write_text(text)
        return np.full(pages, {"anonymous": 1450, "memfd": 2300}.get(memory.kind, 14_000))

    def pfns(self, memory, pages):
        return np.arange(pages) * 2 if self.frames is None else np.full(pages, self.frames)

    def locked_limit(self):
        return self.limit


@pytest.fixture
def root(tmp_path):
    start = expect.start(KERNEL / "b_512_s1.predict.npz")
    made = fake_proc.write(tmp_path / "root", {(0, "DMA32"): start})
    file = made / "proc/meminfo"
    file.write_text(file.read_text() + "MemAvailable: 400000 kB\n")
    return made


def refusal(mib, yes, root, system) -> str:
    with pytest.raises(UserError) as error:
        probe.run(mib, yes, root, system)
    assert not [call for call in system.calls if isinstance(call, tuple)], "it touched memory"
    assert system.open == []
    text = str(error.value)
    assert "\n" not in text
    return text


def test_without_yes_it_says_what_would_stay_and_does_nothing(root):
    system = Fake(root)
    said = refusal(64, False, root, system)
    assert "until the machine is started again" in said and "--yes" in said
    assert system.calls == []


@pytest.mark.parametrize(
    ("mib", "make", "said"),
    [
        (8, {"error": errno.ENOSYS}, "secretmem.enable=1"),
        (8, {"error": errno.EPERM}, "sandbox"),
        (0, {}, "1 to 1024 may be probed"),
        (2048, {}, "1 to 1024 may be probed"),
        (128, {}, "memory is short: 390 MiB"),
        (64, {"limit": 8 << 20}, "RLIMIT_MEMLOCK"),
    ],
)
def test_where_it_must_not_it_says_why_and_how_to_mend_it(root, mib, make, said):
    assert said in refusal(mib, True, root, Fake(root, **make))


def test_where_splits_are_not_counted_nothing_is_touched(root):
    (root / "proc/vmstat").write_text("nr_free_pages 5\n")
    assert "since 5.13" in refusal(8, True, root, Fake(root))


def test_it_measures_each_kind_of_memory_and_frees_it(root):
    system = Fake(root)
    found, before = probe.run(8, True, root, system)
    assert [c for c in system.calls if isinstance(c, tuple)] == [
        ("anonymous", 2048), ("memfd", 2048), ("memfd_secret", 2048)
    ]  # fmt: skip
    assert system.open == []
    assert found.ns == {"anonymous": 1450, "memfd": 2300, "memfd_secret": 14_000}
    assert (found.splits_2m, found.splits_1g, found.blocks, found.blocks_least) == (7, 1, 8, 4)
    assert before.counters["direct_map_level2_splits"] == 0, "the capture comes first"


def test_what_was_mapped_is_freed_when_something_fails(root, monkeypatch):
    system = Fake(root)
    monkeypatch.setattr(system, "touch", lambda memory, pages: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        probe.run(8, True, root, system)
    assert system.open == []


def test_hidden_page_frames_are_no_blocks(root):
    found, _ = probe.run(8, True, root, Fake(root, frames=ABSENT))
    assert found.blocks == -1
    assert any("hidden" in line for line in probe.told_of(found))


def test_reuse_is_expected_where_something_was_split_before(root):
    found, _ = probe.run(8, True, root, Fake(root))
    assert not any("reuse" in line for line in probe.told_of(found))
    again, _ = probe.run(8, True, root, Fake(root))
    assert again.split_before == 8
    assert any("reuse of them is expected" in line for line in probe.told_of(again))


def test_the_comparison_says_inside_or_outside(root, monkeypatch):
    found, before = probe.run(8, True, root, Fake(root))
    values = {"dm_2m_split": np.array([[5], [6], [9]]), "dm_1g_split": np.array([[0], [0], [0]])}
    asked = {}

    def pretend(seen, **options):
        asked.update(options)
        return forecast.Forecast("z", options["pages"], {"per_page": values}, 3, 1)

    monkeypatch.setattr(forecast, "forecast", pretend)
    told = probe.compare(found, before, 3, 1)
    assert asked["pages"] == {"8 MiB": 2048} and asked["names"] == ["per_page"]
    assert any("2 MiB split: 7, predicted 6.7" in t and "inside" in t for t in told)
    assert any("1 GiB split: 1, predicted 0.0" in t and "outside" in t for t in told)


def test_without_the_page_map_nothing_is_predicted(root):
    found, before = probe.run(8, True, root, Fake(root))
    blind = replace(before, zones=(replace(before.zones[0], page_class=None),))
    assert "without root" in probe.compare(found, blind, 3, 1)[-1]


def test_the_result_is_kept(root, tmp_path):
    found, _ = probe.run(8, True, root, Fake(root))
    probe.write(tmp_path / "probe.json", found, ["a sentence"])
    kept = json.loads((tmp_path / "probe.json").read_text())
    assert kept["format"] == probe.FORMAT and kept["probe"]["splits_2m"] == 7


def test_the_command_does_nothing_without_yes(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["secretjax", "probe"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1 and "nothing was done" in said


def test_ordinary_memory_is_mapped_touched_and_freed_by_the_real_calls():
    """Not secret memory: what that splits stays split."""
    system = System()
    fd = system.memfd()
    for memory in (system.map(fd, 8), system.map(-1, 8)):
        spent = system.touch(memory, 8)
        assert len(spent) == 8 and (spent > 0).all()
        assert len(system.pfns(memory, 8)) == 8
        memory.close()
    system.close(fd)
    assert system.locked_limit() >= -1


def test_a_probe_before_makes_the_model_expect_fewer_splits():
    """The same pages again, after they were split: of the states drawn with those splits known."""
    start = expect.start(KERNEL / "a_512_s3_frag2.predict.npz")
    from secretjax.machine import infer, lab

    seen = lab.shown(start)
    split = int((start.block_mt == 0).sum())
    after = replace(
        seen,
        direct_map={"4k": (3 + split) * 512, "2M": 253 - split, "1G": 0},
        counters=seen.counters | {"direct_map_level2_splits": split},
    )
    drawn = [infer.start_state(s, s.zones[0], 1).dm_level for s in (seen, after)]
    own = start.block_mt == 0
    assert (drawn[0][own] == 1).sum() <= 3
    assert (drawn[1][own] == 1).sum() >= split - 3


def test_a_real_probe_is_foreseen():
    if os.environ.get("SECRETJAX_PROBE") != "1":
        pytest.skip("what it splits stays split; on a machine of yours set SECRETJAX_PROBE=1")
    try:
        found, before = probe.run(64, True)
    except UserError as error:
        pytest.skip(f"no probe here: {error}")
    told = probe.compare(found, before, 8, 1)
    assert found.splits_2m >= 0
    assert found.split_before or all("inside" in line for line in told if "predicted" in line)


def test_secret_memory_comes_from_the_highest_zone_that_has_it(root):
    _, seen = probe.run(8, True, root, Fake(root))
    only = seen.zones[0]

    def machine(**free):
        zones = [replace(only, name=n, free=f, fields=only.fields | {"low": 10, "managed": m})
                 for n, (f, m) in free.items()]  # fmt: skip
        return replace(seen, zones=tuple(zones))

    roomy = machine(DMA32=(900, 1000), Normal=(500, 600), Movable=(5000, 6000))
    assert roomy.first(490).name == "Normal", "not the largest, and never Movable"
    assert roomy.first(491).name == "DMA32", "the low mark is kept"
    assert roomy.first(2000).name == "DMA32", "none has it: the largest that may be used"
    assert forecast.zone_named(roomy, "Movable").name == "Movable"


def test_the_interval_holds_one_more_state_as_often_as_it_says():
    rng = np.random.default_rng(5)
    for states in (2, 4, 16):
        inside = []
        for *drawn, machine in rng.normal(50, 5, (4000, states + 1)):
            mean, low, high = forecast.interval(np.array(drawn))
            assert low <= mean <= high
            inside.append(low <= machine <= high)
        assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
    assert forecast.interval(np.array([7, 7, 7])) == (7, 7, 7)
    assert forecast.interval(np.array([7])) == (7, 7, 7)
    assert forecast.interval(np.array([0, 1]))[1] == 0, "counts"
