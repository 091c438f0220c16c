"""Which tenants have series of their own."""

from apidanalytics.admin.labels import LabelledTenants


def counts(records):
    return {"accepted": {"records": records}}


def test_the_tenants_with_the_most_records_come_first():
    labelled = LabelledTenants(2)
    assert set(labelled.among({"a": counts(1), "b": counts(9), "c": counts(5)})) == {"b", "c"}


def test_whoever_has_a_series_keeps_it_and_whoever_counts_among_the_others_stays_there():
    labelled = LabelledTenants(2)
    labelled.among({"a": counts(1), "b": counts(9)})
    assert set(labelled.among({"a": counts(1), "b": counts(9), "c": counts(1000)})) == {"a", "b"}


def test_a_limit_of_zero_gives_nobody_one():
    assert not LabelledTenants(0).among({"a": counts(1)})
