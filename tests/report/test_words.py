"""Numbers as people write them."""

import pytest

from taesan.report.words import about, duration, p_value, significant


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.00312, "0.0031"), (3.14, "3.1"), (25.4, "25"), (516.1, "516"), (41_234, "41,234")]
)
def test_two_figures(value, shown) -> None:
    assert significant(value) == shown


@pytest.mark.parametrize(
    ("rows", "shown"), [(7.6, "8"), (12.3, "12"), (96.4, "96"), (1237, "1,200"), (99_600, "100,000")]
)
def test_about(rows, shown) -> None:
    assert about(rows) == shown


def test_times_and_chances() -> None:
    assert duration(62.3).ko == "62초"
    assert duration(116).en == "1 min 56 s"
    assert duration(7300).en == "2 h 1 min"
    assert [p_value(p) for p in (0.0004, 0.0312, 0.31)] == ["p < 0.001", "p = 0.031", "p = 0.31"]
