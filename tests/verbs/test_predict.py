"""Answers as they come: from texts, files and pipes, the same each time, and bad ones named."""

import contextlib
import io
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import taesan
from conftest import ENTITIES, PAIRS, PROMPTS, QUESTIONS, REVIEWS
from taesan import store
from taesan.engine.load import open_predictor
from taesan.errors import DataError, InputMissing, StorageError, UsageError
from taesan.progress import Progress
from taesan.verbs.predict import Shard, as_lines, predict_file, predict_into


@pytest.mark.parametrize("task", ["classification", "pair", "ner", "qa", "generation"])
def test_a_labelled_file_is_answered_as_its_texts_are(models, labelled, task) -> None:
    """Whatever form the file has, its answers are not looked at."""
    predictor, _ = open_predictor(models[task])
    from_file = [prediction.as_dict() for prediction in predict_file(predictor, labelled[task])]
    rows = {
        "classification": [text for text, _ in REVIEWS],
        "pair": [pair[:2] for pair in PAIRS],
        "ner": [text for text, _ in ENTITIES],
        "qa": [row[:2] for row in QUESTIONS],
        "generation": [prompt for prompt, _ in PROMPTS],
    }
    alone = [next(taesan.predict(predictor, [one])).as_dict() for one in rows[task]]
    assert [{key: one[key] for key in one if key != "id"} for one in from_file] == alone
    if task == "qa":
        assert [one["id"] for one in from_file] == [f"q{number}" for number in range(len(QUESTIONS))]


def test_sentences_without_tags_are_answered_from_a_table_too(models, tmp_path) -> None:
    predictor, _ = open_predictor(models["ner"])
    path = tmp_path / "new.csv"
    path.write_text("text\n" + "".join(f"{text}\n" for text, _ in ENTITIES), "utf-8")
    assert [one.as_dict() for one in predict_file(predictor, path)] == [
        one.as_dict() for one in taesan.predict(predictor, [text for text, _ in ENTITIES])
    ]


def test_a_model_is_opened_once_for_many_calls(models) -> None:
    predictor, _ = open_predictor(models["classification"])
    texts = [text for text, _ in REVIEWS]
    together = list(taesan.predict(predictor, texts))
    assert together == [next(taesan.predict(predictor, [text])) for text in texts]
    assert together == list(taesan.predict(str(models["classification"]), iter(texts)))
    assert list(taesan.predict(predictor, [])) == []


def test_pairs_take_two_texts_and_their_order_counts(models) -> None:
    pairs = [(first, second) for first, second, _ in PAIRS]
    forth = list(taesan.predict(models["pair"], pairs))
    back = list(taesan.predict(models["pair"], [(second, first) for first, second in pairs]))
    assert len(forth) == len(PAIRS)
    assert forth != back


@pytest.mark.parametrize(
    ("task", "texts", "code"),
    [
        ("classification", ["좋다", ""], "text-empty"),
        ("classification", ["좋다", " \n"], "text-empty"),
        ("classification", ["좋다", ("둘", "셋")], "text-count"),
        ("classification", ["좋다", "\udcff"], "text-surrogate"),
        ("classification", ["좋다", (3,)], "text-type"),
        ("pair", [("좋다", "낫다"), "하나"], "text-count"),
        ("pair", [("좋다", "낫다"), ("하나", "")], "text-empty"),
    ],
)
def test_a_bad_text_is_named(models, task, texts, code) -> None:
    with pytest.raises(DataError) as raised:
        list(taesan.predict(models[task], texts))
    assert [(problem.code, problem.line) for problem in raised.value.problems] == [(code, 2)]


def test_a_pipe_is_answered_line_by_line(models) -> None:
    """An answer comes while the writer still holds the pipe open."""
    predictor, _ = open_predictor(models["classification"])
    reading, writing = os.pipe()
    before = threading.active_count()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        answers = predict_file(predictor, source)
        for text, _ in REVIEWS[:3]:
            sink.write(text.encode() + b"\n")
            assert next(answers) == next(taesan.predict(predictor, [text]))
        sink.close()
        assert list(answers) == []
    assert threading.active_count() <= before + 1


