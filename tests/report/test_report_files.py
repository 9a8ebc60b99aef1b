"""From records to sentences, tables and the page."""

import csv
import html
import io
import json
import re
import shutil
from html.parser import HTMLParser

import fake_records
import numpy as np
import pytest

from taesan import report
from taesan.errors import InputMissing, StorageError
from taesan.report import tables
from taesan.report.findings import find
from taesan.report.mistakes import find_mistakes
from taesan.report.recommendation import recommend
from taesan.report.records import read

EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three techniques, one of them far ahead at the largest size."""
    out = tmp_path_factory.mktemp("compared")
    methods = ("tfidf", "finetune", "in-context")
    return fake_records.write(out, methods=methods, sizes=(0, 16, 64, 256, 1024), failing=("tfidf-bert-mini-64-seed2",))


@pytest.fixture(scope="module")
def findings(folder):
    return find(read(folder))


@pytest.fixture(scope="module")
def written(folder):
    return report.write(folder)


def test_points_are_the_records_own_scores(folder, findings) -> None:
    cells = {cell.name: cell for cell in read(folder).done}
    for point in findings.points.values():
        own = [cells[cell.name].scores["accuracy"]["value"] for cell in point.cells]
        assert point.score.value == pytest.approx(np.mean(own))
        assert point.score.low <= point.score.value <= point.score.high


def test_one_overtakes_another_where_the_truth_does(findings) -> None:
    rows = np.arange(16, 1024)
    gaps = [fake_records.true_error("finetune", n) - fake_records.true_error("tfidf", n) for n in rows]
    truth = rows[np.flatnonzero(np.array(gaps) > 0)[-1]]
    (found,) = [one for one in findings.crossovers if (one.first, one.second) == ("finetune", "tfidf")]
    assert found.low <= truth <= found.high
    assert not found.extrapolated


def test_the_best_is_used_where_it_is_clear(findings) -> None:
    found = recommend(findings)
    assert found.point is not None
    assert found.point.technique.method == "finetune"
    assert len(found.sentences) == 3
    assert "significantly better than the next best, tfidf" in found.reasons[0].en
    assert "taesan fit classification reviews.csv --method finetune" in found.command


def recommended(tmp_path, **how):
    return recommend(find(read(fake_records.write(tmp_path, **how))))


def test_the_cheapest_where_nothing_is_better(tmp_path, monkeypatch) -> None:
    alike = dict(fake_records.TECHNIQUES)
    alike["lora"] = (*alike["finetune"][:4], *alike["lora"][4:])  # the same error for a sixtieth of the folder
    monkeypatch.setattr(fake_records, "TECHNIQUES", alike)
    found = recommended(tmp_path, methods=("finetune", "lora"), seed_spread=0.0, items=2000, seed=3)
    assert found.point is not None
    assert found.point.technique.method == "lora"
    # The leader is whichever chance put first.
    if "No significant difference" in found.reasons[0].en:
        assert "instead of" in found.reasons[0].en
        assert "유의한 차이가 없습니다" in found.reasons[0].ko


def test_constraints_choose(tmp_path) -> None:
    found = recommended(tmp_path / "a", constraints={"size_mb": 1}, methods=("finetune", "tfidf"))
    assert found.point is not None
    assert found.point.technique.method == "tfidf"
    assert "within size_mb=1 (0.31 MB)" in found.what.en
    assert "ithout size_mb=1 finetune would be better" in found.reasons[1].en
    none = recommended(tmp_path / "b", constraints={"latency_ms": 1e-6}, methods=("finetune", "tfidf"))
    assert none.point is None
    assert "Nearest comes tfidf" in none.reasons[0].en


def test_a_cost_that_was_not_measured_meets_no_constraint(tmp_path) -> None:
    found = recommended(tmp_path, constraints={"latency_ms": 100}, sizes=(8, 32), methods=("finetune", "tfidf"))
    assert found.point is None
    assert "not measured" in found.reasons[0].en


def test_nothing_finished(tmp_path) -> None:
    fake_records.write(tmp_path, sizes=(8,), seeds=1, methods=("tfidf",), failing=("tfidf-bert-mini-8-seed1",))
    found = report.write(tmp_path)
    assert found.recommendation.point is None
    assert "SIGKILL" in found.page.read_text("utf-8")


def test_one_cell_is_enough(tmp_path) -> None:
    found = report.write(fake_records.write(tmp_path, sizes=(8,), seeds=1, methods=("tfidf",), folds=False, items=20))
    assert found.recommendation.point is not None


def test_backbones_and_baselines(tmp_path) -> None:
    both = ("taesan:bert-mini", "taesan:gpt-mini")
    fake_records.write(tmp_path, backbones=both, methods=("finetune", "tfidf"), sizes=(16, 64))
    for path in tmp_path.glob("cells/tfidf-*/cell.json"):
        cell = json.loads(path.read_text("utf-8"))
        if "gpt" in cell["name"]:
            path.unlink()
        else:
            path.write_text(json.dumps(cell | {"backbone": ""}), "utf-8")
    names = {one.name for one in find(read(tmp_path)).techniques}
    assert names == {"finetune · bert-mini", "finetune · gpt-mini", "tfidf"}
    assert report.write(tmp_path).page.exists()


def test_folders_that_are_none(tmp_path) -> None:
    with pytest.raises(InputMissing, match=r"plan\.json"):
        report.write(tmp_path)
    fake_records.write(tmp_path, sizes=(8,), seeds=1, methods=("tfidf",))
    path = tmp_path / "cells" / "tfidf-bert-mini-8-seed1" / "predictions.jsonl"
    path.write_text("\n".join(path.read_text("utf-8").splitlines()[:-1]), "utf-8")
    with pytest.raises(StorageError, match="answers 299 rows"):
        report.write(tmp_path)


def test_doubtful_labels_are_those_that_were_turned(tmp_path) -> None:
    records = read(fake_records.write(tmp_path, methods=("tfidf",), sizes=(64,)))
    turned = {row for row, one in records.folds.items() if one["label"] != records.train[row - 1].label}
    found = find_mistakes(find(records), None).doubtful
    assert found is not None
    assert {one.row for one in found} == turned
    assert len(turned) > 2


def test_mistakes_by_brute_force(findings) -> None:
    found = find_mistakes(findings, None)
    rights = []
    for point in findings.best:
        cells = [findings.records.answers[cell.name] for cell in point.cells]
        rights.append(
            [
                np.mean([answers[row]["label"] == example.label for answers in cells])
                for row, example in enumerate(findings.records.test, 1)
            ]
        )
    means = np.mean(rights, axis=0)
    assert [one.right for one in found.hardest] == pytest.approx(sorted(means)[: len(found.hardest)])
    assert all(means[one.row - 1] == pytest.approx(one.right) for one in found.hardest)
    assert sum(one.rows for one in found.by_length) == sum(one.rows for one in found.by_part) == len(means)
    best = findings.best[0]
    own = [np.mean(one) for one in zip(*[items.right for items in best.items], strict=True)]
    weighted = sum(one.rows * one.scores[best.technique.name] for one in found.by_length)
    assert weighted / len(own) == pytest.approx(np.mean(own))
    assert found.confusion.sum() == len(own) * len(best.cells)


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether every tag is closed."""

    VOID = frozenset({"meta", "input", "br", "img"})

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.languages: dict[str, int] = {"en": 0, "ko": 0}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("span", "tspan") and dict(attrs).get("lang"):
            self.languages[dict(attrs)["lang"]] += 1

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_alone(written) -> None:
    text = written.page.read_text("utf-8")
    page = Page(text)
    assert not page.open
    assert page.languages["en"] == page.languages["ko"] > 60
    names = [tag for tag, _ in page.tags]
    assert names.count("svg") == 7  # curves, cost, three reliability diagrams, confusion, timeline
    assert not {"script", "link", "img", "iframe", "object"} & set(names)
    for _, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("href", "src", "xlink:href"):
            assert attributes.get(key, "#").startswith("#")
    assert "default-src 'none'" in text
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    assert "url(http" not in text
    assert "@import" not in text


