"""Params files: what is refused, in which words, and what the resolved study holds."""

import json
from functools import partial
from pathlib import Path

import pytest
import yaml

from secretjax.errors import UserError
from secretjax.study import costs, params
from tests import study_fakes

ROOT = Path(__file__).parents[2]
DEFAULT_KERNEL = {
    "rules": None,
    "mapping": "unevictable",
    "collapse": "never",
    "entries": None,
    "flush": "range",
    "zeroing": "fault",
}


@pytest.fixture
def file(tmp_path, monkeypatch):
    study_fakes.install(partial(monkeypatch.setattr, raising=False))
    return study_fakes.make_study(tmp_path)


def sentence(file: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        params.load(file, overrides)
    said = str(caught.value)
    assert said.startswith(str(file)) or said.startswith("--set"), said
    assert "\n" not in said and len(said) < 600
    return said.replace(str(file), "FILE")


def test_defaults_are_resolved(file):
    study = params.load(file)
    found = study.resolve()
    assert found["arms"] == [
        {
            "name": "per_page",
            "proposal": "per_page",
            "admission": "none",
            **DEFAULT_KERNEL,
            "options": {},
            "admission_options": {},
        },
        {
            "name": "pmd_pool+reservation",
            "proposal": "pmd_pool",
            "admission": "reservation",
            **DEFAULT_KERNEL,
            "options": {"blocks": 3, "shared": False},
            "admission_options": {},
        },
    ]
    growth = {"percents": [5, 10], "churn_per_64_pages": 16}
    wanted = {"kind": "growth", "name": "growth", "arms": [], "options": growth}
    assert found["demands"][0] == wanted
    assert found["notebooks"] == ["10_small"]
    assert json.loads(json.dumps(found)) == found
    assert params.restore(found, file, "again") == study


def test_all_arms_put_reservations_over_pools_only(file):
    study = params.load(file, ["arms=all"])
    assert [arm.name for arm in study.arms] == ["per_page", "pmd_pool", "pmd_pool+reservation"]


@pytest.mark.parametrize(
    ("overrides", "where", "value"),
    [
        (["states=64"], ("states",), 64),
        (["demands.growth.percents=[1, 2]"], ("demands", 0, "options", "percents"), [1, 2]),
        (["demands.1.files=9"], ("demands", 1, "options", "files"), 9),
        (["arms.pmd_pool.options.shared=true"], ("arms", 1, "options", "shared"), True),
        (["arms.pmd_pool+reservation.options.blocks=8"], ("arms", 1, "options", "blocks"), 8),
        (["arms=all", "arms.pmd_pool.options.blocks=8"], ("arms", 1, "options", "blocks"), 8),
        (["starts.1=one", "starts.0=two"], ("starts",), ["two", "one"]),
        (["states=1", "states=2"], ("states",), 2),
        (["arms.0=per_page@K511", "baseline=per_page@K511"], ("arms", 0, "rules"), "K511"),
        (["demands.1.arms=[per_page]"], ("demands", 1, "arms"), ["per_page"]),
        (["arms.0.collapse=scan", "arms.0.name=per_page"], ("arms", 0, "collapse"), "scan"),
    ],
)
def test_overrides(file, overrides, where, value):
    found = params.load(file, overrides).resolve()
    for step in where:
        found = found[step]
    assert found == value


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("state=64", ["state: unknown key; did you mean 'states'?", "here: ageing, ageing_"]),
        ("scale.states=64", ["scale: unknown key", "known here:"]),
        ("states", ["not of the form key=value"]),
        ("=1", ["not of the form key=value"]),
        ("states.x=1", ["states is 5, so it has no 'x'"]),
        ("states=many", ['states: found "many", but it should be a valid integer']),
        ("states=1.0", ["states: found 1.0"]),
        ("states=true", ["states: found true"]),
        ("states=0", ["states: found 0, but it should be greater than or equal to 1"]),
        ("seed=-1", ["seed: found -1"]),
        ("cpus=", ["cpus: found null"]),
        ("name=a/b", ['name: found "a/b"']),
        ("name=..", ['name: found ".."']),
        ("question=.nan", ["only finite numbers"]),
        (
            "demands.0.arms=[per_pge]",
            ["demands.0.arms: no arm named 'per_pge'; did you mean 'per_page'?"],
        ),
        ("demands.0.arms=per_page", ['demands.0.arms: found "per_page"']),
        ("baseline=per_pge", ["no arm named 'per_pge'; did you mean 'per_page'?"]),
        ("arms=[]", ["arms: found []"]),
        ("arms=[pmd_pol]", ["no proposal named 'pmd_pol'; did you mean 'pmd_pool'?"]),
        ("arms=[pmd_pool+reserve]", ["no admission named 'reserve'"]),
        ("arms=[per_page+reservation]", ["arms.0: per_page has no pool to reserve from"]),
        ("arms=[per_page@K512]", ['arms.0.rules: found "K512"', "'K511', 'K610' or 'K612y'"]),
        ("arms=[per_page@flush-late]", ['arms.0.flush: found "late"', "'range', 'full' or 'lazy'"]),
        (
            "arms.0.collapse=always",
            ['arms.0.collapse: found "always"', "'never', 'free' or 'scan'"],
        ),
        ("arms.0.entries=2G", ['arms.0.entries: found "2G"']),
        ("arms.0.maping=x", ["arms.0.maping: unknown key; did you mean 'mapping'?"]),
        ("arms=[per_page, per_page]", ["arms: 'per_page' is there twice"]),
        ("arms=7", ["arms: found 7, but `all` or a list is expected"]),
        ("arms=[[per_page]]", ["arms.0: a proposal is expected"]),
        ("arms.1.options.block=1", ["arms.1.options.block: unknown key; did you mean 'blocks'?"]),
        ("arms.1.options.blocks=x", ['arms.1.options.blocks: found "x"']),
        ("arms.0.options.blocks=1", ["arms.0.options.blocks: unknown key; there is nothing"]),
        ("arms.0={proposal: per_page, option: {}}", ["arms.0.option: unknown key"]),
        ("arms.9.options={}", ["arms.9: no such item", "0 to 1"]),
        ("demands.0.kind=grow", ["no workload named 'grow'; did you mean 'growth'?"]),
        ("demands.0.percent=[5]", ["demands.0.percent: unknown key; did you mean 'percents'?"]),
        ("demands.0.percents=[500]", ["demands.0: percents should be from 1 to 100"]),
        ("demands.0.percents=[a]", ['demands.0.percents.0: found "a"']),
        ("demands.0={files: 3}", ["demands.0.kind: a workload is expected"]),
        ("starts=[three]", ["no file three.predict.npz", "known here: one, two"]),
        ("starts=[one, one]", ["starts: 'one' is there twice"]),
        ("costs=nowhere.yaml", ["costs: no file", "nowhere.yaml"]),
        ("notebooks=[20_small]", ["no file 20_small.ipynb", "did you mean '10_small'?"]),
    ],
)
def test_what_is_refused_by_name(file, override, parts):
    said = sentence(file, override)
    for part in parts:
        assert part in said, said


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["found nothing, but keys with values"]),
        ("- a", ["found a list, but keys"]),
        ("name: a\nname: b\n", ["line 2", "'name' is there already in line 1"]),
        ("a:\n\tb: 1\n", ["line 2", "a tab", "indent with spaces"]),
        ("a: [1\n", ["line 2"]),
        ("a: &x [1]\nb: *x\n", ["line 1", "the reference 'x'", "write the value out"]),
        ("a: *x\n", ["the reference 'x'"]),
        ("a: !!python/object/apply:os.system [ls]\n", ["line 1", "python/object"]),
        ("a: 2026-11-23\n", ["a: found a date, but only text"]),
        ("1: 2\n", ["line 1", "plain word"]),
        ("? [a]\n: b\n", ["line 1", "plain word"]),
        ("a: \x00\n", ["a character that YAML does not allow"]),
        ("a: " + "[" * 3000 + "]" * 3000, ["nested too deeply"]),
        ("a: " + "[" * 30 + "]" * 30, ["nested too deeply"]),
        ("a: " + "x" * 70_000, ["larger than 64 KiB"]),
        ("name: a\n", ["missing, but it is needed"]),
        ("a: !!bool abc\n", ["a value that cannot be read"]),
        ("a: !!int ''\n", ["a value that cannot be read"]),
        ("a: !!timestamp abc\n", ["a value that cannot be read"]),
    ],
    ids=range(19),
)
def test_files_that_are_no_params(file, text, parts):
    file.write_text(text)
    said = sentence(file)
    for part in parts:
        assert part in said, said