def test_a_pipe_with_bad_rows_answers_the_good_ones_first(models) -> None:
    predictor, _ = open_predictor(models["classification"])
    rows = [{"text": "좋다"}, {"text": ""}, {"text": "나쁘다"}, {"wrong": 1}]
    answers = predict_file(predictor, io.BytesIO("".join(json.dumps(row) + "\n" for row in rows).encode()))
    found = []
    with pytest.raises(DataError) as raised:
        found.extend(answers)
    assert found == list(taesan.predict(predictor, ["좋다", "나쁘다"]))
    assert [(problem.line, problem.code) for problem in raised.value.problems] == [
        (2, "text-empty"),
        (4, "key-missing"),
    ]


def test_a_file_with_a_bad_row_is_not_answered_at_all(models, tmp_path) -> None:
    (tmp_path / "rows.csv").write_text("text\n좋다\n\t\n")
    predictor, _ = open_predictor(models["classification"])
    with pytest.raises(DataError, match="text-empty"):
        next(predict_file(predictor, tmp_path / "rows.csv"))


def test_labels_and_other_columns_are_not_looked_at(models, tmp_path, labelled) -> None:
    predictor, _ = open_predictor(models["classification"])
    (tmp_path / "rows.csv").write_text("id,label,review\n1,,좋다\n2,무엇이든,나쁘다\n")
    found = list(predict_file(predictor, tmp_path / "rows.csv", columns={"text": "review", "label": "nothing"}))
    assert found == list(taesan.predict(predictor, ["좋다", "나쁘다"]))


def test_what_is_no_model(tmp_path, models, masked_backbone) -> None:
    with pytest.raises(InputMissing):
        open_predictor(tmp_path)
    with pytest.raises(InputMissing, match="not a folder made by taesan"):
        open_predictor(masked_backbone)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputMissing, match="a run that has not finished"):
        open_predictor(tmp_path)


def test_a_model_of_an_unknown_task_is_refused(models, tmp_path) -> None:
    folder = store.open_model(models["classification"])
    kept = {key: value for key, value in folder.manifest.items() if key not in ("files", "format_version")}
    store.save_folder(tmp_path / "new", folder.read_all(), kept | {"task": "poetry"})
    with pytest.raises(StorageError, match="the task poetry by finetune, which this taesan does not know"):
        open_predictor(tmp_path / "new")
    store.save_folder(tmp_path / "base", folder.read_all(), {"kind": "backbone"})
    with pytest.raises(StorageError, match="is a backbone, not a model for a task"):
        open_predictor(tmp_path / "base")


# A file into a file ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_chunks(monkeypatch):
    """Rows become safe four at a time."""
    monkeypatch.setattr("taesan.engine.infer.CHUNK_ROWS", 4)
    monkeypatch.setattr("taesan.verbs.predict.CHUNK_ROWS", 4)


@pytest.fixture
def rows_file(tmp_path) -> Path:
    path = tmp_path / "rows.jsonl"
    texts = [f"{text} {number}" for number in range(2) for text, _ in REVIEWS]
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts[:23]), "utf-8")
    return path


@pytest.fixture(scope="module")
def opened(models):
    return open_predictor(models["classification"])


def expected(opened, path) -> bytes:
    return b"".join(as_lines(predict_file(opened[0], path)))


class Stopped(BaseException):
    """What ends a process in the middle."""


class Stopping:
    """A session that is stopped at its `at`-th batch (from 0), if there is one; `asked` counts the rows that it saw."""

    def __init__(self, session, at):
        self._session, self._left, self.asked = session, at, 0
        self.workers, self.batch_shape = session.workers, session.batch_shape

    def run(self, batch):
        if not self._left:
            raise Stopped
        self._left -= 1
        self.asked += int((batch["attention_mask"].sum(axis=1) > 1).sum())
        return self._session.run(batch)


@contextlib.contextmanager
def stopping(predictor, at):
    session = predictor.session
    predictor.session = Stopping(session, at)
    type(predictor.session).__name__ = type(session).__name__
    try:
        with contextlib.suppress(Stopped):
            yield predictor.session
    finally:
        predictor.session = session


