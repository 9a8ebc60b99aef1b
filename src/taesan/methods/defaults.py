"""Learning rate and epochs where the user names none. Measured: see docs/lab.md."""

from dataclasses import replace

from taesan.config import FitConfig

# By width of the backbone, pretrained and from random weights. Small models want far higher rates than the 5e-5 of
# the literature, and a model that has everything to learn a higher one still. 256 was measured, 768 is the
# literature's (Devlin et al. 2019, appendix A.3); the others lie between and beyond.
LEARNING_RATES = ((128, 1e-3, 2e-3), (256, 4e-4, 7e-4), (512, 1e-4, 3e-4), (768, 5e-5, 1e-4), (1 << 30, 2e-5, 5e-5))
# Heads that answer for every token want more: KLUE-NER, 3,060 rows, entity F1 61.8 at 1, 64.9 at 2, 3 epochs each.
HEAD_RATES = {"token": 2.0}
# By training rows: a small set needs more passes. For tokens, which have their whole head to learn, more still: 66.4
# after 6 epochs there; 300 sample sentences, 32.1 after 5 at the first rate, 48.4 after 12 and 50.4 after 25 at 2.5.
EPOCHS = ((200, 25.0), (700, 5.0), (3000, 4.0), (1 << 60, 3.0))
HEAD_EPOCHS = {"token": ((200, 25.0), (700, 15.0), (5000, 6.0), (1 << 60, 3.0)), "span": ((1 << 60, 3.0),)}
# By method, times the rate of fine-tuning and its passes: few weights want larger steps, and more of them.
METHOD_RATES = {"finetune": 1.0, "lora": 5.0, "prefix": 50.0, "prompt": 125.0}
METHOD_EPOCHS = {"finetune": 1.0, "lora": 1.0, "prefix": 2.0, "prompt": 2.0}
# By head, tokens in a batch and batches added up to a step: a question with its context is as long as a dozen
# sentences, and a step needs some of them; one batch of 4,096 tokens is no faster, and takes 1.7 times the memory.
BATCHES = {"sequence": (512, 1), "token": (512, 1), "span": (1024, 4), "language_model": (1024, 1), "choice": (512, 1)}


def with_defaults(config: FitConfig, *, head: str, method: str, width: int, rows: int, from_scratch: bool) -> FitConfig:
    """`config` with the zeros filled in for a head and a method on a backbone of that width and that many rows."""
    if method not in METHOD_RATES:
        return config
    rates = next(rates for limit, *rates in LEARNING_RATES if width <= limit)
    epochs = next(epochs for limit, epochs in HEAD_EPOCHS.get(head, EPOCHS) if rows <= limit)
    return replace(
        config,
        learning_rate=config.learning_rate or rates[from_scratch] * HEAD_RATES.get(head, 1.0) * METHOD_RATES[method],
        epochs=config.epochs or epochs * METHOD_EPOCHS[method],
        batch_tokens=config.batch_tokens or BATCHES[head][0],
        accumulation=config.accumulation or (1 if config.batch_tokens else BATCHES[head][1]),
    )
