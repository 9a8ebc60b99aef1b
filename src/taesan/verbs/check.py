"""`taesan check TASK FILE`: everything that is wrong, or worth knowing, in a labelled file. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from taesan.data import Report, check_duplicates, check_same_file
from taesan.errors import Problem
from taesan.models.locate import default_backbone, locate
from taesan.tasks.base import Example, Task
from taesan.text.tokenizer import Tokenizer
from taesan.text.width import ljust
from taesan.verbs.reading import Source, find_task, read_examples


@dataclass
class Checked:
    """What `check` found. `lengths` are percentiles of the tokens a row, control tokens included."""

    file: str
    rows: int
    labels: dict[str, int]
    lengths: dict[str, int]
    max_length: int
    report: Report = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "rows": self.rows,
            "labels": self.labels,
            "length_tokens": self.lengths,
            "max_length": self.max_length,
            **self.report.as_dict(),
        }

    def __str__(self) -> str:
        lines = [str(self.report)] if str(self.report) else []
        if self.rows:
            lines.append(f"{self.file}: {self.rows:,} good rows, {self.report.error_count:,} errors")
        total = max(1, sum(self.labels.values()))
        width = max([8, *(len(label) * 2 for label in self.labels)])
        for label, count in list(self.labels.items())[:30]:
            lines.append(f"  {ljust(label, width)}  {count:9,}  {100 * count / total:5.1f}%")
        if self.lengths:
            shown = ", ".join(f"{name} {value}" for name, value in self.lengths.items())
            lines.append(f"  tokens a row: {shown}; the model reads {self.max_length}")
        return "\n".join(lines)


def check(
    task: str,
    file: str | Path,
    *,
    against: str | Path | None = None,
    backbone: str | None = None,
    max_length: int = 0,
    encoding: str = "utf-8",
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
) -> Checked:
    """Reads `file` as `fit` would, and says all that it finds; `against` is the other file of the two (test, train).

    Nothing is raised for bad rows: they are in the report. Raises: InputMissing, UsageError.
    """
    the_task, report = find_task(task), Report()
    source = Source(encoding, columns or {}, format)
    examples = list(read_examples(file, the_task, source, report))
    the_task.check(examples, str(file), report)
    check_duplicates(examples, str(file), report)
    if against is not None:
        check_same_file(against, file, report)
        other = list(read_examples(against, the_task, source, report))
        the_task.check_overlap(other, examples, str(against), str(file), report)
    tokenizer = Tokenizer.load(locate(backbone or default_backbone(the_task.head)))
    limit = max_length or tokenizer.max_length or 512
    lengths = _lengths(examples, the_task, tokenizer, limit, report, str(file))
    return Checked(str(file), len(examples), the_task.counts(examples), lengths, limit, report)


def _lengths(
    examples: list[Example], task: Task, tokenizer: Tokenizer, limit: int, report: Report, file: str
) -> dict[str, int]:
    if not examples:
        return {}
    tokens = np.zeros(len(examples), dtype=np.int64)
    for column in range(len(examples[0].texts)):
        tokens += [len(ids) for ids in tokenizer.ids([example.texts[column] for example in examples])]
    layout = tokenizer.layout
    tokens += layout.single_tokens if len(examples[0].texts) == 1 else layout.pair_tokens
    longer = np.flatnonzero(tokens > limit)
    if len(longer):
        found = f"{len(longer):,} rows longer than {limit} tokens, the longest {tokens.max():,}"
        fix = "They are cut or read in windows, as --set long_text=head, head-tail or windows says."
        if task.windowed:
            fix = "They are read in overlapping windows."
        line = examples[int(longer[0])].line
        report.add(Problem("text-long", file, line, found=found, fix=fix, severity="warning"))
    values = np.percentile(tokens, [50, 95, 100]).astype(int)
    return dict(zip(("median", "95%", "longest"), map(int, values), strict=True))
