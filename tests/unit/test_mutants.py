"""What is changed of the model, and what is said of it, without the tool that does it."""

import sqlite3

import pytest

from tests import mutants

DIFF = "--- a\n+++ b\n@@\n same\n-old\n+new"


@pytest.fixture
def session(tmp_path):
    """30 changes at 10 places."""
    file = tmp_path / "s.sqlite"
    with sqlite3.connect(file) as database:
        database.execute(
            "create table mutation_specs (module_path, operator_name, occurrence, start_pos_row, "
            "start_pos_col, job_id)"
        )
        database.execute("create table work_items (job_id)")
        database.execute("create table work_results (job_id, test_outcome, diff)")
        for k in range(30):
            row = ("secretjax/mm/x.py", f"op{k}", 0, k % 10, 4, f"job{k}")
            database.execute("insert into mutation_specs values (?, ?, ?, ?, ?, ?)", row)
            database.execute("insert into work_items values (?)", (row[-1],))
    return file


def kept(file) -> list[tuple[int, str]]:
    with sqlite3.connect(file) as database:
        return database.execute(
            "select start_pos_row, job_id from mutation_specs join work_items using (job_id)"
        ).fetchall()


def test_a_place_is_changed_once(session):
    assert mutants.draw(session, 6, 1) == 10
    found = kept(session)
    assert len(found) == 6 == len({row for row, _ in found})


def test_the_seed_decides_which(session, tmp_path):
    again = tmp_path / "again.sqlite"
    again.write_bytes(session.read_bytes())
    mutants.draw(session, 6, 1)
    mutants.draw(again, 6, 1)
    assert kept(session) == kept(again)


def test_what_no_test_noticed_is_shown(session):
    mutants.draw(session, 10, 1)
    with sqlite3.connect(session) as database:
        for row, job in kept(session):
            outcome = "SURVIVED" if row == 3 else "KILLED"
            database.execute("insert into work_results values (?, ?, ?)", (job, outcome, DIFF))
    head, place, *lines = mutants.told(session)
    assert head == "9 of 10 changes were caught: 90 % [55, 100]"
    assert place == "secretjax/mm/x.py:3" and lines == ["    -old", "    +new"]
