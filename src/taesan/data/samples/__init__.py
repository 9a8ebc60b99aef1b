"""Rows that come with the package, written for it, CC0: some for each task, and others held out to be measured on."""

from pathlib import Path

_FOLDER = Path(__file__).parent

REVIEWS = _FOLDER / "reviews.jsonl"
REVIEWS_HELD_OUT = _FOLDER / "reviews_held_out.jsonl"
PAIRS = _FOLDER / "pairs.jsonl"
PAIRS_HELD_OUT = _FOLDER / "pairs_held_out.jsonl"
ENTITIES = _FOLDER / "entities.jsonl"
ENTITIES_HELD_OUT = _FOLDER / "entities_held_out.jsonl"
QUESTIONS = _FOLDER / "questions.json"
QUESTIONS_HELD_OUT = _FOLDER / "questions_held_out.json"
PROMPTS = _FOLDER / "prompts.jsonl"
PROMPTS_HELD_OUT = _FOLDER / "prompts_held_out.jsonl"
HELD_OUT = {  # by task
    "classification": REVIEWS_HELD_OUT,
    "pair": PAIRS_HELD_OUT,
    "ner": ENTITIES_HELD_OUT,
    "qa": QUESTIONS_HELD_OUT,
    "generation": PROMPTS_HELD_OUT,
}
