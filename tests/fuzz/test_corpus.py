"""Every input that fuzzing has kept, once more, without the fuzzer: none of them may fail ever again."""

import pytest

from tests.fuzz.__main__ import CORPUS, LONGEST_BYTES
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_of_the_corpus_fails(target):
    inputs = sorted((CORPUS / target).iterdir())
    assert inputs
    for path in inputs:
        try:
            TARGETS[target](path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{path.relative_to(CORPUS)} fails") from error


def test_every_corpus_has_a_target_and_is_small():
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) <= LONGEST_BYTES
    assert sum(path.stat().st_size for path in files) < 250_000
