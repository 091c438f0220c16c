"""Sums of counters over processes."""

from apidanalytics.control.tally import total

ONE = {"requests": {"200": 3, "400 BAD_DATA": 1}, "seconds": {"counts": [1, 0, 2], "sum": 0.5}, "records": 7}
OTHER = {"requests": {"200": 2, "503 OVERLOADED": 4}, "seconds": {"counts": [0, 5, 1], "sum": 1.0}, "records": 1}


def test_numbers_lists_and_mappings_are_added_up_and_what_one_lacks_stays():
    assert total([ONE, {}, OTHER]) == {
        "requests": {"200": 5, "400 BAD_DATA": 1, "503 OVERLOADED": 4},
        "seconds": {"counts": [1, 5, 3], "sum": 1.5},
        "records": 8,
    }


def test_the_parts_stay_as_they_were():
    before = {"requests": {"200": 3}}
    total([before, ONE])
    assert before == {"requests": {"200": 3}}


def test_the_sum_of_nothing_is_nothing():
    assert total([]) == {}
