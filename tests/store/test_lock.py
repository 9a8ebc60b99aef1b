"""One writer of a folder; the lock ends with its process, however that ends."""

import errno
import os
import re
import subprocess
import sys

import pytest

from taesan.errors import LockedError, OutputError
from taesan.store import Lock

HOLD = (
    "import sys, pathlib, taesan.store as s\nwith s.Lock(pathlib.Path(sys.argv[1])): print('held', flush=True); input()"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path / "model"`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "model")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_and_told_by_whom(tmp_path, holder):
    pattern = rf"model is being written by process {holder.pid} on .* since 2\d\d\d-.*: -c {re.escape(str(tmp_path))}"
    with pytest.raises(LockedError, match=pattern), Lock(tmp_path / "model"):
        pass
    holder.communicate("\n")
    with Lock(tmp_path / "model"):
        assert list(tmp_path.iterdir()) == [tmp_path / ".model.lock"]
    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_leaves_no_lock(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / ".model.lock").exists()  # the file does not matter, the kernel's lock does
    with (
        Lock(tmp_path / "model"),
        pytest.raises(LockedError, match=f"process {os.getpid()} "),
        Lock(tmp_path / "model"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_removed_in_between_is_no_lock(tmp_path, monkeypatch):
    """The holder before us removed the file after we opened it and before we locked it: ours would bind nobody."""
    real, opened = os.open, []

    def open_and_lose(path, *arguments):
        descriptor = real(path, *arguments)
        if not opened:
            os.unlink(path)
        opened.append(descriptor)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    with Lock(tmp_path / "model"):
        monkeypatch.undo()
        assert len(opened) == 2
        with pytest.raises(LockedError), Lock(tmp_path / "model"):
            pass


def test_a_full_disk_does_not_hinder_the_lock(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with Lock(tmp_path / "model"), pytest.raises(LockedError, match="by another process"), Lock(tmp_path / "model"):
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be created"), Lock(tmp_path / "file" / "model"):
        pass
