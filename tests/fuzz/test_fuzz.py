"""A small part of `python -m tests.fuzz`, always the same; and that it would see a fault."""

import time

import numpy as np
import pytest

from secretjax import cases
from secretjax.errors import LONGEST, UserError
from tests.fuzz import harness, readers

INPUTS = 600  # in all, by weight


def raising(error: BaseException):
    def read() -> None:
        raise error

    return lambda rng, folder: read


@pytest.mark.parametrize("reader", readers.READERS)
def test_a_changed_file_is_read_or_refused_in_a_sentence(reader):
    count = max(INPUTS * readers.READERS[reader][0] // 100, 8)
    found = harness.many(reader, 0, count)
    assert found.bad == []
    assert found.inputs == count


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("x"), "KeyError"),
        (MemoryError(), "MemoryError"),
        (RecursionError(), "RecursionError"),
        (UserError(""), "no sentence"),
    ],
)
def test_anything_but_a_sentence_is_a_finding(monkeypatch, error, told):
    monkeypatch.setitem(readers.READERS, "case", (1, raising(error)))
    assert told in harness.tried("case", 0)[0]


def test_a_hang_and_an_allocation_are_findings(monkeypatch):
    monkeypatch.setattr(harness, "SECONDS", 0.05)
    monkeypatch.setitem(readers.READERS, "case", (1, lambda rng, folder: lambda: time.sleep(5)))
    (bad,) = harness.many("case", 0, 1).bad
    assert "more than" in bad[1]
    monkeypatch.setattr(harness, "SECONDS", 30)
    monkeypatch.setattr(harness, "MIB", 0.5)
    large = int(harness.peak()) + 64 << 17  # int64
    ones = lambda rng, folder: lambda: np.ones(large).sum()  # noqa: E731
    monkeypatch.setitem(readers.READERS, "case", (1, ones))
    assert "MiB more" in harness.tried("case", 0)[0]


def test_what_is_not_changed_is_read(monkeypatch, tmp_path):
    """Else the fuzzer would be content with readers that refuse everything."""
    monkeypatch.setattr(readers.mutate, "npz", lambda rng, members: made(tmp_path, members))
    for at in range(len(readers.case_files())):
        monkeypatch.setattr(readers.random.Random, "choice", lambda self, of, k=at: of[k])
        assert harness.tried("case", at) == ("", True)
    assert harness.tried("machine", 0) == ("", True)


def made(folder, members) -> bytes:
    import zipfile

    with zipfile.ZipFile(folder / "x.npz", "w") as file:
        for name, raw in members.items():
            file.writestr(f"{name}.npy", raw)
    return (folder / "x.npz").read_bytes()


def test_an_error_is_one_line_of_bounded_length():
    assert str(UserError("a\n  b\tc")) == "a b c"
    assert len(str(UserError("x" * 10_000))) == LONGEST


def test_a_text_beyond_unicode_is_refused(tmp_path):
    members = dict(readers.case_files()[0])
    array = np.frombuffer(members["settings"], np.uint8).copy()
    array[-4:] = (0, 0, 0x7F, 0)
    members["settings"] = array.tobytes()
    (tmp_path / "y.npz").write_bytes(made(tmp_path, members))
    with pytest.raises(UserError, match="is no character"):
        cases.read(tmp_path / "y.npz")