def test_files_that_cannot_be_read(file, tmp_path):
    file.write_bytes(b"name: \xff\xfe")
    assert "FILE: not UTF-8 text" in sentence(file)
    file.unlink()
    assert "FILE: no such file" in sentence(file)
    file.mkdir()
    assert "is a directory" in sentence(file)


def test_an_unknown_key_is_told_before_the_missing_one(file):
    text = file.read_text().replace("states: 5", "state: 5")
    file.write_text(text)
    assert "FILE: state: unknown key; did you mean 'states'?" in sentence(file)


def test_an_arm_is_named_by_what_its_kernel_has_of_its_own(file):
    own = "pmd_pool+reservation@K511@collapse-free@entries-1G"
    arms = f"[per_page, {own}, {{proposal: per_page, zeroing: free}}]"
    study = params.load(file, [f"arms={arms}"])
    _, pool, third = study.arms
    assert pool.name == own
    assert (pool.rules, pool.collapse, pool.entries) == ("K511", "free", "1G")
    assert third.name == "per_page@zeroing-free"
    assert study.ways() == {third.name: costs.Ways("range", "free")}


@pytest.mark.parametrize(
    ("arm", "parts"),
    [
        ("migratable@mapping-inaccessible", ["arms.0.mapping: found inaccessible", "never_map"]),
        (
            "{proposal: migratable, flush: lazy, options: {window: direct_map}}",
            ["arms.0.flush: found lazy", "window: temporary"],
        ),
    ],
)
def test_pages_that_move_refuse_a_kernel_that_contradicts_it(arm, parts):
    with pytest.raises(UserError) as caught:
        params.load(ROOT / "params" / "default.yaml", [f"arms=[{arm}]"])
    for part in parts:
        assert part in str(caught.value)
    other = "{proposal: migratable, mapping: inaccessible, options: {mode: never_map}, name: x}"
    assert params.load(ROOT / "params" / "default.yaml", [f"arms=[{other}]", "baseline=x"])


WHOLE = ("ageing", "axes", "default", "fallback", "kernel", "smoke")


@pytest.mark.parametrize("file", sorted((ROOT / "params").glob("*.yaml")), ids=lambda f: f.stem)
def test_own_files_have_the_schema(file):
    """Options and files are those that there are; who copies one of `WHOLE` finds every key."""
    if file.stem in WHOLE:
        assert set(yaml.safe_load(file.read_text())) == set(params.Params.model_fields)
    study = params.load(file)
    assert study.name == file.stem
    if file.stem == "default":
        assert study.states >= 256 and len(study.starts) >= 4
        assert {"keep_mapped", "per_page", "migratable"} < {arm.name for arm in study.arms}
        assert {"pmd_pool+reservation", "cma_pool+reservation"} < {arm.name for arm in study.arms}


def test_a_pattern_that_no_case_matches_is_refused():
    with pytest.raises(UserError, match=r"kernel_cases: 'nothing_\*' is no case of"):
        params.load(ROOT / "params" / "smoke.yaml", ["kernel_cases=[nothing_*]"])
