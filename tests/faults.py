"""A disk that fails, or a process that ends, at any one of the calls that reach the disk."""

import contextlib
import os

from taesan.errors import StorageError

OPERATIONS = ("write", "fsync", "rename", "mkdir", "unlink", "rmdir")


class Died(BaseException):
    """The process ended here: nothing that it would still have done is done."""


class Disk:
    """Counts the calls to the disk; the `at`-th (from 0) fails with `code`, or is the last thing the process did."""

    def __init__(self, monkeypatch, at=-1, code=0):
        self.count, self._at, self._code, self._dead = 0, at, code, False
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name, real):
        def call(*arguments, **named):
            here, self.count = self.count, self.count + 1
            if self._dead:
                raise Died
            if here == self._at:
                if name == "write":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                if self._code:
                    raise OSError(self._code, os.strerror(self._code))
                self._dead = True
                raise Died
            return real(*arguments, **named)

        return call


def fail_everywhere(monkeypatch, tmp_path, prepare, work, code=0):
    """Runs `work(folder)` after `prepare(folder)` with a fault at each of its calls; yields the folder after each."""
    with monkeypatch.context() as patch:
        prepare(tmp_path / "count" / "model")
        disk = Disk(patch)
        work(tmp_path / "count" / "model")
    assert disk.count >= 5
    for at in range(disk.count):
        folder = tmp_path / str(at) / "model"
        prepare(folder)
        with monkeypatch.context() as patch, contextlib.suppress(Died, StorageError):
            Disk(patch, at, code)
            work(folder)
        yield folder
