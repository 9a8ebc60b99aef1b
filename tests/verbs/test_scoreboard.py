"""What `compare` says of the time that is left: estimates first, what has been seen more and more."""

import re
import time

import pytest

from taesan.report.records import PlannedCell
from taesan.verbs.scoreboard import Scoreboard

CELLS = [
    PlannedCell(name=f"cell-{n}", backbone="", method="tfidf", size=8, seed=n, estimated_seconds=10.0)
    for n in range(20)
]
RECORD = {"status": "done", "scores": {"accuracy": {"value": 0.5}}, "seconds": 1.0}


def left_after(monkeypatch, count, seconds_each, *, before=0, at_once=1):
    """Seconds that are said to be left when `count` cells have taken that long."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    known = {cell.name: RECORD for cell in CELLS[:before]}
    board = Scoreboard(CELLS, known, metric="accuracy", sign=1, at_once=at_once, enabled=False)
    for cell in CELLS[before : before + count]:
        now[0] += seconds_each / at_once
        board.done(cell, RECORD)
    found = re.search(r"; (?:(\d+):)?(\d+)(?: s)? left$", board.lines()[-1])
    return 60 * int(found[1] or 0) + int(found[2]) if found else None


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("count", [1, 10, 19])
def test_what_takes_its_estimate_leaves_the_rest_of_it(monkeypatch, count, at_once):
    assert left_after(monkeypatch, count, 10.0, at_once=at_once) == 10 * (20 - count) / at_once


def test_one_slow_cell_says_little_and_many_say_all(monkeypatch):
    first, last = left_after(monkeypatch, 1, 50.0), left_after(monkeypatch, 19, 50.0)
    assert 190 < first < 5 * 190 / 2  # of five times as long not half is believed
    assert 45 <= last <= 50


def test_what_was_done_before_counts_on_neither_side(monkeypatch):
    assert left_after(monkeypatch, 5, 10.0, before=10) == 50
    assert left_after(monkeypatch, 10, 10.0, before=10) is None
