"""Parquet files that are the same bytes for the same rows, and that show when they are damaged."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from secretjax.cases.start import FALLBACKS
from secretjax.errors import UserError
from secretjax.files import replacing

SAMPLES = pa.schema(
    [(name, pa.string()) for name in ("arm", "proposal", "admission", "demand", "start")]
    + [("state", pa.int32()), ("step", pa.string()), ("metric", pa.string()), ("value", pa.int64())]
)
REPLAY = pa.schema([
    ("case", pa.string()), ("kernel", pa.string()), ("fallback", pa.string()),
    *((name, pa.int64()) for name in (
        "pages", "cpus", "requests", "same_pfn", "snapshots", "lists", "lists_equal", "frees",
        "claims", "claims_by_moving", "steals",
        *(f"{what}_{rules}" for rules in FALLBACKS for what in ("blocks", "steals")),
    )),
])  # fmt: skip
PREDICT = pa.schema([
    *((name, pa.string()) for name in ("case", "scenario", "fallback")),
    ("pages", pa.int64()), ("cpus", pa.int64()),
    ("step", pa.string()), ("metric", pa.string()),
    *((name, pa.float64()) for name in ("kernel", "mean", "low", "high")),
    ("states", pa.int64()), ("inside", pa.bool_()), ("agrees", pa.bool_()),
    ("reason", pa.string()), ("values", pa.list_(pa.int64())),
])  # fmt: skip
AGED = pa.schema([
    ("recipe", pa.string()), ("state", pa.int32()), ("name", pa.string()),
    ("metric", pa.string()), ("values", pa.list_(pa.int64())),
])  # fmt: skip
ROW_GROUP = 1 << 17


def write(table: pa.Table, path: Path) -> None:
    """Writes `path` as a whole or not at all."""
    with replacing(path) as temporary:
        pq.write_table(
            table.replace_schema_metadata(None),
            temporary,
            compression="zstd",
            compression_level=3,
            row_group_size=ROW_GROUP,
            use_dictionary=True,
            version="2.6",
            data_page_version="1.0",
            store_schema=False,
            write_page_checksum=True,
        )


def read(path: Path, schema: pa.Schema | None = None, *, categories: bool = False) -> pa.Table:
    """The table in `path`, every page's checksum compared.

    categories: texts of the schema as dictionaries, a fifth of the time where many rows have few
    Raises `UserError` if it is missing, damaged, or has other columns than `schema`.
    """
    try:
        coded = _texts(schema, pq.read_schema(path)) if categories and schema is not None else []
        with pq.ParquetFile(path, read_dictionary=coded, page_checksum_verification=True) as file:
            table = file.read().replace_schema_metadata(None)
    except FileNotFoundError as e:
        raise UserError(f"{path}: no such file; run the study again") from e
    except (pa.ArrowException, OSError, ValueError) as e:
        reason = str(e).splitlines()[0]
        raise UserError(f"{path}: damaged ({reason}); remove it and run the study again") from e
    if schema is not None and _plain(table.schema) != schema:
        raise UserError(
            f"{path}: found the columns {', '.join(table.column_names)}, but "
            f"{', '.join(schema.names)} are expected; remove it and run the study again"
        )
    return table


def _texts(schema: pa.Schema, there: pa.Schema) -> list[str]:
    return [f.name for f in schema if f.type == pa.string() and f.name in there.names]


def _plain(schema: pa.Schema) -> pa.Schema:
    coded = [pa.types.is_dictionary(field.type) for field in schema]
    return pa.schema(
        [f.with_type(f.type.value_type) if c else f for f, c in zip(schema, coded, strict=True)]
    )


def readable(path: Path, schema: pa.Schema | None = None) -> bool:
    """Whether `path` is there and whole."""
    if not path.is_file():
        return False
    try:
        return read(path, schema).num_rows > 0
    except UserError:
        return False


def rows(path: Path) -> int:
    """Number of rows in `path`."""
    return int(pq.read_metadata(path).num_rows)


def samples(
    names: dict[str, str],
    start: tuple[str, ...],
    steps: tuple[str, ...],
    values: dict[str, np.ndarray],
) -> pa.Table:
    """Tidy rows of one point.

    names   arm, proposal, admission, demand
    start   name of each state's start state
    values  {metric: int64 [states, steps]}
    Raises `ValueError` on another shape or on numbers that are no integers.
    """
    states = len(start)
    for metric, array in values.items():
        if array.shape != (states, len(steps)) or array.dtype.kind not in "iu":
            raise ValueError(
                f"metric '{metric}': {array.dtype} {array.shape}, but integers of shape "
                f"{(states, len(steps))} are expected"
            )
    metrics = sorted(values)
    rows = states * len(steps) * len(metrics)
    metric, state, step = np.indices((len(metrics), states, len(steps)), np.int32)
    starts, of_state = np.unique(np.array(start, str), return_inverse=True)
    columns = {name: _spelled(np.zeros(rows, np.int32), [text]) for name, text in names.items()}
    columns["start"] = _spelled(of_state[state].ravel(), starts.tolist())
    columns["step"] = _spelled(step.ravel(), steps)
    columns["metric"] = _spelled(metric.ravel(), metrics)
    columns["state"] = pa.array(state.ravel())
    numbers = [values[m].astype(np.int64).ravel() for m in metrics]
    columns["value"] = pa.array(np.concatenate([np.zeros(0, np.int64), *numbers]))
    return pa.table([columns[field.name] for field in SAMPLES], schema=SAMPLES)


def _spelled(codes: np.ndarray, texts: Sequence[str]) -> pa.Array:
    """Texts by their places; NumPy, which takes 4 bytes a character, holds none for each row."""
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(texts, pa.string())).cast(
        pa.string()
    )