def test_what_users_typed_is_inert(tmp_path) -> None:
    name = f"=cmd|' /C calc'!A0{EVIL}"
    labels = (f"긍정{EVIL}", "</style></svg>부정")
    fake_records.write(
        tmp_path,
        labels=labels,
        texts=(EVIL, "\u202e거꾸로 & <u>"),
        backbones=(EVIL,),
        methods=("tfidf", "finetune"),
        sizes=(16, 64),
    )
    plan = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    plan["train"]["name"] = name
    plan["pruned"] = [{"name": name, "backbone": EVIL, "method": name, "size": 1, "seed": 1, "reason": EVIL}]
    (tmp_path / "plan.json").write_text(json.dumps(plan), "utf-8")
    found = report.write(tmp_path)
    text = found.page.read_text("utf-8")
    page = Page(text)
    assert not page.open
    assert not {"script", "img", "u"} & {tag for tag, _ in page.tags}
    assert text.count("</style>") == 1
    assert "\u202e" not in text
    assert html.escape("<script>") in text
    shown = found.markdown.read_text("utf-8")
    assert re.search(r"(?<!\\)<script", shown.split("```")[0]) is None
    cells = list(csv.reader(io.StringIO(found.csv.read_text("utf-8"))))
    assert cells[-1][0] == f"'{name}"
    assert not [cell for row in cells for cell in row if cell.startswith(("=", "@", "+"))]


