"""Columns on a terminal, where a Hangul syllable is two wide."""

import unicodedata


def display_width(text: str) -> int:
    """Cells that `text` takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    silent = sum(unicodedata.category(character) in ("Mn", "Me", "Cf") for character in text)
    return len(text) + wide - silent


def ljust(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))


def rjust(text: str, width: int) -> str:
    return " " * (width - display_width(text)) + text


def shorten(text: str, width: int) -> str:
    """At most `width` cells of the first line, an ellipsis where more was there."""
    line = " ".join(text.split())
    if display_width(line) <= width:
        return line
    while display_width(line) > width - 1:
        line = line[:-1]
    return line + "…"


def bar(part: float, width: int = 24) -> str:
    """A probability as a bar of that many cells."""
    full = round(part * width)
    return "█" * full + "·" * (width - full)
