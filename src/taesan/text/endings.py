"""Where inside a token an answer ends: Korean josa stick to the word before them, and subwords do not respect that.

In KLUE-NER a fifth of the entities end inside a token (bert-mini's and gpt-mini's alike): `13일까지` may be one token,
and `13일` the date. How much of a token is left out hangs on its last characters and is counted in the training rows.
Measured on KLUE-NER dev, given the entity's last token: right in 79.7% of entities without, in 96.2% with a list of
josa, in 99.6% with these counts (docs/lab.md).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

SUFFIX_CHARACTERS = 4
# What a longer suffix, and last the whole token, has to say against a shorter one, in rows (Witten-Bell-like mixing).
PRIOR_ROWS = 2.0
_WHOLE = "^"  # in front of a whole token

Counts = Mapping[str, Mapping[str, int]]  # suffix → characters left out → how often


def count_endings(cases: Iterable[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """JSON-ready counts of (token, how many of its last characters were left out)."""
    counts = defaultdict[str, dict[str, int]](dict)
    for token, left_out in cases:
        for key in _keys(token):
            counts[key][str(left_out)] = counts[key].get(str(left_out), 0) + 1
    # Where a last character was never left out, nothing longer that ends in it says more.
    left = {key for key, found in counts.items() if len(key) == 1 and set(found) != {"0"}}
    return {key: found for key, found in sorted(counts.items()) if key[-1] in left}


def left_out(token: str, counts: Counts) -> tuple[int, float]:
    """The likeliest number of last characters to leave out of a token that ends an answer, and its probability."""
    chances = {0: 1.0}
    for key in _keys(token):
        found = {int(number): count for number, count in counts.get(key, {}).items() if int(number) < len(token)}
        rows = sum(found.values())
        if rows:
            numbers = set(chances) | set(found)
            chances = {
                number: (found.get(number, 0) + PRIOR_ROWS * chances.get(number, 0.0)) / (rows + PRIOR_ROWS)
                for number in numbers
            }
    best = max(chances, key=lambda number: (chances[number], -number))
    return best, chances[best] / sum(chances.values())


def _keys(token: str) -> list[str]:
    """From the shortest suffix to the whole token."""
    return [token[-size:] for size in range(1, min(SUFFIX_CHARACTERS, len(token) - 1) + 1)] + [_WHOLE + token]
