"""`generate`: replies and continuations, streamed, repeated by seed; and what cannot write is told so."""

import json

import pytest

import taesan
from conftest import PROMPTS
from taesan import cli
from taesan.config import FitConfig, GenerationOptions
from taesan.errors import DataError, UsageError


@pytest.fixture(scope="module")
def folder(causal_backbone, labelled, tmp_path_factory):
    root = tmp_path_factory.mktemp("generate")
    lines = labelled["generation"].read_text("utf-8").splitlines(keepends=True)
    (root / "again.jsonl").write_text("".join(lines[::-1]), "utf-8")
    config = FitConfig(epochs=60, learning_rate=1e-2, device="cpu", threads=1)
    return taesan.fit(
        "generation",
        labelled["generation"],
        validation=root / "again.jsonl",  # the same rows: it is to learn them by heart
        output=root / "model",
        backbone=str(causal_backbone),
        config=config,
        quiet=True,
    ).folder


def test_it_says_what_it_has_learnt(folder) -> None:
    """Sixty passes over six replies: most of them come back word by word."""
    said = [texts[0].text for texts in taesan.generate(folder, [prompt for prompt, _ in PROMPTS])]
    assert sum(text == completion for text, (_, completion) in zip(said, PROMPTS, strict=True)) >= 3
    evaluation = taesan.show(folder)["scores"]["validation"]
    assert evaluation["perplexity"]["value"] > 1


def test_together_as_alone_and_as_drawn_before(folder) -> None:
    prompts = [prompt for prompt, _ in PROMPTS]
    options = GenerationOptions(sample=True, temperature=1.5, sequences=2, max_tokens=12, seed=3)
    together = taesan.generate(folder, prompts, options=options)
    assert together == [taesan.generate(folder, [prompt], options=options)[0] for prompt in prompts]
    assert {len(texts) for texts in together} == {2}
    other = GenerationOptions(sample=True, temperature=1.5, sequences=2, max_tokens=12, seed=4)
    assert together != taesan.generate(folder, prompts, options=other)


def test_pieces_are_the_text(folder, causal_backbone) -> None:
    pieces: list[str] = []
    ((written,),) = taesan.generate(folder, ["오늘 날씨는?"], on_text=pieces.append)
    assert "".join(pieces) == written.text == written.shown
    assert len(pieces) > 1
    pieces.clear()
    options = GenerationOptions(max_tokens=5)
    ((written,),) = taesan.generate(causal_backbone, ["오늘은"], options=options, on_text=pieces.append)
    assert "".join(pieces) == written.shown == "오늘은" + written.text
    assert not written.answers


def test_candidates_of_every_step(folder) -> None:
    ((written,),) = taesan.generate(folder, ["어디 가니?"], options=GenerationOptions(candidates=3))
    assert len(written.steps) == written.tokens
    for step in written.steps:
        chances = [candidate.probability for candidate in step]
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) <= 1 + 1e-6


def test_what_cannot_write(folder, masked_backbone, labelled, tmp_path) -> None:
    with pytest.raises(UsageError, match="needs a causal backbone"):
        taesan.generate(masked_backbone, ["가"])
    config = FitConfig(epochs=1, device="cpu", threads=1)
    other = taesan.fit(
        "ner", labelled["ner"], output=tmp_path / "ner", backbone=str(masked_backbone), config=config, quiet=True
    )
    with pytest.raises(UsageError, match="writes no text"):
        taesan.generate(other.folder, ["가"])
    with pytest.raises(DataError, match="text-empty"):
        taesan.generate(folder, ["가", " "])
    with pytest.raises(DataError, match="prompt-long"):
        taesan.generate(folder, ["화면이 밝고 소리가 또렷하다 " * 20])


def test_by_command(folder, capsys) -> None:
    assert cli.main(["generate", str(folder), "영화는 어땠어?"]) == 0
    text = capsys.readouterr().out
    ((written,),) = taesan.generate(folder, ["영화는 어땠어?"])
    assert text == written.text + "\n"
    assert cli.main(["generate", str(folder), "영화는 어땠어?", "어디 가니?", "--json", "--beams", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["prompt"] for line in lines] == ["영화는 어땠어?", "어디 가니?"]
    assert cli.main(["generate", str(folder), "가", "--top-k", "many"]) == 2
    assert "top_k is 'many'; expected a whole number" in capsys.readouterr().err
    assert cli.main(["generate", str(folder), "가", "--temperature", "0", "--sample"]) == 2
    assert "do not sample" in capsys.readouterr().err
