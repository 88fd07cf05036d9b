"""Options that admissions and workloads refuse: a sentence says where, and what is allowed."""

import pytest

from secretjax.errors import UserError
from secretjax.study import plugins


@pytest.mark.parametrize(
    ("kind", "name", "given", "told"),
    [
        ("admission", "reservation", {"filled_percent": 31}, "0 to max_percent, 30"),
        ("admission", "reservation", {"least_percent": 31}, "0 to max_percent, 30"),
        ("admission", "reservation", {"filled_percent": -1}, "0 to max_percent, 30"),
        ("workload", "growth", {"percents": [10, 5]}, "allowed are 1 to 100, ascending"),
        ("workload", "growth", {"percents": [5, 5]}, "allowed are 1 to 100, ascending"),
        ("workload", "growth", {"percents": []}, "allowed are 1 to 100, ascending"),
        ("workload", "microvms", {"life": 0}, "life: found 0, 1 is the least"),
        ("workload", "tenants", {"one_in_long": 0}, "one_in_long: found 0, 1 is"),
        ("workload", "adversary", {"files_each": 0}, "files_each: found 0, 1 is the least"),
        ("workload", "guests", {"percents": [30, 35], "percent_each": 10}, "whole guests"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(kind, name, given, told):
    with pytest.raises(UserError) as error:
        plugins.options(kind, name, given, "mine.yaml", "arms.0")
    said = str(error.value)
    assert said.startswith("mine.yaml: arms.0: ") and told in said
    assert "\n" not in said
