"""`taesan demo`: a first look in under two minutes, offline, on reviews that come with the package."""

import tempfile
from pathlib import Path

from taesan.config import FitConfig
from taesan.data import samples
from taesan.engine.load import open_predictor
from taesan.progress import duration
from taesan.tasks.base import Score
from taesan.text.width import bar, display_width, ljust, shorten
from taesan.verbs.fit import Fitted, fit
from taesan.verbs.predict import predict

TEXTS = (
    "기대 없이 봤는데 마지막 장면에서 한참을 울었다",
    "배우들 연기는 좋은데 이야기가 너무 늘어져서 졸았어요",
    "나쁘지 않네요. 다음 편도 볼 것 같습니다",
    "환불받고 싶다",
)


def demo(*, output: str | Path | None = None, quiet: bool = False) -> None:
    """Prints what transfer buys on 400 reviews, a few answers, and what to type next.

    The models stay in `output`; without it they are thrown away.
    """
    if output is None:
        with tempfile.TemporaryDirectory(prefix="taesan-demo-") as folder:
            _show(Path(folder), quiet=quiet, kept=False)
    else:
        _show(Path(output), quiet=quiet, kept=True)


def _show(folder: Path, *, quiet: bool, kept: bool) -> None:
    print("taesan demo: is a review glad or not? 400 labelled reviews to learn from, 150 others to be measured on.\n")
    print("1. Fine-tune taesan:bert-mini, which has read Korean text, and the same shape with random weights.\n")
    warm = _fit(folder / "reviews", from_scratch=False, quiet=quiet)
    cold = _fit(folder / "reviews-from-scratch", from_scratch=True, quiet=quiet)
    print("   right answers on the 150 held-out reviews (95% interval):\n")
    for name, fitted in (("from taesan:bert-mini", warm), ("from scratch", cold)):
        score = _accuracy(fitted)
        print(
            f"   {name:<22} {bar(score.value)} {100 * score.value:5.1f}%   ({100 * score.low:.1f} to "
            f"{100 * score.high:.1f})   {duration(fitted.seconds)} to train"
        )
    print(f"   {'guessing':<22} {bar(0.5)}  50.0%\n")
    print(_verdict(_accuracy(warm), _accuracy(cold)))
    print("\n2. Ask the first one about reviews that it has never seen.\n")
    predictor, _ = open_predictor(folder / "reviews")
    for text, prediction in zip(TEXTS, predict(predictor, TEXTS), strict=True):
        print(f"   {shorten(text, 70)}")
        probabilities = prediction.as_dict()["probabilities"]
        width = max(map(display_width, probabilities))
        for label, probability in probabilities.items():
            print(f"     {ljust(label, width)}  {bar(probability)} {100 * probability:5.1f}%")
        print()
    print("3. Now your own file: a CSV, TSV or JSONL with columns text and label.\n")
    print("   taesan check classification mine.csv")
    print("   taesan fit classification mine.csv --output my-model")
    print("   taesan predict my-model --input new.csv --output answers.jsonl")
    if kept:
        print(f"\n   The demo's models are in {folder}: taesan show {folder / 'reviews'}")


def _fit(folder: Path, *, from_scratch: bool, quiet: bool) -> Fitted:
    return fit(
        "classification",
        samples.REVIEWS,
        test=samples.REVIEWS_HELD_OUT,
        output=folder,
        from_scratch=from_scratch,
        config=FitConfig(),
        overwrite=folder.exists(),
        quiet=quiet,
    )


def _accuracy(fitted: Fitted) -> Score:
    assert fitted.test is not None  # a test file was given
    return fitted.test.scores["accuracy"]


def _verdict(warm: Score, cold: Score) -> str:
    points = 100 * (warm.value - cold.value)
    line = f"   What it had read before is worth {points:.1f} points here, at equal epochs."
    if points <= 0:
        line = "   What it had read before did not help here."
    if warm.low < cold.high:
        line += " The intervals overlap: 150 rows cannot tell."
    return line + "\n   docs/lab.md measures it on 5,000 other reviews, and with more epochs from scratch."
