"""What only a whole file, or two together, can show: repeated texts, contradicting labels, lopsided classes, leaks."""

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from taesan.data.report import Report
from taesan.errors import Problem, escape

IMBALANCE = 20
SHOWN = 5
_COMPARED_BYTES = 1 << 18


class Labelled(Protocol):
    """An example as the checks see it; `label` is a string, or a tuple of spans or answers."""

    @property
    def line(self) -> int: ...
    @property
    def texts(self) -> tuple[str, ...]: ...
    @property
    def label(self) -> Any: ...


def check_classes(examples: Sequence[Labelled], file: str, report: Report) -> None:
    """One class is an error; a class of one row, and one 20 times as large as another, are warnings."""
    counts = Counter(example.label for example in examples)
    if not counts:
        return
    shown = ", ".join(f"'{escape(label, 30)}' {count:,}" for label, count in counts.most_common(10))
    if len(counts) == 1:
        fix = "Add rows of another label: there is nothing to tell apart."
        report.add(Problem("one-class", file, 0, 0, "label", f"one label: {shown}", "two or more", fix))
        return
    for example in examples:
        if counts[example.label] == 1:
            found, fix = f"one row of '{escape(example.label, 30)}'", "It cannot be measured: none is left to hold out."
            report.add(Problem("class-single", file, example.line, 0, "label", found, "two or more", fix, "warning"))
    largest, smallest = max(counts.values()), min(counts.values())
    if largest >= IMBALANCE * smallest:
        fix = "Look at the F1 of each class: accuracy says little here."
        report.add(Problem("class-imbalance", file, 0, 0, "label", shown, "", fix, "warning"))


def check_duplicates(examples: Sequence[Labelled], file: str, report: Report) -> None:
    """The same texts again, after NFC and with white space as one space; those of different labels are listed."""
    groups = defaultdict[tuple[str, ...], list[Labelled]](list)
    for example in examples:
        groups[same(example.texts)].append(example)
    repeated = [group for group in groups.values() if len(group) > 1]
    if not repeated:
        return
    unit = report.unit(file)
    count = sum(len(group) - 1 for group in repeated)
    first = repeated[0]
    found = f"{count:,} rows whose text stood before, first {_lines(first, unit)}: '{escape(first[0].texts[0], 30)}'"
    report.add(Problem("duplicate", file, first[1].line, found=found, expected="each text once", severity="warning"))
    conflicts = [group for group in repeated if len({example.label for example in group}) > 1]
    if conflicts:
        shown = "; ".join(f"{_lines(group, unit)} {_labels(group)}" for group in conflicts[:SHOWN])
        found = f"{len(conflicts):,} texts with more than one label: {shown}" + (
            "; …" if len(conflicts) > SHOWN else ""
        )
        line, fix = conflicts[0][0].line, "Decide for one label, or delete these rows."
        report.add(Problem("label-conflict", file, line, 0, "label", found, "one label a text", fix, "warning"))


def check_overlap(
    train: Sequence[Labelled], test: Sequence[Labelled], train_file: str, test_file: str, report: Report
) -> None:
    """Texts of the test file that were trained on, and those whose label differs there."""
    seen = defaultdict[tuple[str, ...], list[Labelled]](list)
    for example in train:
        seen[same(example.texts)].append(example)
    shared = [(example, seen[key]) for example in test if (key := same(example.texts)) in seen]
    if not shared:
        return
    first, before = shared[0]
    found = (
        f"{len(shared):,} of {len(test):,} rows that are in {escape(train_file, 200)} too, first its "
        f"{_lines(before, report.unit(train_file))}"
    )
    fix = "Type `--drop-overlap` to train without them: else the figures are too good."
    report.add(
        Problem("overlap", test_file, first.line, 0, "", found, "texts that were not trained on", fix, "warning")
    )
    differing = [(one, others) for one, others in shared if all(other.label != one.label for other in others)]
    if differing:
        unit = report.unit(test_file)
        shown = "; ".join(f"{unit} {one.line:,} {_labels([one, *others])}" for one, others in differing[:SHOWN])
        found = f"{len(differing):,} texts that have another label there: {shown}"
        line, fix = differing[0][0].line, "Decide for one label a text."
        report.add(Problem("overlap-conflict", test_file, line, 0, "label", found, "the same label", fix, "warning"))


def shared_positions(examples: Sequence[Labelled], others: Sequence[Labelled]) -> list[int]:
    """Positions of the `examples` whose texts are among the `others`: what `--drop-overlap` leaves out of training."""
    keys = {same(other.texts) for other in others}
    return [position for position, example in enumerate(examples) if same(example.texts) in keys]


def check_same_file(train: str | Path, test: str | Path, report: Report) -> None:
    """One file, under whatever name, or a copy of it, as training and as test data: an error."""
    if not (os.path.isfile(train) and os.path.isfile(test)):
        return  # the reader says what is wrong with them
    if os.path.samefile(train, test):
        found = "the training file"
    elif _same_bytes(train, test):
        found = f"a copy of the training file {escape(train, 200)}"
    else:
        return
    fix = "Name another file, or none: then a part of the training file is held out."
    report.add(Problem("same-file", str(test), 0, 0, "", found, "texts that were not trained on", fix))


def same(texts: tuple[str, ...]) -> tuple[str, ...]:
    """What two examples have in common that people take for the same."""
    return tuple(" ".join(unicodedata.normalize("NFC", text).split()) for text in texts)


def _same_bytes(one: str | Path, other: str | Path) -> bool:
    if os.path.getsize(one) != os.path.getsize(other):
        return False
    return all(left == right for left, right in zip(_blocks(one), _blocks(other), strict=False))


def _blocks(path: str | Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while block := file.read(_COMPARED_BYTES):
            yield block


def _lines(group: Sequence[Labelled], unit: str) -> str:
    lines = ", ".join(f"{example.line:,}" for example in group[:SHOWN])
    return f"{unit}{'' if len(group) == 1 else 's'} {lines}" + (", …" if len(group) > SHOWN else "")


def _labels(group: Sequence[Labelled]) -> str:
    shown = dict.fromkeys(f"'{escape(_shown(example.label), 40)}'" for example in group)
    return f"({', '.join(shown)})"


def _shown(label: Any) -> str:
    return label if isinstance(label, str) else "; ".join(map(str, label or ())) or "nothing"
