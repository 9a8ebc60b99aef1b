"""The form of a josa that the last sound calls for."""

import pytest

from taesan.text.korean import ends_in_josa, with_josa


@pytest.mark.parametrize(
    ("word", "josa", "expected"),
    [
        ("서울", "은", "서울은"),
        ("부산", "으로", "부산으로"),
        ("서울", "으로", "서울로"),
        ("나무", "으로", "나무로"),
        ("정확도", "이", "정확도가"),
        ("finetune", "을", "finetune을"),
        ("lora", "은", "lora는"),
        ("prompt", "으로", "prompt로"),
        ("model", "으로", "model로"),
        ("512", "을", "512를"),
        ("1,000", "이", "1,000이"),
        ("7", "으로", "7로"),
        ("정확도(accuracy)", "은", "정확도(accuracy)는"),
        ("“서울”", "과", "“서울”과"),
        ("size_mb=20", "이", "size_mb=20이"),
        ("", "은", "는"),
    ],
)
def test_josa(word, josa, expected) -> None:
    assert with_josa(word, josa) == expected


@pytest.mark.parametrize("josa", ["은", "이", "을", "과", "으로", "이나"])
@pytest.mark.parametrize("word", ["서울", "부산", "나무", "값", "뷁"])
def test_it_is_the_form_that_is_recognised(word, josa) -> None:
    assert ends_in_josa(with_josa(word, josa), len(word))
