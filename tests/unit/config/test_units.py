import pytest

from apidanalytics.config import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("0.25", 0.25),
        ("90s", 90.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("300ms", 0.3),
        ("7d", 604800.0),
        ("1.5h", 5400.0),
        ("1m30s", 90.0),
        ("2h 30m".replace(" ", ""), 9000.0),
        ("90 s", 90.0),
        ("0", 0.0),
    ],
)
def test_a_duration_is_read_as_seconds(text, seconds):
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "90S", "90 sec", "-1", "+1", "1e3", ".5", "1.", "1:30", "1_000", "٣s", "9" * 40, "inf", "nan"]
)
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.001, "1ms"),
        (0.3, "300ms"),
        (0.0005, "0.0005s"),
        (1.0, "1s"),
        (1.5, "1.5s"),
        (120.0, "120s"),
        (1800.0, "1800s"),
        (86400.0, "1d"),
        (604800.0, "7d"),
        (3650 * 86400.0, "3650d"),
    ],
)
def test_a_duration_is_shown_with_a_unit(seconds, text):
    assert units.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1048576", 1048576),
        ("512B", 512),
        ("16kB", 16_000),
        ("16MB", 16_000_000),
        ("2GB", 2_000_000_000),
        ("1TB", 10**12),
        ("4KiB", 4096),
        ("32MiB", 32 * 2**20),
        ("32 MiB", 32 * 2**20),
        ("32mib", 32 * 2**20),
        ("1GiB", 2**30),
        ("1.5GiB", 3 * 2**29),
        ("1TiB", 2**40),
    ],
)
def test_a_size_is_read_as_bytes(text, size_bytes):
    assert units.parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "16M", "16 megabytes", "-1", "1e6", "0.3", "0.0001KB", "٣", "9" * 40])
def test_anything_else_is_no_size(text):
    with pytest.raises(ValueError):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0"), (1000, "1000"), (16384, "16KiB"), (32 * 2**20, "32MiB"), (2**30, "1GiB"), (2**40, "1TiB")],
)
def test_a_size_is_shown_in_the_largest_unit_that_divides_it(size_bytes, text):
    assert units.format_size(size_bytes) == text