def test_without_texts_no_text_is_shown(folder) -> None:
    page = report.write(folder, texts=False).page.read_text("utf-8")
    texts = {example.texts[0] for example in read(folder).test if len(example.texts[0]) > 12}
    assert not [text for text in texts if text in page]
    again = report.write(folder).page.read_text("utf-8")
    assert [text for text in texts if text in again]


def test_the_same_records_give_the_same_bytes(folder) -> None:
    first = report.write(folder).page.read_bytes()
    assert report.write(folder).page.read_bytes() == first


def test_tables(folder, written) -> None:
    records = read(folder)
    rows = list(csv.DictReader(io.StringIO(written.csv.read_text("utf-8"))))
    assert [row["name"] for row in rows] == [one.name for one in (*records.cells, *records.plan.pruned)]
    by_name = {row["name"]: row for row in rows}
    for cell in records.done:
        assert float(by_name[cell.name]["accuracy"]) == cell.scores["accuracy"]["value"]
    assert by_name["tfidf-bert-mini-64-seed2"]["status"] == "failed"
    parquet = pytest.importorskip("pyarrow.parquet")
    assert written.parquet is not None
    assert parquet.read_table(written.parquet).column("name").to_pylist() == [row["name"] for row in rows]
    assert "finetune" in written.markdown.read_text("utf-8")
    assert written.text.count("\n") == 4


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "＝1"])
def test_spreadsheets_run_nothing(text) -> None:
    (head, row) = csv.reader(io.StringIO(tables.csv_text([{text: text, "number": -1.5}])))
    assert head[0] == row[0] == f"'{text}"
    assert row[1] == "-1.5"


def test_without_matplotlib_the_page_has_no_charts(folder, monkeypatch) -> None:
    monkeypatch.setattr("taesan.report.charts.find_spec", lambda name: None)
    page = report.write(folder).page.read_text("utf-8")
    assert "<svg" not in page
    assert "taesan[report]" in page


@pytest.mark.parametrize("task", ["ner", "generation"])
def test_other_tasks(tmp_path, task) -> None:
    """A task without classes, and one whose metric falls."""
    fake_records.write(tmp_path, methods=("tfidf", "finetune"), sizes=(16, 64), items=4, folds=False)
    rows, answers = {
        "ner": (
            [{"text": "서울에서 부산까지", "entities": [{"start": 0, "end": 2, "label": "장소"}]}] * 4,
            lambda right: {"entities": [{"start": 0, "end": 2 if right else 3, "label": "장소", "probability": 0.8}]},
        ),
        "generation": (
            [{"prompt": "오늘 날씨는?", "completion": "맑다"}] * 4,
            lambda right: {"text": "맑다", "reference": {"log_probability": -1.0 if right else -6.0, "tokens": 3}},
        ),
    }[task]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "test.jsonl").write_text(lines, "utf-8")
    for path in tmp_path.glob("cells/*/predictions.jsonl"):
        told = [answers("finetune" in str(path) or row == 1) | {"row": row} for row in range(1, 5)]
        path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in told), "utf-8")
    plan = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    metric = {"ner": "entity_f1", "generation": "perplexity"}[task]
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"task": task, "metric": metric}), "utf-8")
    found = report.write(tmp_path)
    assert found.recommendation.point is not None
    assert found.recommendation.point.technique.method == "finetune"
    score = found.recommendation.point.score.value
    assert score == pytest.approx({"ner": 1.0, "generation": np.exp(1 / 3)}[task])


def test_what_a_killed_job_left_is_not_read(folder, tmp_path) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    name = "finetune-bert-mini-16-seed1"
    shutil.copytree(copied / "cells" / name, copied / "cells" / f".{name}.host-1")
    shutil.copytree(copied / "folds" / "1", copied / "folds" / ".2.host-1")
    (copied / "folds" / ".2.host-1" / "predictions.jsonl").write_text("{", "utf-8")
    assert [cell.name for cell in read(copied).cells] == [cell.name for cell in read(folder).cells]