def test_a_prediction_that_was_stopped_goes_on_behind_its_safe_rows(small_chunks, opened, rows_file, tmp_path) -> None:
    out, whole, at, seen = tmp_path / "out.jsonl", expected(opened, rows_file), 0, []
    while True:
        with stopping(opened[0], at):
            predict_into(out, *opened, rows_file)
        if out.exists():
            break
        with stopping(opened[0], -1) as session:
            predict_into(out, *opened, rows_file, resume=True)
        seen.append(session.asked)
        assert out.read_bytes() == whole
        assert sorted(os.listdir(tmp_path)) == ["out.jsonl", "rows.jsonl"]
        out.unlink()
        at += 1
    assert set(seen) == {23, 19, 15, 11, 7, 3}  # what is left behind 0, 4, 8, … safe rows


def test_progress_counts_all_rows_also_those_of_the_first_run(small_chunks, opened, rows_file, tmp_path, monkeypatch):
    made = []

    class Noted(Progress):
        def __init__(self, title, **how):
            super().__init__(title, **how)
            made.append(self)

    monkeypatch.setattr("taesan.verbs.predict.Progress", Noted)
    with stopping(opened[0], 4):
        predict_into(tmp_path / "out", *opened, rows_file)
    predict_into(tmp_path / "out", *opened, rows_file, resume=True)
    first, second = made
    assert 0 < first.done < 23
    assert (second.total, second.done) == (23, 23)
    assert second._start == first.done - first.done % 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"details": True}, "details: False, now True"),
        ({"columns": {"text": "text"}}, "reading.columns.text: None, now text"),
        ({"encoding": "cp949"}, "reading.encoding: utf-8, now cp949"),
        ({"shard": Shard(1, 1), "device": "cuda"}, "device: auto, now cuda"),
    ],
)
def test_a_partial_of_other_options_is_refused(small_chunks, opened, rows_file, tmp_path, change, said) -> None:
    rows_file.write_text('{"text": "good"}\n' * 9)  # whatever the encoding
    with stopping(opened[0], 2):
        predict_into(tmp_path / "out", *opened, rows_file)
    with pytest.raises(UsageError, match=said):
        predict_into(tmp_path / "out", *opened, rows_file, resume=True, **change)
    assert not (tmp_path / "out").exists()


def test_a_partial_of_another_input_or_model_is_refused(small_chunks, opened, models, rows_file, tmp_path) -> None:
    with stopping(opened[0], 4):
        predict_into(tmp_path / "out", *opened, rows_file)
    content = rows_file.read_bytes()
    rows_file.write_bytes(content.replace(b"good", b"food"))
    with pytest.raises(UsageError, match=r"input\.sha256: [0-9a-f]+, now [0-9a-f]+"):
        predict_into(tmp_path / "out", *opened, rows_file, resume=True)
    rows_file.write_bytes(content)
    predictor, manifest = opened
    with pytest.raises(UsageError, match="model: "):
        predict_into(tmp_path / "out", predictor, manifest | {"labels": []}, rows_file, resume=True)
    said: list[str] = []
    predict_into(tmp_path / "out", *opened, rows_file, say=said.append)
    assert "begun anew; --resume would have gone on behind" in said[0]
    assert (tmp_path / "out").read_bytes() == expected(opened, rows_file)


def test_an_input_that_changes_meanwhile_is_noticed(small_chunks, opened, rows_file, tmp_path) -> None:
    def change() -> None:
        rows_file.write_bytes(rows_file.read_bytes() + b'{"text": "more"}\n')

    with pytest.raises(DataError, match="a file that stays as it is"):
        predict_into(tmp_path / "out", *opened, rows_file, ready=change)
    assert not (tmp_path / "out").exists()


def test_the_output_is_not_the_input(opened, rows_file, tmp_path) -> None:
    content = rows_file.read_bytes()
    (tmp_path / "link").symlink_to(rows_file)
    for path in (rows_file, tmp_path / "link"):
        with pytest.raises(UsageError, match="is the input too"):
            predict_into(path, *opened, rows_file)
    assert rows_file.read_bytes() == content


