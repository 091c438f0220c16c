"""A worker that does not report is taken for one that hangs, and killed: so nothing may keep it from that."""

import resource

from apidanalytics.service.worker_report import _Memory


def test_a_worker_without_a_free_descriptor_says_how_much_memory_it_has():
    memory = _Memory()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        assert memory.bytes() > 1 << 20
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    memory._statm.close()
