"""`taesan demo`: a first look in under six minutes, offline: all five tasks on rows that come with the package."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from taesan.config import FitConfig
from taesan.data import Span, samples
from taesan.engine.load import open_predictor, open_writer
from taesan.progress import duration
from taesan.tasks.base import Example, Score
from taesan.tasks.entity_metrics import entity_scores
from taesan.text.width import bar, display_width, ljust, shorten
from taesan.verbs.compare import compare
from taesan.verbs.fit import Fitted, fit
from taesan.verbs.generate import generate
from taesan.verbs.predict import predict
from taesan.verbs.reading import read_all
from taesan.verbs.show import show

REVIEWS = (
    "기대 없이 봤는데 마지막 장면에서 한참을 울었다",
    "배우들 연기는 좋은데 이야기가 너무 늘어져서 졸았어요",
    "나쁘지 않네요. 다음 편도 볼 것 같습니다",
    "환불받고 싶다",
)
WORDS = {"긍정": "최고", "부정": "별로"}
PAIR = ("아이가 마당에서 강아지와 놀고 있다.", "강아지는 집 안에서 자고 있다.")
SENTENCE = "세종은 1443년 12월 경복궁에서 스물여덟 자를 만들었다."
QUESTION = (
    "축제는 며칠까지 하나요?",
    "올해 마을 축제는 10월 3일부터 5일까지 강변 공원에서 열린다. 비가 오면 체육관으로 옮긴다.",
)
COMPARISON_SECONDS = 150.0
PROMPTS = ("오늘 회사에서 실수했어", "주말에 뭐 하면 좋을까?")


def demo(*, output: str | Path | None = None, quiet: bool = False) -> None:
    """Prints what transfer buys on 400 reviews, what a few rows teach of four other tasks, and what to type next.

    The models stay in `output`; without it they are thrown away.
    """
    if output is None:
        with tempfile.TemporaryDirectory(prefix="taesan-demo-") as folder:
            _show(Path(folder), quiet=quiet, kept=False)
    else:
        _show(Path(output), quiet=quiet, kept=True)


def _show(folder: Path, *, quiet: bool, kept: bool) -> None:
    _reviews(folder, quiet=quiet)
    _families(folder, quiet=quiet)
    print("4. The other tasks, from a few hundred rows each. So few teach a small model little: beside each score")
    print("   stands what needs no model.\n")
    _pairs(folder, quiet=quiet)
    _entities(folder, quiet=quiet)
    _questions(folder, quiet=quiet)
    _texts(folder, quiet=quiet)
    _comparison(folder, quiet=quiet, kept=kept)
    print("6. Now your own file: a CSV, TSV or JSONL with columns text and label.\n")
    print("   taesan check classification mine.csv")
    print("   taesan fit classification mine.csv --output my-model")
    print("   taesan predict my-model --input new.csv --output answers.jsonl")
    print("\n   Without a label: taesan fit classification --labels A,B --method in-context --output my-model")
    print("\n   Other tasks: pair, ner, qa, generation. Their files: docs/tasks.md")
    if kept:
        served = " ".join(str(folder / name) for name in ("reviews", "reviews-lora", "entities", "replies"))
        print(f"\n   The demo's models are in {folder}. See what they think, in a browser: taesan serve {served}")


def _reviews(folder: Path, *, quiet: bool) -> None:
    print("taesan demo: is a review glad or not? 400 labelled reviews to learn from, 150 others to be measured on.\n")
    print("1. Fine-tune taesan:bert-mini, which has read Korean text, and the same shape with random weights.\n")
    given = (samples.REVIEWS, samples.REVIEWS_HELD_OUT)
    warm = _fit("classification", *given, folder / "reviews", quiet=quiet)
    cold = _fit("classification", *given, folder / "reviews-from-scratch", from_scratch=True, quiet=quiet)
    print("   right answers on the 150 held-out reviews (95% interval):\n")
    for name, fitted in (("from taesan:bert-mini", warm), ("from scratch", cold)):
        _line(name, _score(fitted, "accuracy"), fitted.seconds)
    print(f"   {'guessing':<22} {bar(0.5)}  50.0%\n")
    print(_verdict(_score(warm, "accuracy"), _score(cold, "accuracy")))
    print("\n2. Ask the first one about reviews that it has never seen.\n")
    predictor, _ = open_predictor(folder / "reviews")
    for text, prediction in zip(REVIEWS, predict(predictor, REVIEWS), strict=True):
        print(f"   {shorten(text, 70)}")
        _bars(prediction.as_dict()["probabilities"])


def _families(folder: Path, *, quiet: bool) -> None:
    print("3. The same reviews by all three families of technique: all weights move, a few, or none.\n")
    given = (samples.REVIEWS, samples.REVIEWS_HELD_OUT)
    folders = {"fine-tuning": folder / "reviews"}
    for name, method in (("LoRA", "lora"), ("soft prompt", "prompt")):
        words = WORDS if method == "prompt" else None
        folders[name] = folder / f"reviews-{method}"
        _fit("classification", *given, folders[name], method=method, label_words=words, quiet=quiet)
    # Zero shots: no row is read to learn from. The words in which the answer is asked for are all that it is told.
    folders["in context, no label"] = folder / "reviews-in-context"
    how = {"method": "in-context", "label_words": WORDS, "backbone": "taesan:gpt-mini"}
    _fit("classification", *given, folders["in context, no label"], **how, quiet=quiet)
    print("   right answers on the held-out reviews (95% interval), weights trained, kB on disk, time:\n")
    for name, path in folders.items():
        manifest = show(path)
        score = Score(**manifest["scores"]["test"]["accuracy"])
        size = sum(record["bytes"] for record in manifest["files"].values())
        print(
            f"   {name:<22} {bar(score.value)} {100 * score.value:5.1f}%   ({100 * score.low:.1f} to "
            f"{100 * score.high:.1f})   {manifest['trained_parameters']:>9,}  {size / 1e3:>8,.0f} kB   "
            f"{duration(manifest['seconds'])}"
        )
    print("\n   LoRA and the prompt add to taesan:bert-mini and leave it as it is; in context taesan:gpt-mini is asked")
    print(
        "   which word goes on: 최고 or 별로. Which technique wins, and from how many labels on: docs/techniques.md\n"
    )


def _comparison(folder: Path, *, quiet: bool, kept: bool) -> None:
    print("5. Which technique for these reviews, and from how many labels on? All from the same rows, drawn twice.\n")
    compared = compare(
        "classification",
        samples.REVIEWS,
        test=samples.REVIEWS_HELD_OUT,
        output=folder / "comparison",
        methods=("majority", "tfidf", "finetune"),
        sizes=(32, 128, "all"),
        seeds=2,
        budget_seconds=COMPARISON_SECONDS,
        overwrite=(folder / "comparison").exists(),
        quiet=quiet,
    )
    print("\n".join(f"   {line}" for line in f"{compared.table}\n\n{compared.report.text}".splitlines()))
    if kept:
        print(f"\n   The page with its curves, costs and mistakes: {compared.report.page}")
    print()


def _pairs(folder: Path, *, quiet: bool) -> None:
    print("   pair: does the second sentence follow from the first? 400 pairs.\n")
    fitted = _fit("pair", samples.PAIRS, samples.PAIRS_HELD_OUT, folder / "pairs", quiet=quiet)
    _line("right answers", _score(fitted, "accuracy"), fitted.seconds)
    print(f"   {'guessing':<22} {bar(1 / 3)}  33.3%\n")
    print(f"   {PAIR[0]} / {PAIR[1]}")
    _bars(next(predict(fitted.folder, [PAIR])).as_dict()["probabilities"])


def _entities(folder: Path, *, quiet: bool) -> None:
    print("   ner: people, places, dates in a sentence, before their josa. 300 sentences.\n")
    given = (samples.ENTITIES, samples.ENTITIES_HELD_OUT)
    fitted = _fit("ner", *given, folder / "entities", config=FitConfig(epochs=12), quiet=quiet)
    _line("entities (F1)", _score(fitted, "entity_f1"), fitted.seconds)
    known, held_out = (read_all(path, "ner") for path in given)
    words = {one.texts[0][span.start : span.end]: span.label for one in known for span in one.label}
    found = [_known(one.texts[0], words) for one in held_out]
    value = entity_scores([one.label for one in held_out], found)["entity_f1"]
    print(f"   {'those met in training':<22} {bar(value)} {100 * value:5.1f}%\n")
    print(f"   {SENTENCE}")
    for entity in next(predict(fitted.folder, [SENTENCE])).as_dict()["entities"]:
        name = f"{entity['text']} {entity['label']}"
        print(f"     {ljust(name, 20)}  {bar(entity['probability'])} {100 * entity['probability']:5.1f}%")
    print()


def _known(text: str, words: dict[str, str]) -> tuple[Span, ...]:
    """Entities of the training rows wherever their words stand, the longest first."""
    spans: list[Span] = []
    for word in sorted(words, key=lambda word: (-len(word), word)):
        start = text.find(word)
        while start >= 0:
            span = Span(start, start + len(word), words[word])
            if all(span.end <= other.start or other.end <= span.start for other in spans):
                spans.append(span)
            start = text.find(word, span.end)
    return tuple(sorted(spans))


def _questions(folder: Path, *, quiet: bool) -> None:
    print("   qa: the words of a paragraph that answer a question, or none. 200 questions about 40 paragraphs.\n")
    given = (samples.QUESTIONS, samples.QUESTIONS_HELD_OUT)
    fitted = _fit("qa", *given, folder / "questions", config=FitConfig(epochs=2), quiet=quiet)
    _line("shared characters (F1)", _score(fitted, "f1"), fitted.seconds)
    none = _share(read_all(given[1], "qa"))
    print(f"   {'never answering':<22} {bar(none)} {100 * none:5.1f}%")
    if _score(fitted, "f1").low < none:
        print("   200 questions are too few for a model of this size: docs/tasks/qa.md has what thousands teach it.")
    print()
    print(f"   {QUESTION[1]}\n   {QUESTION[0]}")
    answer = next(predict(fitted.folder, [QUESTION])).as_dict()
    for candidate in answer["candidates"][:3]:
        name = shorten(candidate["text"], 20)
        print(f"     {ljust(name, 20)}  {bar(candidate['probability'])} {100 * candidate['probability']:5.1f}%")
    none = answer["no_answer_probability"]
    print(f"     {ljust('(no answer)', 20)}  {bar(none)} {100 * none:5.1f}%\n")


def _share(examples: Sequence[Example]) -> float:
    """The part of the questions that have no answer."""
    return sum(not example.label for example in examples) / len(examples)


def _texts(folder: Path, *, quiet: bool) -> None:
    print("   generation: a reply to what somebody says, by taesan:gpt-mini. 300 prompts.\n")
    given = (samples.PROMPTS, samples.PROMPTS_HELD_OUT)
    fitted = _fit("generation", *given, folder / "replies", config=FitConfig(epochs=4), quiet=quiet)
    learnt = _score(fitted, "perplexity").value
    writer = open_writer("taesan:gpt-mini")
    rows = [Example(("", example.texts[-1])) for example in read_all(given[1], "generation")]
    before = writer.task.scores(rows, list(writer.predict(rows)), writer.learnt)["perplexity"]
    print(f"   perplexity of the held-out replies: {learnt:,.0f}; of gpt-mini, which has seen none: {before:,.0f}")
    print(f"   {duration(fitted.seconds)} to train\n")
    for prompt, texts in zip(PROMPTS, generate(fitted.folder, PROMPTS), strict=True):
        print(f"     {prompt}  ->  {shorten(texts[0].text, 60)}")
    print()


def _fit(
    task: str,
    train: Path,
    test: Path,
    folder: Path,
    *,
    config: FitConfig | None = None,
    from_scratch: bool = False,
    method: str = "finetune",
    label_words: dict[str, str] | None = None,
    backbone: str | None = None,
    quiet: bool,
) -> Fitted:
    return fit(
        task,
        train,
        test=test,
        output=folder,
        method=method,
        label_words=label_words,
        backbone=backbone,
        from_scratch=from_scratch,
        config=config,
        overwrite=folder.exists(),
        quiet=quiet,
    )


def _score(fitted: Fitted, name: str) -> Score:
    assert fitted.test is not None  # a test file was given
    return fitted.test.scores[name]


def _line(name: str, score: Score, seconds: float) -> None:
    print(
        f"   {name:<22} {bar(score.value)} {100 * score.value:5.1f}%   ({100 * score.low:.1f} to "
        f"{100 * score.high:.1f})   {duration(seconds)} to train"
    )


def _bars(probabilities: dict[str, float]) -> None:
    width = max(map(display_width, probabilities))
    for label, probability in probabilities.items():
        print(f"     {ljust(label, width)}  {bar(probability)} {100 * probability:5.1f}%")
    print()


def _verdict(warm: Score, cold: Score) -> str:
    points = 100 * (warm.value - cold.value)
    line = f"   What it had read before is worth {points:.1f} points here, at equal epochs."
    if points <= 0:
        line = "   What it had read before did not help here."
    if warm.low < cold.high:
        line += " The intervals overlap: 150 rows cannot tell."
    return line + "\n   docs/lab.md measures it on 5,000 other reviews, and with more epochs from scratch."
