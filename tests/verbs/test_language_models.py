"""`fill` and `next`: the distribution that transformers gives, at blanks and ends that are where the user put them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

import taesan
from conftest import SENTENCES
from taesan import cli
from taesan.errors import UsageError

TEXT = "오늘은 [MASK] 맑아서 아이들과 [MASK]를 걸었다."


def test_fill_gives_the_distribution_of_transformers(masked_backbone) -> None:
    """Behind a space there is nothing to mend, so the ids are those of AutoTokenizer with its mask token in place."""
    text = "오늘은 [MASK] 맑아서 아이들과 강가를 걸었다."
    tokenizer = AutoTokenizer.from_pretrained(masked_backbone, split_special_tokens=False)
    model = AutoModelForMaskedLM.from_pretrained(masked_backbone).eval()
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    place = int((ids[0] == tokenizer.mask_token_id).nonzero())
    with torch.inference_mode():
        expected = model(ids).logits[0, place].softmax(-1)
    ((start, candidates),) = taesan.fill(str(masked_backbone), text, top=7).blanks
    assert text[start : start + 6] == "[MASK]"
    values, numbers = expected.topk(7)
    assert [candidate.token for candidate in candidates] == tokenizer.convert_ids_to_tokens(numbers.tolist())
    np.testing.assert_allclose([candidate.probability for candidate in candidates], values, rtol=1e-4)


def test_every_blank_has_its_place_and_a_whole_distribution(masked_backbone, tokenizer) -> None:
    filled = taesan.fill(str(masked_backbone), TEXT, top=tokenizer.vocabulary_size)
    assert [start for start, _ in filled.blanks] == [4, 20]
    for _, candidates in filled.blanks:
        probabilities = [candidate.probability for candidate in candidates]
        assert sum(probabilities) == pytest.approx(1)
        assert probabilities == sorted(probabilities, reverse=True)
    assert filled.filled.startswith("오늘은 ")
    assert "[MASK]" not in filled.filled


def test_what_follows_a_blank_goes_on_as_a_word(tokenizer) -> None:
    """영화는 is 영화 and ##는, not 영화 and 는: so it must be behind a blank too."""
    for text in ("는 좋다", "를", "ing on", ", 그리고", " 띄어 쓴다"):
        joined = tokenizer.backend.encode("강" + text, add_special_tokens=False)
        expected = [i for i, (_, end) in zip(joined.ids, joined.offsets, strict=True) if end > 1]
        if text[0] in "는를":
            assert joined.tokens[-len(expected)].startswith("##")
            assert tokenizer.ids_after(text).tolist() == expected
    assert tokenizer.ids_after(" 띄어 쓴다").tolist() == tokenizer.ids([" 띄어 쓴다"])[0].tolist()
    assert tokenizer.ids_after(", 그리고").tolist() == tokenizer.ids([", 그리고"])[0].tolist()


def test_next_gives_the_distribution_of_transformers(causal_backbone, byte_tokenizer) -> None:
    text = SENTENCES[0][:12]
    model = AutoModelForCausalLM.from_pretrained(causal_backbone).eval()
    ids = byte_tokenizer.ids([text])[0]
    with torch.inference_mode():
        expected = model(torch.from_numpy(ids.astype(np.int64))[None]).logits[0, -1].softmax(-1)
    found = taesan.next_words(str(causal_backbone), text, top=5)
    values, numbers = expected.topk(5)
    assert [candidate.token for candidate in found.candidates] == [
        byte_tokenizer.backend.id_to_token(number) for number in numbers.tolist()
    ]
    np.testing.assert_allclose([candidate.probability for candidate in found.candidates], values, rtol=1e-4)


@given(st.text(min_size=1, max_size=20))
def test_byte_pieces_read_as_their_text(byte_tokenizer, text) -> None:
    ids = byte_tokenizer.ids([text])[0].tolist()
    whole = byte_tokenizer.backend.decode(ids, skip_special_tokens=False)
    pieces = "".join(byte_tokenizer.piece(number) for number in ids)
    if "�" not in whole and not any(f"<{n:02X}>" in pieces for n in range(256)):
        assert pieces == whole


def test_half_a_character_is_shown_as_its_bytes(byte_tokenizer) -> None:
    number = byte_tokenizer.backend.token_to_id("í")
    assert byte_tokenizer.piece(number) == "<ED>"
    assert byte_tokenizer.piece(byte_tokenizer.backend.token_to_id("Ġ")) == " "
    assert byte_tokenizer.piece(byte_tokenizer.separator_id) == "<|endoftext|>"


def test_control_words_are_text_everywhere_but_in_a_blank(masked_backbone, causal_backbone) -> None:
    plain = taesan.next_words(str(causal_backbone), "앞 <|endoftext|>")
    ended = taesan.next_words(str(causal_backbone), "앞")
    assert plain.candidates != ended.candidates
    filled = taesan.fill(str(masked_backbone), "앞 [SEP] 뒤 [MASK]")
    assert len(filled.blanks) == 1


@pytest.mark.parametrize(
    ("verb", "text", "message"),
    [
        ("fill", "빈칸이 없다", "there is no blank"),
        ("fill", "[MASK] [MASK]", "nothing but blanks"),
        ("fill", "가나다 " * 100 + "[MASK]", "reads at most 64"),
        ("next_words", " \u3000", "the text is empty"),
        ("next_words", "가나다 " * 100, "reads at most 64"),
    ],
)
def test_what_cannot_be_asked_is_said(masked_backbone, causal_backbone, verb, text, message) -> None:
    backbone = {"fill": masked_backbone, "next_words": causal_backbone}[verb]
    with pytest.raises(UsageError, match=message):
        getattr(taesan, verb)(str(backbone), text)


def test_the_wrong_kind_names_the_other_verb(masked_backbone, causal_backbone) -> None:
    with pytest.raises(UsageError, match="taesan next"):
        taesan.fill(str(causal_backbone), "앞 [MASK]")
    with pytest.raises(UsageError, match="taesan fill"):
        taesan.next_words(str(masked_backbone), "앞")
    with pytest.raises(UsageError, match="at least 1"):
        taesan.next_words(str(causal_backbone), "앞", top=0)


def test_the_command_line_shows_a_table_text_and_json(masked_backbone, causal_backbone, capsys) -> None:
    assert cli.main(["fill", str(masked_backbone), TEXT, "--top", "3"]) == 0
    table = capsys.readouterr().out
    assert table.count("%") == 6
    assert table.startswith("blank 1\n")
    assert cli.main(["fill", str(masked_backbone), TEXT, "--json"]) == 0
    blanks = json.loads(capsys.readouterr().out)["blanks"]
    assert [len(blank["candidates"]) for blank in blanks] == [5, 5]
    assert cli.main(["next", str(causal_backbone), "오늘은", "--text"]) == 0
    assert capsys.readouterr().out.startswith("오늘은")
    assert cli.main(["next", str(causal_backbone), "오늘은", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["candidates"]) == 5
    assert cli.main(["fill", str(causal_backbone), TEXT]) == 2
    assert "taesan next" in capsys.readouterr().err
