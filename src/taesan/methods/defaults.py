"""Learning rate and epochs where the user names none. Measured: see docs/lab.md."""

from dataclasses import replace

from taesan.config import FitConfig

# By width of the backbone: small models want far higher rates than the 5e-5 of the literature.
LEARNING_RATES = ((128, 2e-3), (256, 7e-4), (512, 2e-4), (768, 5e-5), (1 << 30, 2e-5))
# Rows seen in all, at least: a small set needs more passes.
FEW_ROWS_EPOCHS = ((500, 10.0), (2000, 6.0), (1 << 60, 3.0))


def with_defaults(config: FitConfig, *, width: int, rows: int) -> FitConfig:
    """`config` with the zeros filled in for a backbone of that width and that many training rows."""
    rate = next(rate for limit, rate in LEARNING_RATES if width <= limit)
    epochs = next(epochs for limit, epochs in FEW_ROWS_EPOCHS if rows <= limit)
    return replace(config, learning_rate=config.learning_rate or rate, epochs=config.epochs or epochs)
