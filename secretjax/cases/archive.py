"""Arrays out of an npz file that nobody has vouched for.

Nothing is unpacked before its size is known and allowed, nothing is unpickled, and whatever a
damaged file makes zipfile or numpy raise becomes one sentence.
"""

import json
import struct
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from secretjax.errors import UserError

MOST_PAGES = (1 << 23) - 1024  # what `mm.layout.MAX_PAGES` holds of blocks of order 10
MOST_FILE_BYTES = 1 << 29
MOST_CHARACTERS = 1 << 20
END_RECORD = struct.Struct("<4s4H2LH")  # of a zip file: signature, ..., entries, ..., comment
REMAKE = "make the case again from its capture"


@contextmanager
def _damage(where: str) -> Iterator[None]:
    # Decoders of damaged bytes raise nearly anything: zlib.error, struct.error, RuntimeError, ...
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except Exception as error:
        found = str(error) or type(error).__name__
        raise UserError(
            f"{where} cannot be read ({found[:200]}); the file is damaged, truncated or not an "
            "npz file of numpy: copy it again from where it was made"
        ) from error


class Archive:
    """An open npz file. Every method raises UserError; the caller adds the path.

    remedy: what to do about a file that is not as it should be.
    """

    def __init__(self, path: str | Path, remedy: str = REMAKE):
        self._remedy = remedy
        try:
            size = Path(path).stat().st_size
            if not Path(path).is_file():
                raise UserError(
                    "is a folder or a device, a case is one .npz file; name such a file"
                )
            self._file = open(path, "rb")  # noqa: SIM115 (closed by __exit__)
        except OSError as error:
            raise UserError(
                f"cannot be opened ({error.strerror or error}); name a case file (.npz) of yours"
            ) from error
        if size > MOST_FILE_BYTES:
            self._file.close()
            raise UserError(
                f"holds {size} bytes, a case at most {MOST_FILE_BYTES}; name a case file"
            )
        try:
            with _damage("it"):
                self._zip = zipfile.ZipFile(self._file)
                self._members = self._list()
        except UserError:
            self._file.close()
            raise

    def _list(self) -> dict[str, zipfile.ZipInfo]:
        members = {}
        for info in self._zip.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename or name in members:
                raise UserError(
                    f"holds {info.filename[:60]!r}, a case holds arrays of numpy (.npy), each "
                    "once; name a case file"
                )
            members[name] = info
        # zipfile does not compare: an entry may swallow the next one and the file look whole.
        self._file.seek(-END_RECORD.size, 2)
        signature, *_, count, _, _, comment = END_RECORD.unpack(self._file.read())
        if signature != b"PK\5\6" or comment or count != len(members):
            raise ValueError("its directory is not whole")
        return members

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_) -> None:
        self._zip.close()
        self._file.close()

    @property
    def names(self) -> list[str]:
        """Names of the arrays."""
        return list(self._members)

    def _array(self, name: str, kinds: str, axes: tuple[int | None, ...], most: int) -> np.ndarray:
        if name not in self._members:
            raise UserError(f"array '{name}' is missing; {self._remedy}")
        info = self._members[name]
        with _damage(f"array '{name}'"):
            with self._zip.open(info) as stream:
                shape, fortran, dtype = _header(stream)
                begin = stream.tell()
            _expect(name, dtype, shape, kinds, axes, most, self._remedy)
            count = int(np.prod(shape, dtype=np.int64))
            if info.file_size != begin + count * dtype.itemsize:
                raise ValueError(f"{info.file_size} bytes do not hold {shape} of {dtype}")
            raw = self._zip.read(info)
            flat = np.frombuffer(raw, dtype, count, begin)
            return flat.reshape(shape, order="F" if fortran else "C")

    def integers(self, name: str, *axes: int | None, most: int = 0) -> np.ndarray:
        """int64. `axes`: lengths; None: any length up to `most`."""
        return self._array(name, "iu", axes, most).astype(np.int64)

    def bytes(self, name: str, length: int) -> np.ndarray:
        """uint8: for the one array that is as long as memory."""
        array = self._array(name, "iu", (length,), 0)
        if array.dtype != np.uint8:
            in_range(name, array, 0, 255)
        return array.astype(np.uint8)

    def strings(self, name: str, most: int) -> tuple[str, ...]:
        """A row of short names."""
        array = self._array(name, "U", (None,), most)
        return tuple(self._texts(name, array).tolist())

    def text(self, name: str) -> str:
        """One text."""
        array = self._array(name, "U", (), 1)
        return self._texts(name, array).item()

    def _texts(self, name: str, array: np.ndarray) -> np.ndarray:
        """The same. Beyond Unicode numpy makes texts at which Python fails much later."""
        with _damage(f"array '{name}'"):
            codes = np.frombuffer(array.tobytes(), array.dtype.byteorder.replace("|", "=") + "u4")
            if codes.size and codes.max() > sys.maxunicode:
                raise ValueError(f"{codes.max()} is no character")
            return array

    def json(self, name: str) -> Any:
        """One text of JSON; a key given twice is an error."""
        text = self.text(name)
        try:
            return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"'{name}' is not the JSON that it should be ({str(error)[:200]}); {self._remedy}"
            ) from error


def _header(stream) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"npy version {version}")


def _expect(name, dtype, shape, kinds, axes, most, remedy) -> None:
    """Raises UserError unless an array of this type and shape is what `name` should be."""
    words = {"iu": "integers", "U": "text"}[kinds]
    if dtype.kind not in kinds:
        raise UserError(f"array '{name}' holds {dtype}, it should hold {words}; {remedy}")
    fits = len(shape) == len(axes) and all(
        n == axis if axis is not None else 0 <= n <= most
        for n, axis in zip(shape, axes, strict=True)
    )
    if not fits:
        want = tuple(f"0 to {most}" if axis is None else axis for axis in axes)
        allowed = ", ".join(map(str, want))
        raise UserError(f"array '{name}' has shape {shape}, allowed is ({allowed}); {remedy}")
    characters = MOST_CHARACTERS if not axes else 64
    if kinds == "U" and dtype.itemsize > 4 * characters:
        raise UserError(
            f"array '{name}' holds texts of {dtype.itemsize // 4} characters, at most {characters} "
            f"are read; {remedy}"
        )


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def in_range(name: str, values: np.ndarray, low: int, high: int, remedy: str = REMAKE) -> None:
    """Raises UserError that names the first value outside low..high."""
    wrong = np.flatnonzero((values < low) | (values > high))
    if len(wrong):
        at = int(wrong[0])
        raise UserError(f"{name}[{at}] is {values[at]}, allowed are {low} to {high}; {remedy}")


def overlap(first: np.ndarray, size: np.ndarray) -> int | None:
    """Index of a range (first, size) that begins inside another one; None if they are disjoint."""
    by_start = np.argsort(first, kind="stable")
    ends = (first + size)[by_start]
    wrong = np.flatnonzero(first[by_start][1:] < ends[:-1])
    return int(by_start[wrong[0] + 1]) if len(wrong) else None
