"""What a whole file shows, and two together; against counts made another way."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from taesan.data.checks import check_classes, check_duplicates, check_overlap, shared_positions
from taesan.data.report import Report


@dataclass(frozen=True)
class Example:
    line: int
    texts: tuple[str, ...]
    label: str


def of(*rows: tuple[str, str]) -> list[Example]:
    return [Example(line, (text,), label) for line, (text, label) in enumerate(rows, 2)]


@given(st.lists(st.tuples(st.sampled_from(["a", "b", " a", "a  b", "a b", "한", "한"]), st.sampled_from("xy"))))
def test_duplicates_are_those_of_brute_force(rows) -> None:
    report = Report()
    check_duplicates(of(*rows), "f", report)
    plain = [" ".join(text.replace("한", "한").split()) for text, _ in rows]
    expected = len(plain) - len(set(plain))
    found = {problem.code: problem.found for problem in report.warnings}
    assert ("duplicate" in found) == bool(expected)
    if expected:
        assert found["duplicate"].startswith(f"{expected} rows")
    conflicts = sum(
        len({label for text, (_, label) in zip(plain, rows, strict=True) if text == one}) > 1 for one in set(plain)
    )
    assert ("label-conflict" in found) == bool(conflicts)
    if conflicts:
        assert found["label-conflict"].startswith(f"{conflicts} texts")


def test_conflicts_name_their_lines_and_labels() -> None:
    report = Report()
    check_duplicates(of(("가", "x"), ("나", "y"), ("가", "y")), "f", report)
    conflict = next(problem for problem in report.warnings if problem.code == "label-conflict")
    assert "lines 2, 4 ('x', 'y')" in conflict.found


def test_classes() -> None:
    report = Report()
    check_classes(of(*[("가", "x")] * 60, *[("나", "y")] * 2, ("다", "z")), "f", report)
    assert [problem.code for problem in report.warnings] == ["class-single", "class-imbalance"]
    check_classes(of(("가", "x"), ("나", "x")), "f", report)
    assert [problem.code for problem in report.errors] == ["one-class"]


def test_overlap_and_what_is_left_without_it() -> None:
    train = of(("가", "x"), ("나", "y"), ("다 라", "x"))
    test = of(("다\u3000라", "y"), ("가", "x"), ("마", "x"))
    report = Report()
    check_overlap(train, test, "train", "test", report)
    assert Counter(problem.code for problem in report.warnings) == {"overlap": 1, "overlap-conflict": 1}
    assert report.warnings[0].found.startswith("2 of 3 rows")
    assert shared_positions(train, test) == [0, 2]


def test_a_pair_of_texts_is_compared_as_a_pair() -> None:
    rows = [Example(2, ("가", "나"), "x"), Example(3, ("나", "가"), "x"), Example(4, ("가 나", ""), "y")]
    report = Report()
    check_duplicates(rows, "f", report)
    assert not report.warnings
