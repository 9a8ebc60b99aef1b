"""What the command line promises: exit statuses, results on stdout, talk on stderr, no traceback, whole files."""

import io
import json
import os
import sys
from pathlib import Path

import bad_answers
import bad_entities
import bad_parquet
import pytest
from bad_inputs import CASES, PAIRS, STATUS, Pair, table

import taesan
from conftest import REVIEWS
from taesan import cli, store
from taesan.config import FitConfig


@pytest.fixture(scope="module")
def model(masked_backbone, labelled, tmp_path_factory) -> Path:
    """A classifier, fitted once."""
    config = FitConfig(epochs=1, device="cpu", threads=1)
    output = tmp_path_factory.mktemp("cli") / "model"
    file = labelled["classification"]
    return taesan.fit(
        "classification", file, output=output, backbone=str(masked_backbone), config=config, quiet=True
    ).folder


@pytest.fixture
def run(capsys):
    """Runs a command in this process: its exit status, what it printed, what it said."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out, err

    return run


def stdin(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


# Exit statuses ------------------------------------------------------------------------------------------------------


def test_help_and_version(run) -> None:
    status, out, err = run("--version")
    assert (status, out.strip(), err) == (0, f"taesan {taesan.__version__}", "")
    status, out, _ = run("--help")
    assert status == 0
    verbs = [verb.removesuffix("_words") for verb in taesan.__all__]  # next is a word of Python's own
    for verb in (*verbs, "Exit status"):
        assert verb in out
    for verb in verbs:
        status, out, _ = run(verb, "--help")
        assert status == 0
        assert out.startswith(f"usage: taesan {verb}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "VERB"),
        (["guess"], "guess"),
        (["fit", "clasification", "TRAIN", "--output", "OUT"], "did you mean classification?"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--method", "finetun"], "did you mean finetune?"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--nothing"], "--nothing"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--set", "epoch=3"], "did you mean epochs?"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--set", "epochs"], "expected KEY=VALUE"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--epochs", "nan"], "at least 0"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--seed", "x"], "a whole number"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--column", "text"], "FIELD=NAME"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--column", "body=text"], "fields are text, label"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--encoding", "utf-9"], "utf-9"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--device", "cuda:99"], "cuda:99"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--max-length", "4"], "at least 8"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--max-length", "900"], "at most 64"),
        (["fit", "classification", "TRAIN", "--output", "OUT", "--resume", "--overwrite"], "exclude each other"),
        (["predict", "MODEL"], "name texts or a file"),
        (["predict", "MODEL", "글", "--input", "TRAIN"], "one of the two"),
        (["check", "sentiment", "TRAIN"], "classification, pair"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_usage_is_2_and_says_what_to_type(run, tmp_path, labelled, model, masked_backbone, arguments, said) -> None:
    names = {"TRAIN": labelled["classification"], "OUT": tmp_path / "out", "MODEL": model}
    more = ["--backbone", masked_backbone] if arguments[:1] == ["fit"] else []
    status, out, err = run(*(names.get(argument, argument) for argument in arguments), *more)
    assert status == 2
    assert said in err
    assert not out
    assert not (tmp_path / "out").exists()


def test_missing_is_66(run, tmp_path, labelled, masked_backbone) -> None:
    train, nothing = labelled["classification"], tmp_path / "nothing"
    fit = ("fit", "classification")
    for arguments in (
        (*fit, nothing, "--output", tmp_path / "out", "--backbone", masked_backbone),
        (*fit, train, "--validation", nothing, "--output", tmp_path / "out", "--backbone", masked_backbone),
        (*fit, train, "--output", tmp_path / "out", "--backbone", nothing),
        (*fit, train, "--output", tmp_path / "out", "--backbone", "taesan:nothing"),
        (*fit, train, "--output", tmp_path / "out", "--backbone", masked_backbone, "--config", nothing),
        ("predict", nothing, "글"),
        ("evaluate", nothing, train),
        ("show", nothing),
        ("show", train),
        ("check", "classification", nothing, "--backbone", masked_backbone),
        ("pretrain", "masked", nothing, "--output", tmp_path / "out"),
    ):
        status, out, err = run(*arguments)
        assert (status, out) == (66, ""), arguments
        assert "nothing" in err or "file" in err
    assert not (tmp_path / "out" / "taesan.json").exists()


def test_output_that_cannot_be_made_is_73(run, tmp_path, labelled, masked_backbone, model) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    fit = ("fit", "classification", labelled["classification"], "--backbone", masked_backbone, "--output")
    assert run(*fit, tmp_path / "full")[0] == 73
    assert run(*fit, tmp_path / "full", "--overwrite")[0] == 73  # it was not made by taesan
    assert run(*fit, tmp_path / "file" / "below")[0] == 73
    assert run(*fit, model)[0] == 73
    status, _, err = run(*fit, model, "--resume")
    assert (status, "finished already" in err) == (73, True)
    assert run("predict", model, "글", "--output", tmp_path / "no" / "folder.jsonl")[0] == 73
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"


def test_damage_is_74(run, tmp_path, model) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in model.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    content = bytearray((broken / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (broken / "model.safetensors").write_bytes(content)
    for arguments in (("predict", broken, "글"), ("show", broken)):
        status, out, err = run(*arguments)
        assert (status, out) == (74, "")
        assert "model.safetensors is damaged or was changed" in err


def test_a_locked_folder_is_75_and_names_its_holder(run, tmp_path, labelled, masked_backbone) -> None:
    output = tmp_path / "out"
    with store.Lock(output):
        status, _, err = run(
            "fit", "classification", labelled["classification"], "--backbone", masked_backbone, "--output", output
        )
    assert status == 75
    assert f"process {os.getpid()}" in err


def test_a_bug_of_ours_is_70_and_shows_its_traceback_on_request(run, monkeypatch, capsys, model) -> None:
    def broken(folder: object) -> None:
        raise RuntimeError("무엇인가 잘못되었다")

    monkeypatch.setattr("taesan.verbs.show.show", broken)
    status, out, err = run("show", model)
    assert (status, out) == (70, "")
    assert "bug of ours: RuntimeError: 무엇인가 잘못되었다" in err
    monkeypatch.setenv("TAESAN_DEBUG", "1")
    assert cli.main(["show", str(model)]) == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "expected"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left"), 74)])
def test_what_ends_a_command_from_outside(run, monkeypatch, model, error, expected) -> None:
    def ended(folder: object) -> None:
        raise error

    monkeypatch.setattr("taesan.verbs.show.show", ended)
    assert run("show", model)[0] == expected


# Results ------------------------------------------------------------------------------------------------------------


def test_fit_prints_scores_and_what_to_type_next(run, tmp_path, labelled, masked_backbone) -> None:
    arguments = ("fit", "classification", labelled["classification"], "--backbone", masked_backbone, "--epochs", "1")
    status, out, err = run(*arguments, "--device", "cpu", "--set", "threads=1", "--output", tmp_path / "a")
    assert status == 0
    assert "validation: 2 rows" in out
    assert f"taesan predict {tmp_path / 'a'}" in out
    assert "10 rows to train on, 2 to choose by, 2 labels" in err
    status, out, err = run(*arguments, "--output", tmp_path / "b", "--json", "--quiet")
    assert (status, err) == (0, "")
    content = json.loads(out)
    assert content["folder"] == str(tmp_path / "b")
    assert set(content["validation"]["scores"]) == {"accuracy", "macro_f1", "calibration_error"}


def test_predict_writes_one_json_object_a_row(run, monkeypatch, tmp_path, labelled, model) -> None:
    texts = [text for text, _ in REVIEWS]
    status, out, err = run("predict", model, *texts)
    assert (status, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == len(texts)
    assert {frozenset(line) for line in lines} == {frozenset({"label", "probabilities"})}
    assert [line["probabilities"] for line in lines] == [
        prediction.as_dict()["probabilities"] for prediction in taesan.predict(model, texts)
    ]
    # The same bytes from a file, from a pipe of lines, from a pipe of JSON, and into a file.
    assert run("predict", model, "--input", labelled["classification"])[:2] == (0, out)
    stdin(monkeypatch, "\n".join(texts).encode())
    assert run("predict", model, "-")[:2] == (0, out)
    stdin(monkeypatch, labelled["classification"].read_bytes())
    assert run("predict", model, "--input", "-")[:2] == (0, out)
    answers = tmp_path / "answers.jsonl"
    answers.write_text("old")
    assert run("predict", model, *texts, "--output", answers)[:2] == (0, "")
    assert answers.read_text("utf-8") == out


def test_an_output_file_is_whole_or_the_old_one(run, monkeypatch, tmp_path, model) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text("old")
    bad = tmp_path / "bad.csv"
    bad.write_text("text,label\n좋다,긍정\n,부정\n")
    status, out, err = run("predict", model, "--input", bad, "--output", answers)
    assert (status, out) == (65, "")
    assert "text-empty" in err
    stdin(monkeypatch, b'{"text": "\xec\xa2\x8b\xeb\x8b\xa4"}\n{"text": 3}\n')
    status, out, err = run("predict", model, "-", "--output", answers)
    assert (status, out) == (65, "")
    assert "json-type" in err
    assert answers.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "bad.csv"]
    # Onto a pipe, good rows are answered before the bad one is known.
    stdin(monkeypatch, b'{"text": "\xec\xa2\x8b\xeb\x8b\xa4"}\n{"text": 3}\n')
    status, out, err = run("predict", model, "-")
    assert (status, len(out.splitlines())) == (65, 1)
    assert "json-type" in err


def test_predict_in_shards_and_what_goes_with_them(run, monkeypatch, tmp_path, labelled, model) -> None:
    file, answers = labelled["classification"], tmp_path / "answers.jsonl"
    whole = run("predict", model, "--input", file)[1]
    command = ("predict", model, "--input", file, "--output", answers)
    part = tmp_path / "answers.jsonl.parts" / "2-of-2"
    said = f"{part} is done. answers.jsonl comes when these shards are done too: 1/2\n"
    assert run(*command, "--shard", "2/2") == (0, "", said)
    assert run(*command, "--shard", "1/2", "--resume", "--quiet") == (0, "", "")
    assert answers.read_text("utf-8") == whole
    assert os.listdir(tmp_path) == ["answers.jsonl"]
    status, _, err = run(*command, "--resume")
    assert status == 73
    assert (
        err == f"taesan: {answers} is finished already; there is nothing to go on with. To replace it, omit --resume.\n"
    )
    with store.Lock(answers):
        status, _, err = run(*command)
    assert status == 75
    assert f"is being written by process {os.getpid()} on" in err
    for arguments in (("글", "--output", answers), ("--input", "-", "--output", answers), ("--input", file)):
        for more in (("--resume",), ("--shard", "1/2")):
            status, _, err = run("predict", model, *arguments, *more)
            assert status == 2
            assert "need a file to read and one to write" in err
    monkeypatch.setenv("WORLD_SIZE", "2")
    for arguments in ((*command, "--shard", "1/2"), command[:-2]):
        assert run(*arguments)[0] == 2


def test_a_text_that_cannot_be_answered_is_65(run, model) -> None:
    for text in ("", "  ", "\ud800"):
        status, _, err = run("predict", model, "좋다", text)
        assert status == 65
        assert "input:2" in err
    status, _, err = run("predict", model, "좋다", "--hypothesis", "나쁘다")
    assert status == 65
    assert "found 2 a row; expected 1" in err


def test_json_for_programs(run, tmp_path, labelled, model, masked_backbone) -> None:
    status, out, err = run("evaluate", model, labelled["classification"], "--json")
    assert (status, err) == (0, "")
    evaluation = json.loads(out)
    assert evaluation["rows"] == len(REVIEWS)
    assert set(evaluation["scores"]["accuracy"]) == {"value", "low", "high"}
    assert evaluation["labels"] == ["긍정", "부정"]
    status, out, _ = run("evaluate", model, labelled["classification"])
    assert "accuracy" in out
    assert "긍정" in out

    status, out, _ = run("show", model, "--json")
    assert json.loads(out)["task"] == "classification"
    assert "classification by finetune" in run("show", model)[1]

    checking = ("check", "classification", labelled["classification"], "--backbone", masked_backbone)
    status, out, _ = run(*checking, "--json")
    checked = json.loads(out)
    assert (status, checked["rows"], checked["error_count"]) == (0, len(REVIEWS), 0)
    assert checked["labels"] == {"긍정": 6, "부정": 6}
    assert checked["max_length"] == 64
    assert "50.0%" in run(*checking)[1]

    bad = tmp_path / "bad.csv"
    bad.write_text("text,label\n좋다,긍정\n나쁘다\n" + ",부정\n" * 30)
    status, out, err = run("evaluate", model, bad, "--json")
    content = json.loads(out)
    assert (status, content["exit_status"], content["error"]) == (65, 65, "DataError")
    assert content["error_count"] == 31
    first = content["errors"][0]
    assert (first["code"], first["line"], first["file"]) == ("row-short", 3, str(bad))
    assert set(first) == {"code", "file", "line", "column", "field", "found", "expected", "fix", "severity", "unit"}
    status, out, err = run("evaluate", model, bad)
    assert (status, out) == (65, "")
    assert "… and 11 more errors" in err
    status, out, err = run("show", tmp_path / "nothing", "--json")
    assert json.loads(out)["exit_status"] == status == 66
    assert not err


def test_labels_that_the_model_does_not_know(run, tmp_path, model) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,label\n좋다,긍정\n나쁘다,긍졍\n")
    status, _, err = run("evaluate", model, file)
    assert status == 65
    assert "label-unknown" in err
    assert "'긍정'" in err
    assert run("predict", model, "--input", file)[0] == 0  # where labels are not looked at


def test_config_file_and_flags(run, tmp_path, labelled, masked_backbone) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('epochs = 2\nlong_text = "head"\nseed = 5\nthreads = 1\n')
    status, _, _ = run(
        *("fit", "classification", labelled["classification"], "--backbone", masked_backbone, "--quiet"),
        *("--config", settings, "--seed", "6", "--set", "warmup=0.5", "--output", tmp_path / "out"),
    )
    config = taesan.show(tmp_path / "out")["config"]
    assert status == 0
    assert (config["epochs"], config["long_text"], config["seed"], config["warmup"]) == (2.0, "head", 6, 0.5)


# The catalogue of bad inputs ----------------------------------------------------------------------------------------


# A name that `Field` alone does not know and the task does: the file is read, and has one class.
ALIASED = {"C05": "one-class"}


ALL = (*CASES, *bad_parquet.CASES)


@pytest.mark.parametrize("case", [case for case in ALL if case.labels is None], ids=lambda case: case.id)
def test_bad_input_by_check(run, tmp_path, masked_backbone, modes_count, case) -> None:
    checking = ("check", "classification", case.write(tmp_path), "--backbone", masked_backbone)
    status, out, err = run(*checking)
    assert status == STATUS[case.outcome], out + err
    if not case.count:  # many errors: the one in question may not be among the 20 that are shown
        out = run(*checking, "--json")[1].replace('"code": "', "[").replace('",', "]")
    assert f"[{ALIASED.get(case.id, case.code)}]" in out or not case.code
    if case.outcome == "missing":
        assert not out
        assert err.startswith("taesan: ")


@pytest.fixture(scope="module")
def taken(tmp_path_factory) -> Path:
    """An output that is refused, right after the data was taken: what comes so far was not refused for its data."""
    folder = tmp_path_factory.mktemp("taken")
    (folder / "letter.txt").write_text("mine")
    return folder


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_bad_input_by_fit(run, tmp_path, taken, masked_backbone, modes_count, case) -> None:
    """A bad file ends it before anything is trained or written; a good one gets as far as the output."""
    train = path = case.write(tmp_path)
    more: tuple[object, ...] = ()
    if case.labels is not None:  # labels are known from the training file
        train = tmp_path / "known.csv"
        train.write_bytes(table("csv", [(text, label) for text in "가나다" for label in case.labels]))
        more = ("--validation", path)
    output = taken if case.outcome in ("accept", "warning") else tmp_path / "out"
    fitting = ("fit", "classification", train, *more, "--output", output, "--backbone", masked_backbone)
    status, out, err = run(*fitting, "--device", "cpu")
    assert status == (STATUS[case.outcome] or 73), err
    assert not out
    if case.outcome == "error":
        if not case.count:
            err = run(*fitting, "--json")[1].replace('"code": "', "[").replace('",', "]")
        assert f"[{ALIASED.get(case.id, case.code)}]" in err
    assert not (tmp_path / "out").exists()
    assert [path.name for path in taken.iterdir()] == ["letter.txt"]


# Errors of labels, which `predict` does not look at.
OF_LABELS = ("P16", "P22-null", "P23-long", "P23-decimal", "P24", "P25", "P26")


@pytest.mark.parametrize("case", bad_parquet.CASES, ids=lambda case: case.id)
def test_bad_parquet_by_evaluate_and_predict(run, tmp_path, model, case) -> None:
    path = case.write(tmp_path)
    status, out, _ = run("evaluate", model, path, "--quiet", "--json")
    assert status == (66 if case.outcome == "missing" else 65)  # the good ones have labels that the model lacks
    assert f'"code": "{case.code}"' in out or case.outcome != "error"
    answered = case.outcome in ("accept", "warning") or case.id in OF_LABELS
    output = tmp_path / "answers.parquet"
    status, out, err = run("predict", model, "--input", path, "--output", output, "--quiet")
    assert status == (0 if answered else STATUS[case.outcome]), err
    assert output.exists() == answered
    assert f"[{case.code}]" in err or answered or case.outcome == "missing"
    assert not out


STRUCTURED = [
    *(("ner", case) for case in bad_entities.CASES if case.labels is None),
    *(("qa", case) for case in bad_answers.CASES),
]


@pytest.mark.parametrize(("task", "case"), STRUCTURED, ids=lambda one: one if isinstance(one, str) else one.id)
def test_bad_entities_and_answers_by_check_and_fit(run, tmp_path, taken, masked_backbone, task, case) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    status, out, err = run("check", task, path, "--backbone", masked_backbone, "--json")
    assert status == STATUS[case.outcome], out + err
    assert f'"code": "{case.code}"' in out or not case.code
    output = taken if case.outcome in ("accept", "warning") else tmp_path / "out"
    fitting = ("fit", task, path, "--output", output, "--backbone", masked_backbone, "--device", "cpu", "--json")
    status, out, err = run(*fitting)
    small = "too small to hold rows out" in out  # a good file of one row: refused before its output
    assert status == (2 if small else STATUS[case.outcome] or 73), out + err
    if case.outcome == "error":
        assert f'"code": "{case.code}"' in out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.id)
def test_bad_pair(run, tmp_path, taken, masked_backbone, pair: Pair) -> None:
    train, test = pair.write(tmp_path)
    fit = ("fit", "classification", train, "--output", taken, "--backbone", masked_backbone, "--device", "cpu")
    for flag in ("--test", "--validation"):
        status, out, err = run(*fit, flag, test)
        assert status == (STATUS[pair.outcome] or 73)
        assert f"[{pair.code}]" in err
    if pair.code != "label-unknown":  # `check` compares texts, not labels
        status, out, _ = run(
            "check", "classification", test, "--against", train, "--backbone", masked_backbone, "--json"
        )
        content = json.loads(out)
        assert status == STATUS[pair.outcome]
        assert pair.code in {problem["code"] for problem in content["errors"] + content["warnings"]}
