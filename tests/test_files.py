"""Files that are whole whenever they are there, and what is refused before the work."""

import errno
import os
import subprocess
import sys

import pytest

from mvae_tf import files

HAS_SMALL_DISKS = sys.platform == "linux" and hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 40 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
    if not HAS_SMALL_DISKS or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_with_the_path_and_leaves_what_was_there(small_disk):
    path = small_disk / "result.json"
    files.write_text(path, "old")
    with pytest.raises(files.WriteError) as told:
        files.write_text(path, "new" * 50_000)
    assert str(path) in str(told.value) and "Make room there" in str(told.value)
    assert told.value.errno == errno.ENOSPC
    assert [each.name for each in small_disk.iterdir()] == ["result.json"]
    assert path.read_text() == "old"
    files.write_text(path, "new")  # the advice, followed
    assert path.read_text() == "new"


def test_all_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    """Files first, then their folders' entries, the renaming, and the entry of the new name."""
    done = []
    names = {}
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda number: (done.append(os.fstat(number).st_ino), fsync(number))
    )
    monkeypatch.setattr(os, "replace", lambda *to: (done.append("rename"), replace(*to)))
    folder = tmp_path / "aside"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_text("x")
    for each in (folder, folder / "inner", folder / "inner" / "file", tmp_path):
        names[each.stat().st_ino] = each.name
    files.put(folder, tmp_path / "there")
    order = [names.get(each, each) for each in done]
    assert order == ["file", "inner", "aside", "rename", tmp_path.name]


def test_a_folder_that_takes_no_sync_does_no_harm(tmp_path, monkeypatch):
    def refused(number):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    files.sync_entries(tmp_path)
    with pytest.raises(OSError, match="Invalid"):
        (tmp_path / "file").write_text("")
        files.sync(tmp_path / "file")


def test_what_cannot_be_written_is_found_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder, name in (
        (tmp_path / "file", "x.png"),
        (tmp_path / "file" / "deeper", ""),
        (tmp_path, 300 * "x"),
    ):
        with pytest.raises(files.WriteError, match="^Expected .* to be a place that can be writ"):
            files.require_writable(folder, name)
    files.require_writable(tmp_path / "new" / "deeper", "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_names_as_long_as_names_may_be(tmp_path):
    for name in (255 * "x", 127 * "é"):
        files.write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"


def test_what_is_written_aside_can_be_put_away(tmp_path):
    with files.aside(tmp_path / "a") as one, files.aside(tmp_path / "b") as other:
        one.write_text("half")
        other.mkdir()
        (other / "inside").write_text("half")
        files.remove_asides()
        assert list(tmp_path.iterdir()) == []


def test_disks_that_are_full_in_all_words():
    assert files.is_full(OSError(errno.ENOSPC, "x"))
    assert files.is_full(RuntimeError("Resource exhausted: a/b; No space left on device"))
    assert not files.is_full(OSError(errno.EACCES, "x"))
    assert not files.is_full(RuntimeError("OOM when allocating a tensor"))
