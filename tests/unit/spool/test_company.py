"""Who posts side by side, as the groups tell."""

from apidanalytics.spool.company import COMPANY_SECONDS, HEAVY, NOBODY, PERIOD_SECONDS, Company


def batch(name: str, size: int = 10) -> tuple[str, int]:
    return name[0], size


def batches(tenant: str, count: int) -> list[tuple[str, int]]:
    return [batch(f"{tenant}{number}") for number in range(count)]


def test_company_is_uneven_from_when_one_has_much_more_until_a_while_after():
    company = Company()
    assert company.is_even(0.0)
    company.saw([batch("a1")], 0.0)
    company.saw([batch("a2"), batch("a3")], 2.0)
    assert company.is_even(2.0)
    company.saw([*batches("a", 9), batch("b1")], 3.0)
    company.saw([batch("a5")], 3.1)
    company.saw([batch("a6")], 3.2)
    assert not company.is_even(3.0 + COMPANY_SECONDS)
    assert company.is_even(3.1 + COMPANY_SECONDS)


def test_what_is_seen_in_two_groups_is_company_too():
    company = Company()
    company.saw(batches("a", 9), 3.0)
    company.saw([batch("b1")], 3.1)
    assert not company.is_even(3.2)
    assert company.heavy == {"a"}


def test_tenants_with_much_the_same_are_even_company():
    company = Company()
    for now in range(9):
        company.saw([batch("a1"), batch("b1"), batch("b2"), batch(f"{now}")], float(now))
        assert company.is_even(float(now))
        assert company.heavy is NOBODY


def test_one_that_is_alone_is_not_heavy_however_much_it_has():
    company = Company()
    for now in range(9):
        company.saw(batches("a", 100), now / 10)
    assert company.heavy is NOBODY


def test_heavy_are_those_that_have_far_more_than_another_and_the_same_set_stays_the_same_object():
    company = Company()
    company.saw([*batches("a", 20), *batches("b", 20), *batches("c", 4), batch("d")], 1.0)
    assert company.heavy == {"a", "b"}
    before = company.heavy
    company.saw([*batches("b", 20), *batches("a", 20), batch("d")], 1.0 + PERIOD_SECONDS / 2)
    assert company.heavy is before


def test_nobody_is_heavy_any_more_when_company_is_even_again():
    company = Company()
    company.saw([*batches("a", 9), batch("b1")], 1.0)
    assert company.heavy == {"a"}
    company.saw(batches("a", 9), 1.05)
    company.saw(batches("a", 9), 1.1 + COMPANY_SECONDS)
    assert company.heavy is NOBODY


def test_who_had_much_a_while_ago_is_not_heavy_for_it():
    company = Company()
    company.saw(batches("a", 90), 1.0)
    company.saw([*batches("b", 9), batch("c")], 3.0)
    assert company.heavy == {"b"}
    company.saw([*batches("d", 90), batch("c")], 3.0 + PERIOD_SECONDS)
    company.saw([*batches("d", 90), batch("c")], 3.1 + 2 * PERIOD_SECONDS)
    assert company.heavy == {"d"}


def test_of_many_that_differ_a_little_none_is_heavy():
    company = Company()
    names = [chr(ord("A") + number) for number in range(HEAVY + 4)]
    company.saw([*(one for name in names for one in batches(name, 9)), batch("z")], 1.0)
    assert not company.is_even(1.0)
    assert company.heavy == NOBODY
