"""Reading a lake back."""

from apidanalytics.demo import lake
from tests.unit.demo import cast


def test_an_object_knows_its_tenant_and_yields_its_lines(tmp_path):
    path = cast.put(tmp_path, "acme~prod", [b'{"a":1}', b'{"b":2}'])
    (file,) = lake.files(tmp_path)
    assert (file.tenant, file.path, file.size_bytes) == ("acme~prod", path, path.stat().st_size)
    assert list(file.lines()) == [b'{"a":1}', b'{"b":2}']


def test_half_made_objects_are_none_yet(tmp_path):
    path = cast.put(tmp_path, "acme~prod", [b"{}"])
    path.with_name(".upload-1.part").write_bytes(b"")
    (tmp_path / ".part").mkdir()
    (tmp_path / ".part/1.part").write_bytes(b"")
    assert [file.path for file in lake.files(tmp_path)] == [path]


def test_a_growing_lake_is_counted_as_it_grows(tmp_path):
    count = lake.LineCount(tmp_path / "lake")
    assert count.look() == {}
    cast.put(tmp_path / "lake", "acme~prod", [b"{}", b"{}"])
    assert count.look() == {"acme~prod": 2}
    cast.put(tmp_path / "lake", "acme~prod", [b"{}"], n=2)
    cast.put(tmp_path / "lake", "globex~prod", [b"{}"])
    assert count.look() == {"acme~prod": 3, "globex~prod": 1}
    assert count.look() == {"acme~prod": 3, "globex~prod": 1}


def test_an_object_that_cannot_be_read_counts_nothing(tmp_path):
    cast.put(tmp_path, "acme~prod", []).write_bytes(b"rubbish")
    assert lake.LineCount(tmp_path).look() == {"acme~prod": 0}
