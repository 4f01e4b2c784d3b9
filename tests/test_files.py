import gzip
from pathlib import Path

import pytest

from asr.files import content_hash, replacing, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_temporary_name_keeps_the_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "deep" / "a.arpa.gz") as temporary:
        assert temporary.name.endswith(".arpa.gz")
        temporary.write_bytes(gzip.compress(b"x"))
    assert gzip.decompress((tmp_path / "deep" / "a.arpa.gz").read_bytes()) == b"x"


def test_hash_depends_on_contents_and_on_boundaries(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": "ä"})
    write_json(tmp_path / "b.json", {"x": "ä"})
    assert content_hash(tmp_path / "a.json") == content_hash(tmp_path / "b.json")
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash(b"ab") == content_hash("ab")
