"""What is said in English and in Korean, side by side, and numbers as people write them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Both:
    """The same in two languages."""

    en: str
    ko: str


METRICS = {
    "accuracy": Both("accuracy", "정확도"),
    "entity_f1": Both("entity F1", "개체명 F1"),
    "f1": Both("F1", "F1"),
    "perplexity": Both("perplexity", "퍼플렉시티"),
}
MEGABYTE = 1e6


def metric_name(name: str) -> Both:
    return METRICS.get(name, Both(name, name))


def whole(value: float) -> str:
    return f"{value:,.0f}"


def about(value: float) -> str:
    """Two figures of a number of rows that is estimated: 1,237 is 1,200."""
    if value < 10:
        return f"{value:.0f}"
    digits = len(f"{value:.0f}") - 2
    return f"{round(value / 10**digits) * 10**digits:,.0f}"


def significant(value: float, figures: int = 2) -> str:
    """So many figures, without an exponent: 0.00312 is 0.0031, 41,234 is 41,234."""
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (figures - 1):
        return f"{value:,.0f}"
    digits = figures - 1
    while digits < 12 and abs(value) * 10**digits < 10 ** (figures - 1):
        digits += 1
    return f"{value:.{digits}f}"


def milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{significant(1000 * seconds)} ms"


def megabytes(size: float | None) -> str:
    return "" if size is None else f"{significant(size / MEGABYTE)} MB"


def duration(seconds: float | None) -> Both:
    if seconds is None:
        return Both("", "")
    if seconds < 100:
        return Both(f"{significant(seconds)} s", f"{significant(seconds)}초")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return Both(f"{minutes} min {rest} s", f"{minutes}분 {rest}초")
    hours, minutes = divmod(minutes, 60)
    return Both(f"{hours} h {minutes} min", f"{hours}시간 {minutes}분")


def p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def upper(text: str) -> str:
    return text[:1].upper() + text[1:]
