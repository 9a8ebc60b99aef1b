"""Templates: checked when loaded, filled without being looked into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taesan.errors import InputMissing, UsageError
from taesan.tasks import TASKS
from taesan.tasks.templates import Templates, for_causal, is_word, label_words, load, read, shipped

SLOTS = ("text",)


def file(text: str, **more: str) -> bytes:
    lines = ["[[template]]", f"text = {text!r}", *(f"{key} = {value!r}" for key, value in more.items())]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[[template]", "is not TOML"),
        ("[[template]]\ntext = '글'".encode("cp949"), "is not TOML"),
        (b"", "has no \\[\\[template\\]\\]"),
        (b"[template]\ntext = '{text}{answer}'", "is no list of tables"),
        (b"[[prompts]]\na = 1", "has a table prompts"),
        (file("{text}"), "has {answer} 0 times"),
        (file("{text} {text} {answer}"), "has {text} 2 times"),
        (file("{answer}"), "has {text} 0 times"),
        (file("{text} {label} {answer}"), "has a slot {label}"),
        (file("{text.__class__} {answer}"), "has a slot {text.__class__}"),
        (file("{text {answer}"), "has a slot"),
        (file("{text} {answer"), "without }"),
        (file("{text} } {answer}"), "without {"),
        (file("{text} {answer}", colour="red"), "has colour"),
        (b"[[template]]\ntext = 3", "text of template 1 of x.toml is 3"),
        (b'[[template]]\ntext = "{text} \\u0000 {answer}"', "expected text"),
        (file("{text} {answer}", separator="  "), "is blank"),
        (file("{text} {answer}") + b"\n[[words]]\nlanguage = 'ko'\nwords = {a = 3}", "a word a label"),
        (file("{text} {answer}") + b"\n[[words]]\nwords = {a = 'b'}", "a word a label"),
        (file("{text} {answer}") + b"\n[[words]]\nlanguage = 'ko'\nwords = {}", "a word a label"),
    ],
)
def test_a_bad_file_is_refused_by_what_is_wrong(content, message) -> None:
    with pytest.raises(UsageError, match=message):
        read(content, "x.toml", SLOTS)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(InputMissing, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml", SLOTS)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_what_comes_along_loads_in_both_languages(task) -> None:
    templates = shipped(task.name, task.slots)
    assert {one.language for one in templates.templates} == {"ko", "en"}
    for template in templates.templates:
        for_causal(template, "gpt")  # both kinds of backbone can be asked
        again = read(template.toml({}), "again", task.slots).templates
        assert again == (template,)


@given(st.text(), st.text(), st.text())
def test_texts_stand_in_a_prompt_as_they_are(before, text, after) -> None:
    literal = [part.replace("{", "{{").replace("}", "}}").replace("\0", "") for part in (before, after)]
    template = read(b"[[template]]\ntext = '{text} {answer}'", "x", SLOTS).templates[0]
    from taesan.tasks.templates import _parts  # the file's own escapes are TOML's affair

    parts = _parts(f"{literal[0]}{{text}}{literal[1]}{{answer}}", "x")
    prompt = type(template)("", "", parts).prompt({"text": text})
    assert prompt.before == before.replace("\0", "") + text + after.replace("\0", "")
    assert type(template)("", "", parts).source == f"{literal[0]}{{text}}{literal[1]}{{answer}}"


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1).filter(str.strip), max_size=4))
def test_words_come_back_from_a_file(words) -> None:
    template = read(b"[[template]]\nlanguage = 'ko'\ntext = '{text} {answer}'", "x", SLOTS).templates[0]
    words = {label: word for label, word in words.items() if "\0" not in label + word}
    again = read(template.toml(words), "again", SLOTS)
    assert again.words.get("ko", {}) == words


def test_a_label_has_the_word_given_the_one_known_or_itself() -> None:
    template = shipped("pair", TASKS["pair"].slots).templates[0]
    known = Templates((template,), {"ko": {"entailment": "참", "neutral": "모름"}})
    labels = ("entailment", "neutral", "contradiction")
    assert label_words(labels, template, known, {"neutral": "글쎄"}) == {
        "entailment": "참",
        "neutral": "글쎄",
        "contradiction": "contradiction",
    }
    with pytest.raises(UsageError, match="have the same word"):
        label_words(labels, template, known, {"neutral": "참"})


@pytest.mark.parametrize(("label", "word"), [("긍정", True), ("IT과학", True), ("0", False), ("LABEL_1", False)])
def test_what_a_language_model_can_know(label, word) -> None:
    assert is_word(label) is word
