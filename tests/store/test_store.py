"""Folders are whole or not there, whatever stops a write; damage never loads."""

import errno
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors

from faults import Disk, fail_everywhere
from taesan import store
from taesan.errors import InputMissing, OutputError, StorageError

OLD = {"weights.bin": b"old " * 50, "words.txt": "가나다".encode()}
NEW = {"weights.bin": b"new " * 60, "other.txt": b"x"}


def contents(folder: Path) -> dict[str, bytes]:
    return store.open_model(folder).read_all()


def beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.glob(".*"))


def save_old(folder: Path) -> None:
    store.save_folder(folder, OLD, {"kind": "old"})


def save_new(folder: Path) -> None:
    store.save_folder(folder, NEW, {"kind": "new"})


def replace_by_a_run(folder: Path) -> None:
    """What `fit --overwrite` does."""
    store.set_aside(folder)
    with store.storage_errors(folder):
        folder.mkdir()
    store.replace_file(folder / store.RUN_FILE, b'{"verb": "fit"}')
    save_new(folder)


@pytest.mark.parametrize("code", [0, errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("work", [save_new, replace_by_a_run])
def test_whatever_stops_a_replacement_the_old_or_the_new_stands(monkeypatch, tmp_path, work, code):
    seen = []
    for folder in fail_everywhere(monkeypatch, tmp_path, save_old, work, code):
        found = contents(folder)
        assert found in (OLD, NEW)
        seen.append(found)
        with store.Lock(folder):
            store.recover(folder)
        assert contents(folder) == found
        save_new(folder)
        assert contents(folder) == NEW
        assert beside(folder) == []
    assert OLD in seen
    assert NEW in seen
    if not code:
        assert seen == sorted(seen, key=lambda found: found == NEW)  # once new, never old again


@pytest.mark.parametrize("code", [0, errno.ENOSPC, errno.EIO])
def test_a_first_save_is_whole_or_no_model(monkeypatch, tmp_path, code):
    def nothing(folder):
        folder.parent.mkdir()

    for folder in fail_everywhere(monkeypatch, tmp_path, nothing, save_new, code):
        try:
            assert contents(folder) == NEW
        except InputMissing:
            save_new(folder)
            assert contents(folder) == NEW
        assert beside(folder) == []


def test_a_removal_that_was_stopped_leaves_no_half(monkeypatch, tmp_path):
    def run(folder):
        folder.mkdir(parents=True)
        for name in (store.RUN_FILE, "log.jsonl", "notes.txt"):
            (folder / name).write_bytes(b'{"verb": "fit"}')

    for folder in fail_everywhere(monkeypatch, tmp_path, run, store.set_aside):
        with store.Lock(folder):
            store.recover(folder)
        assert not folder.exists() or len(list(folder.iterdir())) == 3
        assert beside(folder) == []


def test_disk_full_is_said_in_one_line(monkeypatch, tmp_path):
    save_old(tmp_path / "model")
    Disk(monkeypatch, 3, errno.ENOSPC)
    with pytest.raises(
        StorageError, match=r"^the disk is full: .* could not be written\. Free some space and resume\.$"
    ):
        save_new(tmp_path / "model")


def test_every_flip_and_truncation_is_noticed(tmp_path):
    draw, folder = random.Random(0), tmp_path / "model"
    save_old(folder)
    for path in folder.iterdir():
        content = path.read_bytes()
        flips = []
        for bit in draw.sample(range(len(content) * 8), min(200, len(content) * 8)):
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            flips.append(bytes(changed))
        for changed in [*flips, *(content[:size] for size in range(len(content))), content + b" "]:
            path.write_bytes(changed)
            with pytest.raises(StorageError, match="damaged"):
                contents(folder)
        path.write_bytes(content)
    assert contents(folder) == OLD


def test_a_missing_file_is_noticed(tmp_path):
    save_old(tmp_path / "model")
    (tmp_path / "model" / "words.txt").unlink()
    with pytest.raises(StorageError, match=r"words\.txt cannot be read"):
        contents(tmp_path / "model")


def test_a_manifest_written_otherwise_is_refused(tmp_path):
    """The same JSON with other blanks, or with a file taken out and sealed by nobody."""
    save_old(tmp_path / "model")
    path = tmp_path / "model" / store.MANIFEST
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps(manifest))
    with pytest.raises(StorageError, match="damaged or was changed"):
        contents(tmp_path / "model")
    for content in (b"", b"[]", b"null", b"[" * 100_000, b'{"~sha256": 1}', b'{"~sha256": "\\ud800"}', b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(StorageError, match="damaged or was changed"):
            contents(tmp_path / "model")


def test_a_later_format_is_refused_by_its_number(monkeypatch, tmp_path):
    monkeypatch.setattr(store, "FORMAT_VERSION", 7)
    save_old(tmp_path / "model")
    monkeypatch.undo()
    with pytest.raises(StorageError, match=r"has format version 7; this taesan reads version 1\. Upgrade taesan"):
        contents(tmp_path / "model")


def test_what_is_no_model_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / store.RUN_FILE).write_text("{}")
    for place in ("several/one", "several/two", "compared/cells/tfidf-8-seed1/model"):
        save_old(tmp_path / place)
    for name, message in {
        "nothing": "there is no folder",
        "file": "is a file; expected a model folder",
        "folder": "is not a folder made by taesan",
        "run": "is a run that has not finished",
        "several": "is no model, but has 2 in it; name one, as .*/several/one$",
        "compared": "is no model, but has 1 in it; name one, as .*/cells/tfidf-8-seed1/model$",
    }.items():
        with pytest.raises(InputMissing, match=message):
            store.open_model(tmp_path / name)


def test_overwriting_leaves_a_stranger_alone(tmp_path):
    for name in ("notes.txt", store.RUN_FILE):  # many programs write a run.json
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_text('{"run": 1}')
        with pytest.raises(OutputError, match="was not made by taesan, so --overwrite leaves it alone"):
            store.set_aside(folder)
        assert (folder / name).read_text() == '{"run": 1}'


def test_tensors_are_as_safetensors_reads_them():
    tensors = {
        "b": np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2],
        "a.weight": np.array(3.5, dtype=np.float32),
        "c": np.zeros((0, 5), dtype=np.float16),
        "d": np.array([True, False]),
        "가": np.array([1 << 40, -1]),
    }
    content = b"".join(store.tensor_chunks(tensors, {"format": "pt"}))
    loaded = load_tensors(content)
    assert loaded.keys() == tensors.keys()
    for name, array in tensors.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        np.testing.assert_array_equal(loaded[name], array)
    backwards = dict(reversed(tensors.items()))
    assert b"".join(store.tensor_chunks(backwards, {"format": "pt"})) == content


def test_short_writes_are_gone_on_with(monkeypatch, tmp_path):
    """A signal or a nearly full disk may take only a part of what was given."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    save_old(tmp_path / "model")
    assert contents(tmp_path / "model") == OLD


def test_a_link_to_a_model_is_followed(monkeypatch, tmp_path):
    """An output folder on another disk is often a link; the model beside it answers while it is replaced."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "disk" / "model")
    for folder in fail_everywhere(monkeypatch, tmp_path, save_old, save_new):
        link.unlink()
        link.symlink_to(folder)
        assert contents(link) in (OLD, NEW)
