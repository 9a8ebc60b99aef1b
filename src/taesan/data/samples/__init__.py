"""Rows that come with the package, written for it, CC0: reviews with a sentiment, sentence pairs with a relation."""

from pathlib import Path

_FOLDER = Path(__file__).parent

REVIEWS = _FOLDER / "reviews.jsonl"
REVIEWS_HELD_OUT = _FOLDER / "reviews_held_out.jsonl"
PAIRS = _FOLDER / "pairs.jsonl"
PAIRS_HELD_OUT = _FOLDER / "pairs_held_out.jsonl"
