"""The committed reference runs: whole, small, and what their manifests say."""

import hashlib
import json
from pathlib import Path

import nbformat
import pytest

from secretjax.study import runs

FOLDER = Path(__file__).parents[2] / "results" / "published"
RUNS = [manifest.parent for manifest in sorted(FOLDER.glob("*/*/manifest.json"))]
LEFT_OUT = ("points/", "log/", "figures/", "samples.parquet")  # large, and a site needs none
MOST = 10 << 20  # bytes, all of them together

each = pytest.mark.parametrize("run", RUNS, ids=lambda r: r.name)


def test_there_is_one_and_all_are_small():
    assert RUNS
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) < MOST


@each
def test_it_is_what_its_manifest_says(run):
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["run_id"] == run.name and manifest["params"]["name"] == run.parent.name
    here = {str(f.relative_to(run)) for f in run.rglob("*") if f.is_file()} - {"manifest.json"}
    assert here <= set(manifest["files"]), "files that the run did not make"
    for name, digest in manifest["files"].items():
        if name in here:
            assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest, name
        else:
            assert name.startswith(LEFT_OUT), f"{name} is missing"


@each
def test_the_readme_says_what_it_found(run):
    found = runs.kernel(run)[0]
    same, asked = (f"{found[column].sum():,}" for column in ("same_pfn", "requests"))
    assert f"{same} of {asked} recorded ones" in (FOLDER.parents[1] / "README.md").read_text()


@each
def test_it_was_executed_whole_and_answers_the_claims(run):
    for path in (run / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            assert not [o for o in cell.get("outputs", []) if o.output_type == "error"], path.name
    rows = json.loads((run / "figures" / "claims.json").read_text())["claims"]
    assert [row["id"] for row in rows] == [f"H{n}" for n in range(1, 19)]
    assert sum(row["answer"] in ("yes", "no", "in part") for row in rows) >= 5
