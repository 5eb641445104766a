import os
import platform
import subprocess
import sys

import pytest

from skhep_ml._files import writable_folder, write_file


def test_write_file_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_file(path, "first")
    write_file(path, "sécond")
    assert path.read_text(encoding="utf-8") == "sécond"
    write_file(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_write_file_keeps_the_old_content_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_file(path, "old")

    def fail(self, target):
        msg = "disk gone"
        raise OSError(msg)

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk gone"):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_a_killed_process_left_is_taken_away(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = platform.node()
    names = [
        f".a.txt.{here}.{ended.pid}.tmp",
        f".a.txt.{here}.1.tmp",  # a process that runs
        f".a.txt.elsewhere-{here}.{ended.pid}.tmp",
        f".b.txt.{here}.{ended.pid}.tmp",
        f".a.txt.{here}.mine.tmp",
    ]
    for name in names:
        (tmp_path / name).touch()
    write_file(tmp_path / "a.txt", "new")
    assert sorted(os.listdir(tmp_path)) == sorted(["a.txt", *names[1:]])


def test_writable_folder_makes_parents_and_leaves_no_probe(tmp_path):
    folder = writable_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert os.listdir(folder) == []


@pytest.mark.parametrize("below", ["", "deeper"])
def test_writable_folder_refuses_a_file(tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write to the output directory .*file.*choose"):
        writable_folder(tmp_path / "file" / below)
