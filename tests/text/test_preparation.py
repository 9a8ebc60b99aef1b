"""What stays of raw lines is what a slow and plain rule would keep, in the same order, however often it is asked."""

import hashlib
import random
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import SENTENCES
from taesan.errors import UsageError
from taesan.text.preparation import Counts, Preparation, prepare

LANGUAGES = {
    "ko": (*SENTENCES[:8], "재미있다", "ㅋㅋㅋ 좋다", "2024년 서울"),
    "en": (
        "The river was quiet in the morning and the children walked along it for a long time.",
        "She bought apples and pears at the shop in front of the school yesterday afternoon.",
        "It takes two and a half hours to go from the capital to the coast by train.",
        "good film",
    ),
    "ja": (
        "今日は天気が良かったので、子供たちと川辺を長い間歩きました。",
        "この映画は俳優の演技が良くて、最後まで面白く見ました。",
        "学校の前の店でりんごと梨を買いました。",
        "ありがとう",
    ),
    "zh": (
        "今天天气很好，我们和孩子们在河边走了很长时间。",
        "这部电影的演员演得很好，我一直看到最后都觉得很有意思。",
        "老师在学校前面的商店里买了苹果和梨，然后坐火车回家了。",
    ),
    "ru": (
        "Сегодня была хорошая погода, и мы с детьми долго гуляли по берегу реки.",
        "Учитель купил яблоки и груши в магазине напротив школы, а потом поехал домой на поезде.",
        "Фильм был очень хороший, и мы досмотрели его до самого конца.",
        "спасибо",
    ),
}


def run(texts, **options) -> tuple[list[str], Counts]:
    counts = Counts()
    return list(
        prepare(((("a.txt"), i + 1, text) for i, text in enumerate(texts)), Preparation(**options), counts)
    ), counts


def jaccard(first: str, second: str) -> float:
    """Over the runs of three characters, white space left out, by their definition."""
    a, b = (
        {joined[i : i + 3] for i in range(max(1, len(joined) - 2))}
        for joined in ("".join(text.split()) for text in (first, second))
    )
    return len(a & b) / len(a | b)


# Each filter --------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)))))
def test_normalization(texts) -> None:
    assert run(texts, normalization="none")[0] == texts
    assert run(texts)[0] == [unicodedata.normalize("NFC", text) for text in texts]
    assert run(texts, normalization="nfkc")[0] == [unicodedata.normalize("NFKC", text) for text in texts]


@given(st.lists(st.text("가나 a", max_size=4)), st.integers(0, 4), st.integers(0, 4))
def test_lengths_and_exact_duplicates(texts, least, most) -> None:
    if 0 < most < least:
        return
    kept, counts = run(texts, minimum_characters=least, maximum_characters=most, duplicates="exact")
    fitting = [text for text in texts if least <= len(text.strip()) and not 0 < most < len(text.strip())]
    first = {text.strip(): text for text in reversed(fitting)}
    assert sorted(kept) == sorted(first.values())
    assert kept == [text for i, text in enumerate(fitting) if text.strip() not in {t.strip() for t in fitting[:i]}]
    assert (counts.lines, counts.kept) == (len(texts), len(kept))
    assert counts.kept + sum(counts.dropped.values()) == counts.lines
    assert counts.dropped["exact-duplicate"] == len(fitting) - len(kept)


def test_nfd_and_nfc_of_a_line_are_the_same_line() -> None:
    texts = [SENTENCES[0], unicodedata.normalize("NFD", SENTENCES[0])]
    assert run(texts, duplicates="exact")[0] == texts[:1]
    assert run(texts, duplicates="exact", normalization="none")[0] == texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_language(language) -> None:
    for other, texts in LANGUAGES.items():
        kept, counts = run(texts, language=language)
        assert kept == (list(texts) if other == language else [])
        assert counts.dropped["language"] == len(texts) - len(kept)


def test_short_lines_are_judged_by_their_script() -> None:
    assert run(["Ja, gut", "네 ok", "12:30 !!", ""], language="en")[0] == ["Ja, gut", "네 ok", "12:30 !!", ""]
    assert run(["Ja, gut", "재미 ok", "12:30 !!"], language="ko")[0] == ["재미 ok", "12:30 !!"]
    assert run(["хорошо", "dobro", "добро"], language="sr")[0] == ["хорошо", "dobro", "добро"]


# Near duplicates ----------------------------------------------------------------------------------------------------


def edited_lines() -> list[str]:
    """Lines of made-up words; three in ten are an earlier one with up to a third of its characters changed."""
    chance = random.Random(5)
    words = ["".join(chr(0xAC00 + chance.randrange(2000)) for _ in range(chance.randint(1, 4))) for _ in range(800)]
    lines: list[str] = []
    for _ in range(1500):
        if not lines or chance.random() > 0.3:
            lines.append(" ".join(chance.choices(words, k=chance.randint(5, 30))))
            continue
        characters = list(chance.choice(lines))
        for _ in range(round(len(characters) * chance.random() ** 2 / 3)):
            characters[chance.randrange(len(characters))] = chr(0xAC00 + chance.randrange(2000))
        lines.append("".join(characters))
    return lines