@given(total=st.integers(0, 1000), count=st.integers(1, 40))
def test_every_row_is_in_one_shard(total, count) -> None:
    parts = [shard.rows(total) for shard in Shard(1, count).all()]
    assert [row for part in parts for row in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    "text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/3", "a/b", "1.0/2", " 1/2", "١/٢", "1/99999"]
)
def test_what_is_no_shard(text) -> None:
    with pytest.raises(UsageError, match="expected I/N, as in --shard 1/4"):
        Shard.read(text)
    assert Shard.read("3/12") == Shard(3, 12)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 23])
def test_shards_come_together_as_one_process_writes(small_chunks, opened, rows_file, tmp_path, rows) -> None:
    """Also fewer rows than shards, in any order, one of them stopped and one made twice."""
    lines = rows_file.read_bytes().splitlines(keepends=True)
    rows_file.write_bytes(b"".join(lines[:rows]))
    whole, out, draw = expected(opened, rows_file), tmp_path / "out", random.Random(rows)
    for count in range(1, 8):
        shards = Shard(1, count).all()
        draw.shuffle(shards)
        for number, shard in enumerate(shards):
            with stopping(opened[0], draw.randrange(3)):
                predict_into(out, *opened, rows_file, shard=shard)
            for _ in range(1 if number == count - 1 else 2):
                if not out.exists():
                    predict_into(out, *opened, rows_file, shard=shard, resume=draw.random() < 0.5)
            assert out.exists() == (number == count - 1)
        assert out.read_bytes() == whole
        assert sorted(os.listdir(tmp_path)) == ["out", "rows.jsonl"]
        out.unlink()


def test_a_lost_part_is_named_and_made_again_alone(small_chunks, opened, rows_file, tmp_path) -> None:
    out, said = tmp_path / "out", list[str]()
    for number in (3, 1):
        predict_into(out, *opened, rows_file, shard=Shard(number, 3), say=said.append)
    parts = tmp_path / "out.parts"
    assert said == [
        f"{parts / '3-of-3'} is done. out comes when these shards are done too: 1/3, 2/3",
        f"{parts / '1-of-3'} is done. out comes when these shards are done too: 2/3",
    ]
    (parts / "1-of-3").unlink()
    predict_into(out, *opened, rows_file, shard=Shard(2, 3))
    assert not out.exists()
    with stopping(opened[0], -1) as session:
        predict_into(out, *opened, rows_file, shard=Shard(1, 3))
    assert session.asked == 7
    assert out.read_bytes() == expected(opened, rows_file)


KILLED = """
import sys, taesan.engine.infer as infer, taesan.verbs.predict as predict
infer.CHUNK_ROWS = predict.CHUNK_ROWS = 16
from taesan.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_kill_9(models, tmp_path) -> None:
    """A real process, killed when some of its rows are safe; `benchmarks/crash_safety.py` does it more often."""
    source, draw = tmp_path / "rows.txt", random.Random(0)
    source.write_text("".join(f"{text} {number}\n" for number in range(100) for text, _ in REVIEWS), "utf-8")
    out, record = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.record"
    command = ["predict", str(models["classification"]), "--input", str(source), "--output", str(out), "--quiet"]
    safe = 0
    for tries in range(2):
        resume = ["--resume"] if tries else []
        process = subprocess.Popen([sys.executable, "-c", KILLED, *command, *resume])
        wanted = safe + draw.randrange(1, 200)
        while not tries and process.poll() is None and safe < wanted:
            with contextlib.suppress(FileNotFoundError):
                safe = max(safe, store.unsealed(record.read_bytes(), record)["rows"])
            time.sleep(0.002)
        if not tries:
            assert process.poll() is None
            process.kill()
            assert not out.exists()
        assert process.wait() == (0 if tries else -9)
    assert out.read_bytes() == b"".join(as_lines(predict_file(open_predictor(models["classification"])[0], source)))
    assert sorted(os.listdir(tmp_path)) == ["out.jsonl", "rows.txt"]
