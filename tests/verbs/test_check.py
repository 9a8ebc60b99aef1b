"""What `check` says of a file: counts, lengths, overlap, and all that is wrong."""

import numpy as np
import pytest

import taesan
from conftest import PAIRS, REVIEWS
from taesan.errors import InputMissing, UsageError


def test_lengths_are_those_that_the_model_would_read(labelled, masked_backbone, tokenizer) -> None:
    for task, rows in (("classification", REVIEWS), ("pair", PAIRS)):
        checked = taesan.check(task, labelled[task], backbone=str(masked_backbone))
        joined = [tokenizer.join(*tokenizer.ids(list(row[:-1])))[0] for row in rows]
        sizes = [len(ids) for ids in joined]
        expected = np.percentile(sizes, [50, 95, 100]).astype(int).tolist()
        assert list(checked.lengths.values()) == expected
        assert checked.rows == len(rows)
        assert checked.max_length == 64
        assert checked.report.error_count == 0


def test_long_texts_are_counted(labelled, masked_backbone, tokenizer) -> None:
    checked = taesan.check("classification", labelled["classification"], backbone=str(masked_backbone), max_length=20)
    longer = sum(len(ids) + 2 > 20 for ids in tokenizer.ids([text for text, _ in REVIEWS]))
    assert longer > 0
    (problem,) = [warning for warning in checked.report.warnings if warning.code == "text-long"]
    assert problem.found.startswith(f"{longer} rows longer than 20 tokens")
    assert "longest" in str(checked)


def test_against(labelled, masked_backbone, tmp_path) -> None:
    file = tmp_path / "test.csv"
    file.write_text(f"text,label\n{REVIEWS[0][0]},부정\n새 글,긍정\n또 새 글,부정\n")
    checked = taesan.check("classification", file, against=labelled["classification"], backbone=str(masked_backbone))
    codes = {warning.code for warning in checked.report.warnings}
    assert {"overlap", "overlap-conflict"} <= codes


def test_a_file_of_errors_is_reported_and_not_raised(masked_backbone, tmp_path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,label\n,긍정\n좋다\n")
    checked = taesan.check("classification", file, backbone=str(masked_backbone))
    assert (checked.rows, checked.report.error_count, checked.lengths) == (0, 2, {})
    assert "text-empty" in str(checked)
    assert checked.as_dict()["error_count"] == 2


def test_what_cannot_be_checked(labelled, masked_backbone, tmp_path) -> None:
    with pytest.raises(InputMissing):
        taesan.check("classification", tmp_path / "nothing", backbone=str(masked_backbone))
    with pytest.raises(InputMissing):
        taesan.check("classification", labelled["classification"], backbone=str(tmp_path))
    with pytest.raises(UsageError, match="there is no task"):
        taesan.check("parsing", labelled["classification"])