def test_near_duplicates_are_those_of_brute_force() -> None:
    """Each line against all that were kept before it: what is well above the threshold goes, what is well below stays.

    An estimate from 128 slots has a standard error of at most 0.044; near the threshold it may fall on either side.
    """
    lines = edited_lines()
    kept, counts = run(lines, duplicates="near")
    places = iter([*kept, None])
    following, before = next(places), []
    above = below = near = dropped_near = 0
    for line in lines:
        stayed = line == following
        highest = max((jaccard(line, earlier) for earlier in before), default=0.0)
        if stayed:
            before.append(line)
            following = next(places)
        if highest >= 0.9:
            above += 1
            assert not stayed, (highest, line)
        elif highest < 0.68:
            below += 1
            assert stayed, (highest, line)
        else:
            near += 1
            dropped_near += not stayed
    assert following is None
    assert above > 100
    assert below > 1000
    assert near > 20
    assert counts.dropped["near-duplicate"] + counts.dropped["exact-duplicate"] == len(lines) - len(kept)


def test_another_spacing_is_a_near_duplicate_and_another_line_is_none() -> None:
    texts = ["오늘은 날씨가 맑아서 아이들과 걸었다", "오늘은날씨가 맑아서 아이들과걸었다", "비가 와서 길이 미끄럽다"]
    assert run(texts, duplicates="near")[0] == [texts[0], texts[2]]
    assert run(texts, duplicates="exact")[0] == texts
    assert run(["가", "나", "가 ", "", "가나"], duplicates="near")[0] == ["가", "나", "", "가나"]
    one, other = SENTENCES[0], SENTENCES[0].replace("강가를", "강을")
    assert 0.5 < jaccard(one, other) < 0.95
    assert len(run([one, other], duplicates="near", near_duplicate_similarity=0.5)[0]) == 1
    assert len(run([one, other], duplicates="near", near_duplicate_similarity=1.0)[0]) == 2


# The whole ----------------------------------------------------------------------------------------------------------

CODE = """
import hashlib
from test_preparation import edited_lines, run
kept, counts = run(edited_lines(), duplicates="near", language="ko", minimum_characters=20)
print(hashlib.sha256(repr((kept, counts.as_dict())).encode()).hexdigest())
"""


def test_two_processes_keep_the_same_lines() -> None:
    kept, counts = run(edited_lines(), duplicates="near", language="ko", minimum_characters=20)
    digests = {hashlib.sha256(repr((kept, counts.as_dict())).encode()).hexdigest()}
    root = __file__.rsplit("/tests/", 1)[0]
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": "tests:tests/text"}
        done = subprocess.run(
            [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment, cwd=root
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def test_lines_are_read_as_they_are_asked_for() -> None:
    """No more than are needed, of a source without an end."""
    read = 0

    def lines() -> Iterator[tuple[str, int, str]]:
        nonlocal read
        for read in count(1):
            yield "endless", read, f"{read} 번째 줄은 다른 줄이다"

    options = Preparation(duplicates="near", language="ko")
    assert len(list(islice(prepare(lines(), options, Counts()), 5))) == 5
    assert 5 <= read < 50


def test_counts() -> None:
    lines = [
        ("a.txt", 1, "짧다"),
        ("a.txt", 2, SENTENCES[0]),
        ("a.txt", 5, SENTENCES[0]),
        ("b.txt", 1, SENTENCES[0].replace("오늘은", "오늘도")),
        ("b.txt", 2, LANGUAGES["en"][0]),
        ("b.txt", 3, "길다 " * 100),
        *(("c.txt", number, "x") for number in range(1, 1201)),
    ]
    counts = Counts()
    options = Preparation(
        language="ko", minimum_characters=5, maximum_characters=200, duplicates="near", near_duplicate_similarity=0.7
    )
    assert list(prepare(lines, options, counts)) == [SENTENCES[0]]
    dropped = {
        "too-short": {"count": 1201, "first": [["a.txt", 1], ["c.txt", 1], ["c.txt", 2]]},
        "too-long": {"count": 1, "first": [["b.txt", 3]]},
        "language": {"count": 1, "first": [["b.txt", 2]]},
        "exact-duplicate": {"count": 1, "first": [["a.txt", 5]]},
        "near-duplicate": {"count": 1, "first": [["b.txt", 1]]},
    }
    assert counts.as_dict() == {"lines": 1206, "kept": 1, "dropped": dropped}
    assert str(counts) == (
        "1,206 lines, 1 kept\n"
        "  too-short: 1,201 (a.txt:1, c.txt:1, c.txt:2, …)\n"
        "  too-long: 1 (b.txt:3)\n"
        "  language: 1 (b.txt:2)\n"
        "  exact-duplicate: 1 (a.txt:5)\n"
        "  near-duplicate: 1 (b.txt:1)"
    )


# What cannot be done ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"normalization": "nfd"}, "normalization is 'nfd'; expected one of nfc, nfkc, none"),
        ({"duplicates": "all"}, "duplicates is 'all'; expected one of keep, exact, near"),
        ({"minimum_characters": -1}, "minimum_characters is -1"),
        ({"minimum_characters": 9, "maximum_characters": 8}, "minimum below the maximum"),
        ({"near_duplicate_similarity": 0.0}, "expected more than 0, at most 1"),
    ],
)
def test_values_that_there_are_not(options, said) -> None:
    with pytest.raises(UsageError, match=said):
        Preparation(**options)


def test_a_language_that_the_library_does_not_know_is_named_before_a_line_is_read() -> None:
    with pytest.raises(UsageError, match=r"language is 'korean'; expected .* ja, .* ko,"):
        prepare(iter(()), Preparation(language="korean"), Counts())


@pytest.mark.parametrize(
    ("library", "options"), [("py3langid.langid", {"language": "ko"}), ("rensa", {"duplicates": "near"})]
)
def test_a_missing_library_is_named_before_a_line_is_read(monkeypatch, library, options) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    assert run(["가"], duplicates="exact")[0] == ["가"]
    with pytest.raises(UsageError, match=r"needed; type: pip install 'taesan\[corpus\]'"):
        prepare(iter(()), Preparation(**options), Counts())
