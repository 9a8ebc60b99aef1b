"""Answers in Parquet are those of the JSON lines, in typed columns, whole or not there."""

import errno
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taesan import cli, store
from taesan.engine.load import open_predictor
from taesan.engine.output import Output
from taesan.errors import StorageError
from taesan.verbs import parquet
from taesan.verbs.parquet import write_parquet
from taesan.verbs.predict import predict_file

TASKS = ["classification", "pair", "ner", "qa", "generation"]


def without_nulls(value: object) -> object:
    """A key that is null, and one that is not there, are the same in Parquet."""
    match value:
        case dict():
            return {key: without_nulls(one) for key, one in value.items() if one is not None}
        case list():
            return [without_nulls(one) for one in value]
    return value


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("details", [[], ["--details"]], ids=str)
def test_what_is_read_back_is_what_the_lines_say(models, labelled, tmp_path, monkeypatch, task, details) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 4)
    asking = ["predict", str(models[task]), "--input", str(labelled[task]), "--quiet", *details]
    for name in ("answers.jsonl", "answers.parquet"):
        assert cli.main([*asking, "--output", str(tmp_path / name)]) == 0
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()]
    table = pq.read_table(tmp_path / "answers.parquet")
    assert without_nulls(table.to_pylist()) == without_nulls(lines)
    assert pq.read_metadata(tmp_path / "answers.parquet").num_row_groups == -(-len(lines) // 4)
    assert set(lines[0]) <= set(table.column_names)
    assert not any(pa.types.is_null(field.type) for field in table.schema)


def test_columns_are_typed_also_where_every_answer_is_empty(models, tmp_path) -> None:
    predictor, _ = open_predictor(models["ner"])
    with Output(tmp_path / "none.parquet") as out:
        write_parquet(out, [], predictor.task.answer_shape(predictor.learnt))
        out.finish()
    schema = pq.read_schema(tmp_path / "none.parquet")
    assert str(schema.field("entities").type) == (
        "list<element: struct<text: string, label: string, start: int64, end: int64, probability: double>>"
    )
    labels = predictor.learnt.labels
    chances = schema.field("words").type.value_type.field("probabilities").type
    assert [field.name for field in chances] == ["O", *labels]


def test_answers_of_a_parquet_file_are_those_of_its_texts(models, labelled, tmp_path) -> None:
    predictor, _ = open_predictor(models["pair"])
    lines = [json.loads(line) for line in labelled["pair"].read_text("utf-8").splitlines()]
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "rows.parquet")
    found = [one.as_dict() for one in predict_file(predictor, tmp_path / "rows.parquet")]
    assert found == [one.as_dict() for one in predict_file(predictor, labelled["pair"])]


def test_an_output_that_fails_leaves_what_was_there(tmp_path) -> None:
    path = tmp_path / "answers.parquet"
    path.write_text("mine")

    def answers():
        yield {"label": "가"}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Output(path) as out:
        write_parquet(out, answers(), {"label": str})
    assert path.read_text() == "mine"
    assert [one.name for one in tmp_path.iterdir()] == ["answers.parquet"]


def test_a_full_disk_is_said(models, labelled, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    asking = ["predict", str(models["pair"]), "--input", str(labelled["pair"]), "--quiet"]
    monkeypatch.setattr(store, "write_whole", full)
    assert cli.main([*asking, "--output", str(tmp_path / "answers.parquet")]) == StorageError.exit_status
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wish", [["--resume"], ["--shard", "1/2"]], ids=str)
def test_parquet_is_written_in_one_go(models, labelled, tmp_path, capsys, wish) -> None:
    asking = ["predict", str(models["pair"]), "--input", str(labelled["pair"]), *wish]
    assert cli.main([*asking, "--output", str(tmp_path / "answers.parquet")]) == 2
    assert "in one go" in capsys.readouterr().err
