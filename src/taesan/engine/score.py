"""A local language model as a `Scorer`: choices and parts of texts, by a tree of answers or by blanks to fill."""

from taesan.engine.blanks import MaskedScorer
from taesan.engine.scoring import Scorer
from taesan.engine.trees import CausalScorer
from taesan.methods.base import Adapted
from taesan.text.tokenizer import Tokenizer


def local_scorer(model: Adapted, tokenizer: Tokenizer, *, masked: bool, max_length: int) -> Scorer:
    """The scorer of a backbone with its own output head."""
    kind = MaskedScorer if masked else CausalScorer
    return kind(model, tokenizer, max_length=max_length)
