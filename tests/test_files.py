import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asr.files import content_hash, discard_partial, keep_recent, replacing, touch, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_is_discarded(tmp_path: Path) -> None:
    left = []
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        with replacing(folder / "x.json") as temporary:
            left.append(temporary.with_name(temporary.name.replace(".partial-", ".partial-0")))
        left[-1].touch()
    write_text(tmp_path / "a" / "b" / ".partial", "not ours")
    with replacing(tmp_path / "x.json") as temporary:
        discard_partial(tmp_path, ".", "a")
        assert temporary.exists(), "it is being written"
    assert [p.exists() for p in left] == [False, False, True]
    discard_partial(tmp_path, "**", "missing")
    assert not left[2].exists()
    names = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert names == ["a/b/.partial", "a/b/x.json", "a/x.json", "x.json"]


def test_the_temporary_name_keeps_the_suffix(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 255), "as long as a name may be")
    with pytest.raises(IsADirectoryError) as refused:
        write_text(tmp_path, "")
    assert refused.value.filename == str(tmp_path)
    with replacing(tmp_path / "deep" / "a.arpa.gz") as temporary:
        assert temporary.name.endswith(".arpa.gz")
        temporary.write_bytes(gzip.compress(b"x"))
    assert gzip.decompress((tmp_path / "deep" / "a.arpa.gz").read_bytes()) == b"x"


def test_links_and_pipes_stay_what_they_are(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    write_text(target, "old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o600
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        write_text(pipe, "through")
        assert read.result(10) == "through" and pipe.is_fifo()
    write_text("/dev/null", "gone")
    assert Path("/dev/null").is_char_device()


def test_hash_depends_on_contents_and_on_boundaries(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": "ä"})
    write_json(tmp_path / "b.json", {"x": "ä"})
    assert content_hash(tmp_path / "a.json") == content_hash(tmp_path / "b.json")
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash(b"ab") == content_hash("ab")


def test_what_was_not_used_for_longest_leaves_the_cache(tmp_path: Path) -> None:
    for age, name in enumerate(["now", "lately", "long ago", "once"]):
        for suffix, size in ((".fst", 90), (".json", 10)):
            path = tmp_path / (name + suffix)
            path.write_bytes(bytes(size))
            os.utime(path, (1e9 - age, 1e9 - age))
    (tmp_path / ".partial-x-once.fst").write_bytes(bytes(1000))
    keep_recent(tmp_path, 400)
    assert len(list(tmp_path.iterdir())) == 9
    touch(tmp_path / "once.fst", tmp_path / "never.fst")
    keep_recent(tmp_path, 299)
    assert sorted(p.stem for p in tmp_path.glob("[!.]*")) == ["now", "now", "once", "once"]
    # the latest stays, however big; what another process is writing does too
    keep_recent(tmp_path, 5)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".partial-x-once.fst", "once.fst", "once.json"]
    os.utime(tmp_path / ".partial-x-once.fst", (1e9, 1e9))  # but for one that was killed long ago
    keep_recent(tmp_path, 500)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["once.fst", "once.json"]


def test_a_cache_that_loses_files_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / f"{name}.fst").write_bytes(bytes(10))
    stat, unlink = Path.stat, Path.unlink

    def slow_stat(path: Path, **how: bool) -> os.stat_result:
        if path.name == "a.fst":
            unlink(path, missing_ok=True)
        return stat(path, **how)

    def slow_unlink(path: Path) -> None:
        unlink(path)
        unlink(path)  # as if another process had been first

    monkeypatch.setattr(Path, "stat", slow_stat)
    monkeypatch.setattr(Path, "unlink", slow_unlink)
    keep_recent(tmp_path, 5)
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 1
