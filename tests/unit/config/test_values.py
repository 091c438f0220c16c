"""What each setting takes and refuses."""

from pathlib import Path

import pytest

GOOD = [
    ("apidanalytics_workers", "0", 0),
    ("apidanalytics_workers", "256", 256),
    ("apidanalytics_collection_interval", "1", 1.0),
    ("apidanalytics_collection_interval", "2m", 120.0),
    ("apidanalytics_collection_interval", "24h", 86400.0),
    ("apidanalytics_commit_linger", "0", 0.0),
    ("apidanalytics_commit_linger", "2ms", 0.002),
    ("apidanalytics_flood_share", "0.1", 0.1),
    ("apidanalytics_flood_share", ".75", 0.75),
    ("apidanalytics_flood_share", "1", 1.0),
    ("apidanalytics_shutdown_timeout", "0", 0.0),
    ("apidanalytics_max_inflight_bytes", "64MiB", 64 * 2**20),
    ("apidanalytics_use_caching", "false", False),
    ("apidanalytics_use_caching", "No", False),
    ("apidanalytics_use_caching", "0", False),
    ("apidanalytics_encrypt", "TRUE", True),
    ("apidanalytics_encrypt", "on", True),
    ("apidanalytics_encrypt", "1", True),
    ("apidanalytics_durability", "Memory", "memory"),
    ("apidanalytics_overload_status", "500", 500),
    ("apidanalytics_base_path", "/a/b-c.d", "/a/b-c.d"),
    ("apidanalytics_data_path", "ax", "ax"),
    ("apidanalytics_scopes_file", "scopes of ours.yaml", Path("scopes of ours.yaml")),
    ("apidanalytics_collection_listen", "[::1]:0", "[::1]:0"),
    ("api_listen", "unix:/run/apid.sock", "unix:/run/apid.sock"),
    ("apigeesync_apid_instance_id", "A-z.0", "A-z.0"),
    ("apigeesync_apid_instance_id", 64 * "x", 64 * "x"),
    ("apigeesync_bearer_token", " abc.DEF-123=\n", "abc.DEF-123="),
    ("log_level", "WARN", "warn"),
    ("log_level", "panic", "panic"),
    ("configfwdproxy_prot", "http", "http"),
    ("apidanalytics_mask", "{a: drop,  b.c: query}", {"a": "drop", "b.c": "query"}),
    ("apidanalytics_mask", "client_ip: truncate", {"client_ip": "truncate"}),
]

BAD = [
    ("apidanalytics_api_client_names", ["a,,b", "*", "a*.b", "*.*.b", ",", "a\tb"]),
    ("apidanalytics_mask", ["a", "a: hide", "a drop", "{}", "a: drop, a: query", "organization: drop", "a/b: drop"]),
    ("apidanalytics_workers", ["-1", "257", "2.0", "two", "1e1", "0x2", "٣"]),
    ("apidanalytics_collection_interval", ["0", "1.5", "500ms", "25h", "-5", "soon"]),
    ("apidanalytics_upload_interval", ["0", "0.0001", "3651d", "5 parsecs"]),
    ("apidanalytics_cache_refresh_interval", ["0"]),
    ("apidanalytics_worker_timeout", ["500ms"]),
    ("apidanalytics_commit_linger", ["2s"]),
    ("apidanalytics_flood_share", ["0", "0.09", "1.1", "70%", "-0.5", "1e-1", "."]),
    ("apidanalytics_max_body_bytes", ["0", "16M", "2TiB", "-1"]),
    ("apidanalytics_max_header_bytes", ["255", "2MiB"]),
    ("apidanalytics_max_batch_records", ["0"]),
    ("apidanalytics_buffer_channel_size", ["0"]),
    ("apidanalytics_use_caching", ["maybe", "2"]),
    ("apidanalytics_durability", ["paper"]),
    ("apidanalytics_overload_status", ["429"]),
    (
        "apidanalytics_base_path",
        ["analytics", "/", "/analytics/", "//a", "/a/../b", "/a/.", "/a b", "/a?b", "/a%20b", "/health", "/ready"],
    ),
    ("apidanalytics_data_path", ["/", "..", "/a/../b", "a//b", "a/./b", "a\0b"]),
    ("apidanalytics_scopes_file", ["a\0b", "a\udc80b"]),
    (
        "apidanalytics_uap_server_base",
        ["collect.example", "https://u:p@collect.example", "https://collect.example?a=b"],
    ),
    ("apidanalytics_collection_listen", ["unix:/run/lake.sock", "9000"]),
    ("api_listen", ["9000", "::1:9000", "127.0.0.1:99999", "unix:apid.sock"]),
    ("apigeesync_apid_instance_id", ["a_b", "a/b", 65 * "x", "ö"]),
    ("apigeesync_bearer_token", ["two words", "line\nbreak", "ü"]),
    ("log_level", ["loud"]),
    ("configfwdproxy_url", ["http://proxy", "proxy:3128", "user@proxy"]),
    ("configfwdproxy_port", ["0", "65536"]),
]


@pytest.mark.parametrize(("key", "text", "value"), GOOD)
def test_a_good_value_is_taken(load, key, text, value):
    assert getattr(load(overrides={key: text}), key.removeprefix("apidanalytics_")) == value


@pytest.mark.parametrize(("key", "text"), [(key, text) for key, texts in BAD for text in texts])
def test_a_bad_value_is_one_problem_that_names_the_key_and_what_would_be_right(problems, key, text):
    (problem,) = [problem for problem in problems(overrides={key: text}) if "exclude" not in problem]
    assert problem.startswith(f"{key}: ")
    assert " should be " in problem
    assert problem.endswith(" (command line)")
