"""A certificate of the collection service that ends is spoken of in time, and not all the time."""

from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from apidanalytics.service.collection_tls import CertificateWatch, certificate_ends_at, certificate_problems

DAY = 86400.0
NOW = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 0

    def now(self) -> float:
        return NOW + self.seconds

    def monotonic(self) -> float:
        return self.seconds


def test_it_is_said_two_weeks_ahead_and_at_the_end_and_each_day():
    clock = Clock()
    watch, said = CertificateWatch(clock), []
    for tenths in range(200):
        clock.seconds = tenths * 8640
        with capture_logs() as lines:
            watch.look(NOW + 17 * DAY)
        said += [(tenths / 10, line["event"], line["log_level"], line["days_left"]) for line in lines]
    assert said[0] == (3.1, "collection.certificate_expires", "warning", 13.9)
    assert [days for days, *_ in said[:14]] == pytest.approx([3.1 + n for n in range(14)])
    assert said[14] == (17.0, "collection.certificate_expired", "error", 0.0)
    assert [days for days, *_ in said[14:]] == pytest.approx([17, 18, 19])


def test_of_one_that_was_renewed_nothing_is_said_until_it_ends():
    clock = Clock()
    watch = CertificateWatch(clock)
    with capture_logs() as lines:
        for good_until in (NOW + DAY, NOW + 300 * DAY, None, NOW + DAY):
            watch.look(good_until)
    assert [line["event"] for line in lines] == ["collection.certificate_expires"] * 2


def test_of_one_that_was_renewed_by_one_that_ends_as_soon_that_is_said_at_once():
    watch = CertificateWatch(Clock())
    with capture_logs() as lines:
        for good_until in (NOW + DAY, NOW + DAY, NOW + 2 * DAY, NOW + 2 * DAY, NOW - DAY):
            watch.look(good_until)
    assert [line["days_left"] for line in lines] == [1.0, 2.0, -1.0]


def test_without_a_certificate_there_is_nothing_to_say(tmp_path):
    none = SimpleNamespace(service={"tls_cert": None, "tls_key": None})
    assert (certificate_problems(none), certificate_ends_at(none)) == ([], None)


def test_what_cannot_be_read_is_said_by_its_own_key(tmp_path):
    (tmp_path / "key.pem").touch()
    names = SimpleNamespace(service={"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"})
    assert certificate_problems(names) == [f"tls_cert: {tmp_path}/cert.pem cannot be read: No such file or directory"]
