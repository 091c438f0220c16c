"""Files that somebody replaces: when one is read again."""

import os

import pytest

from apidanalytics.file_versions import GONE, Resting, look_at

ONE, TWO, THREE = ((1, 1, 1),), ((2, 2, 2),), ((3, 3, 3),)


@pytest.mark.parametrize(
    ("looks", "due"),
    [
        pytest.param([ONE, ONE, ONE], [False, False, False], id="nothing changed"),
        pytest.param([TWO, TWO, TWO], [False, True, False], id="changed once: read when it rests, and only once"),
        pytest.param([TWO, THREE, THREE], [False, False, True], id="still being written at the second look"),
        pytest.param([TWO, ONE, ONE], [False, False, False], id="changed back before it was read"),
        pytest.param([(GONE,), (GONE,), TWO, TWO], [False, True, False, True], id="removed, and made anew"),
    ],
)
def test_files_are_read_when_they_changed_and_rest(looks, due):
    resting, seen = Resting(ONE), []
    for look in looks:
        seen.append(resting.is_due(look))
        if seen[-1]:
            resting.has_read(look)
    assert seen == due


def test_a_change_of_content_size_or_file_is_another_version(tmp_path):
    path, other = tmp_path / "tokens.yaml", tmp_path / "other"
    assert look_at([path]) == (GONE,)
    path.write_text("a")
    os.utime(path, ns=(5, 5))
    first = look_at([path])
    path.write_text("b")
    os.utime(path, ns=(6, 6))
    touched = look_at([path])
    path.write_text("bb")
    os.utime(path, ns=(6, 6))
    longer = look_at([path])
    other.write_text("bb")
    os.utime(other, ns=(6, 6))
    other.replace(path)
    assert len({first, touched, longer, look_at([path])}) == 4
