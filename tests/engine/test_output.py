"""A file of rows is the old one until it is whole; whatever stops its making, going on ends in the same bytes."""

import contextlib
import errno
import os
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults import Died, Disk, fail_everywhere
from taesan.engine.output import Output, make_folder, merge
from taesan.errors import DataError, LockedError, OutputError, StorageError, UsageError

PIECES = [b"one\n", b"two\nthree\n", b"last\n" * 30]
WHOLE = b"".join(PIECES)
IDENTITY = {"model": "abc", "columns": {"text": "review"}}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """A process that dies loses nothing that it wrote: fsync need not wait for the disk here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def rows(pieces):
    return sum(piece.count(b"\n") for piece in pieces)


def make(path, pieces=PIECES, identity=IDENTITY, **how):
    """Appends what is not there yet, as a run does that knows how many rows are safe; how many it did not append."""
    with Output(path, identity, **how) as out:
        passed = out.rows
        done = [number for number in range(len(pieces) + 1) if rows(pieces[:number]) == out.rows]
        for piece in pieces[done[-1] :]:
            out.append(piece, piece.count(b"\n"))
        out.finish()
    return passed


def place(folder):
    folder.mkdir(parents=True)
    (folder / "out").write_bytes(b"old")


def again(work, folder):
    """The same with --resume, as often as it is typed; where nothing had begun yet, without."""
    begun = not {*os.listdir(folder)} <= {"out", ".out.lock"}
    if begun or (folder / "out").read_bytes() == WHOLE:
        with contextlib.suppress(OutputError):
            work(folder, resume=True)
    else:
        work(folder)


def alone(folder, resume=False):
    return make(folder / "out", resume=resume)


def in_shards(folder, resume=False):
    """What each of three shards does, one after the other."""
    for part, pieces in zip(identities(folder), shards(), strict=True):
        make_folder(folder / "out", part.parent, resume=resume)
        make(part, pieces, identities(folder)[part], part_of=folder / "out", resume=resume)
        merge(folder / "out", identities(folder))


def shards():
    return PIECES[:1], [], PIECES[1:]


def identities(folder):
    return {folder / "out.parts" / str(number): {**IDENTITY, "shard": number} for number in range(3)}


@pytest.mark.parametrize(
    ("work", "code"), [(alone, 0), (alone, errno.ENOSPC), (alone, errno.EIO), (in_shards, 0), (in_shards, errno.EIO)]
)
def test_whatever_stops_it_going_on_ends_in_the_same_bytes(monkeypatch, tmp_path, work, code):
    for folder in fail_everywhere(monkeypatch, tmp_path, place, work, code):
        assert (folder / "out").read_bytes() in (b"old", WHOLE)
        again(work, folder)
        assert (folder / "out").read_bytes() == WHOLE
        again(work, folder)
        assert set(os.listdir(folder)) <= {"out", ".out.lock", ".out.parts.dropped"}
        work(folder)
        assert (folder / "out").read_bytes() == WHOLE
        assert os.listdir(folder) == ["out"]


def test_only_what_is_not_safe_is_made_again(monkeypatch, tmp_path):
    passed = set()
    for folder in fail_everywhere(monkeypatch, tmp_path, place, alone):
        with contextlib.suppress(OutputError):
            passed.add(alone(folder, resume=True))
    assert passed == {0, 1, 3, 33}


@pytest.mark.parametrize("work", [alone, in_shards])
def test_a_process_that_dies_again_and_again_gets_there(monkeypatch, tmp_path, work):
    """Also while it mends what the last one left."""
    draw = random.Random(0)
    for number in range(8):
        folder = tmp_path / str(number)
        place(folder)
        for _ in range(12):
            with monkeypatch.context() as patch, contextlib.suppress(Died):
                Disk(patch, draw.randrange(40))
                again(work, folder)
            assert (folder / "out").read_bytes() in (b"old", WHOLE)
        again(work, folder)
        assert (folder / "out").read_bytes() == WHOLE


def test_a_finished_part_is_not_made_twice_and_a_lost_one_alone(tmp_path):
    first, _, last = identities(tmp_path)
    (tmp_path / "out.parts").mkdir()
    make(first, PIECES[:1], identities(tmp_path)[first], part_of=tmp_path / "out")
    assert merge(tmp_path / "out", identities(tmp_path)) == [tmp_path / "out.parts" / "1", last]
    assert make(first, PIECES[:1], identities(tmp_path)[first], part_of=tmp_path / "out") == 1
    first.unlink()
    assert make(first, PIECES[:1], identities(tmp_path)[first], part_of=tmp_path / "out") == 0
    # A part of another run is none of this one.
    assert first in merge(tmp_path / "out", {first: {**IDENTITY, "shard": 0, "model": "other"}})
    assert make(first, PIECES[2:], {"model": "other"}, part_of=tmp_path / "out") == 0
    assert not (tmp_path / "out").exists()


def test_a_part_that_is_damaged_is_not_joined(tmp_path):
    (tmp_path / "out.parts").mkdir()
    for part, pieces in zip(identities(tmp_path), shards(), strict=True):
        make(part, pieces, identities(tmp_path)[part], part_of=tmp_path / "out")
    part = tmp_path / "out.parts" / "2"
    part.write_bytes(part.read_bytes().replace(b"last", b"lost"))
    with pytest.raises(StorageError, match=r"2 is damaged or was changed\. Delete it and type its command again"):
        merge(tmp_path / "out", identities(tmp_path))
    assert not (tmp_path / "out").exists()
    part.unlink()
    make(part, shards()[2], identities(tmp_path)[part], part_of=tmp_path / "out")
    assert merge(tmp_path / "out", identities(tmp_path)) == []
    assert (tmp_path / "out").read_bytes() == WHOLE
    assert os.listdir(tmp_path) == ["out"]


def test_shards_that_end_together_are_joined_once(tmp_path):
    """Threads stand for processes: a lock is held by its open file, not by the process."""
    for number in range(20):
        folder, found, ready = tmp_path / str(number), [], threading.Barrier(3)
        (folder / "out.parts").mkdir(parents=True)

        def shard(part, pieces, folder=folder, found=found, ready=ready):
            ready.wait()
            make(part, pieces, identities(folder)[part], part_of=folder / "out")
            found.append(merge(folder / "out", identities(folder)))

        threads = [threading.Thread(target=shard, args=one) for one in zip(identities(folder), shards(), strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (folder / "out").read_bytes() == WHOLE
        assert os.listdir(folder) == ["out"]
        assert [] in found


def stopped(path, pieces=PIECES[:2], identity=IDENTITY, error=StorageError):
    said = []
    with contextlib.suppress(error), Output(path, identity, say=said.append) as out:
        for piece in pieces:
            out.append(piece, piece.count(b"\n"))
        raise error("x") if error is not DataError else error([])
    return said


def test_a_partial_of_another_run_is_refused_and_named(tmp_path):
    path = tmp_path / "out"
    assert stopped(path) == ["3 rows are safe; the same command with --resume goes on behind them"]
    other = {"model": "abd", "columns": {"text": "review"}}
    with pytest.raises(UsageError, match=r"another model, input or options.*: model: abc, now abd\. Repeat"):
        make(path, identity=other, resume=True)
    said = []
    assert make(path, identity=other, say=said.append) == 0
    assert said == [f"{path}: begun anew; --resume would have gone on behind 3 rows"]
    with pytest.raises(OutputError, match="out is finished already"):
        make(path, resume=True)
    path.unlink()
    assert make(path, resume=True, say=said.append) == 0
    assert said[1:] == [f"{path}: nothing to go on with; from the first row"]


@pytest.mark.parametrize("name", [".out.part", ".out.record"])
def test_damage_of_a_partial_is_noticed(tmp_path, name):
    path, draw = tmp_path / "out", random.Random(0)
    stopped(path)
    content = (tmp_path / name).read_bytes()
    for _ in range(100):
        changed = bytearray(content)
        changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        for damaged in (bytes(changed), content[: draw.randrange(len(content))]):
            (tmp_path / name).write_bytes(damaged)
            with pytest.raises(StorageError, match=r"damaged or was changed.*[Bb]egin anew without --resume"):
                make(path, resume=True)
    (tmp_path / name).write_bytes(content)
    if name == ".out.part":
        (tmp_path / name).write_bytes(content + b"torn")
        assert make(path, resume=True) == 3
        assert path.read_bytes() == WHOLE
    else:
        (tmp_path / name).write_bytes(b"")
        assert make(path) == 0


@pytest.mark.parametrize(("identity", "error"), [(None, StorageError), (None, KeyboardInterrupt)])
def test_what_cannot_be_gone_on_with_leaves_nothing(tmp_path, identity, error):
    (tmp_path / "out").write_text("old")
    assert stopped(tmp_path / "out", identity=identity, error=error) == []
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "old"
    assert stopped(tmp_path / "out", pieces=[], error=DataError) == []
    assert os.listdir(tmp_path) == ["out"]


@given(pieces=st.lists(st.binary(max_size=20).map(lambda content: content + b"\n")), at=st.integers(0, 60))
def test_any_pieces_stopped_anywhere(tmp_path_factory, pieces, at):
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Died):
        patch.setattr(os, "fsync", lambda descriptor: None)
        Disk(patch, at)
        make(folder / "out", pieces)
    with contextlib.suppress(OutputError):
        make(folder / "out", pieces, resume=True)
    assert (folder / "out").read_bytes() == b"".join(pieces)
    assert [name for name in os.listdir(folder) if name != ".out.lock"] == ["out"]


def test_two_writers_of_one_file(tmp_path):
    with (
        Output(tmp_path / "out", IDENTITY),
        pytest.raises(LockedError, match=f"is being written by process {os.getpid()} on"),
        Output(tmp_path / "out", IDENTITY),
    ):
        pass


def test_a_place_where_no_file_can_be_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    for path, said in {
        tmp_path / "none" / "out": "there is no folder",
        tmp_path / "file" / "out": "there is no folder",
        tmp_path: "is no ordinary file",
        "/dev/null": "is no ordinary file",
    }.items():
        with pytest.raises(OutputError, match=said), Output(path, IDENTITY):
            pass
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "out")
    make(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "out").read_bytes() == WHOLE
