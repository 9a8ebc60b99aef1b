"""What is known so far, while `compare` runs: a table that redraws on a terminal, a plain line a cell elsewhere."""

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from taesan.errors import escape
from taesan.progress import duration
from taesan.report.findings import Scale
from taesan.report.records import PlannedCell
from taesan.text.width import ljust, rjust

WIDTH = 8  # of a column
TRUSTED = 0.1  # part of all estimates that counts as having come true


class Scoreboard:
    """Cells done, the best so far, the time left. `records` are of cells that were done before."""

    def __init__(
        self,
        cells: Sequence[PlannedCell],
        records: Mapping[str, Mapping[str, Any]],
        *,
        metric: str,
        sign: int,
        at_once: int,
        enabled: bool = True,
    ):
        self._cells, self._metric, self._sign, self._at_once = cells, metric, sign, at_once
        self._show = Scale(sign).show  # as the report has it
        self._enabled, self._terminal = enabled, sys.stderr.isatty()
        self._scores: dict[str, float | None] = {}  # of a cell that failed, none
        for name, record in records.items():
            self._note(name, record)
        self._begun, self._before, self._drawn = time.monotonic(), set(self._scores), 0

    def done(self, cell: PlannedCell, record: Mapping[str, Any]) -> None:
        self._note(cell.name, record)
        if record["status"] == "failed":
            self.say(f"{cell.name} failed: {record['error']}")
        elif self._enabled and not self._terminal:
            score = self._show(record["scores"][self._metric]["value"])
            what = f"{cell.name}  {self._metric} {score}, {record['seconds']:.0f} s"
            self.say(f"{self._count()}  {what}{self._left()}")
        self.draw()

    def say(self, line: str) -> None:
        """A lasting line, above the table."""
        if self._enabled:
            self._clear()
            sys.stderr.write(line.encode(errors="backslashreplace").decode() + "\n")
            sys.stderr.flush()
            self.draw()

    def draw(self) -> None:
        if not (self._enabled and self._terminal):
            return
        self._clear()
        lines = [line[: shutil.get_terminal_size().columns - 1] for line in self.lines()]
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()
        self._drawn = len(lines)

    def lines(self) -> list[str]:
        """The table: a technique a line, a size a column, the mean over the seeds that are done."""
        sizes = sorted({cell.size for cell in self._cells})
        groups = dict.fromkeys((cell.method, cell.backbone) for cell in self._cells)
        several = len({backbone for _, backbone in groups if backbone}) > 1
        names = {group: f"{group[0]} {escape(group[1])}" if several and group[1] else group[0] for group in groups}
        width = max(10, *(len(name) for name in names.values()))
        head = ljust(f"{self._metric}", width) + "".join(rjust(f"{size:,}", WIDTH) for size in sizes)
        rows = [
            ljust(names[group], width) + "".join(rjust(self._shown(group, size), WIDTH) for size in sizes)
            for group in groups
        ]
        best = self._best()
        return [head, *rows, f"{self._count()}{f'; best so far {best}' if best else ''}{self._left()}"]

    def _note(self, name: str, record: Mapping[str, Any]) -> None:
        self._scores[name] = record["scores"][self._metric]["value"] if record["status"] == "done" else None

    def _shown(self, group: tuple[str, str], size: int) -> str:
        own = [cell for cell in self._cells if (cell.method, cell.backbone, cell.size) == (*group, size)]
        scores = [self._scores[cell.name] for cell in own if cell.name in self._scores]
        known = [score for score in scores if score is not None]
        if known:
            return self._show(mean(known))
        return "" if not own else "failed" if scores else "·"

    def _best(self) -> str:
        known = [(score, cell) for cell in self._cells if (score := self._scores.get(cell.name)) is not None]
        if not known:
            return ""
        score, cell = max(known, key=lambda one: self._sign * one[0])
        return f"{cell.method}, {cell.size:,} rows, {self._show(score)}"

    def _count(self) -> str:
        return f"{len(self._scores)}/{len(self._cells)} cells"

    def _left(self) -> str:
        """Estimates, stretched by how long what is done has taken beside its own; the first few cells say little."""
        new = [cell for cell in self._cells if cell.name not in self._before]
        done = sum(cell.estimated_seconds or 0.0 for cell in new if cell.name in self._scores)
        every = sum(cell.estimated_seconds or 0.0 for cell in new)
        if not done or done == every:
            return ""
        trusted = TRUSTED * every
        taken = ((time.monotonic() - self._begun) * self._at_once + trusted) / (done + trusted)
        return f"; {duration((every - done) * taken / self._at_once)} left"

    def _clear(self) -> None:
        if self._drawn:
            sys.stderr.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0
