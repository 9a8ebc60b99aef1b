"""Josa, the particles that Korean writes without a space after a noun: 서울에서 is 서울 and 에서.

A closed class, so that a list will do (이익섭, 채완 1999, 국어문법론강의): case particles, those of a topic
or a limit, their stacks (에서는, 까지도), and the commonest forms of the copula 이다, which school grammar counts among
them. Left out are one-syllable forms that end nouns more often than they follow them (인 in 한국인, 고, 며, 여).
"""

_ADVERBIAL = ["에", "에서", "에게", "에게서", "께", "한테", "한테서", "더러", "까지", "부터", "만", "보다", "처럼"]
_AUXILIARY = ["는", "도", "만", "의", "까지", "부터", "조차", "나", "라도"]
_DIRECTIONAL = ["로" + second for second in ["는", "도", "만", "의", "부터", "까지", "서", "서의", "써", "나"]]
_EITHER = (
    *_ADVERBIAL,
    *(first + second for first in _ADVERBIAL for second in _AUXILIARY if first != second),
    *["의", "도", "께서", "께서는", "께서도", "조차", "마저", "마다"],
    *["밖에", "뿐", "만큼", "대로", "같이", "하고", "에다"],
)
_AFTER_CONSONANT = (
    *["은", "이", "을", "과", "과는", "과도", "과의", "아", "이여", "으로", "이나", "이나마", "이랑", "이라도", "이든"],
    *["이다", "이었다", "이고", "이며", "이자", "이라", "이란"],
    *["이라고", "이라는", "이라며", "이지만", "입니다", "이에요"],
    *("으" + josa for josa in _DIRECTIONAL),
)
_AFTER_VOWEL = (
    *["는", "가", "를", "와", "와는", "와도", "와의", "야", "로", "나", "나마", "랑", "라도", "든"],
    *["다", "였다", "란", "라고", "라는", "라며", "지만", "예요"],
    *_DIRECTIONAL,
)
JOSA: tuple[str, ...] = tuple(dict.fromkeys((*_EITHER, *_AFTER_CONSONANT, *_AFTER_VOWEL)))

_FITS_EITHER, _FITS_CONSONANT, _FITS_VOWEL = frozenset(_EITHER), frozenset(_AFTER_CONSONANT), frozenset(_AFTER_VOWEL)
_FIRST_SYLLABLE, _LAST_SYLLABLE, _FINALS = 0xAC00, 0xD7A3, 28
_FINAL_RIEUL = 8


def is_josa(text: str) -> bool:
    """Whether the whole of `text` is a josa, in any form."""
    return text in _FITS_EITHER or text in _FITS_CONSONANT or text in _FITS_VOWEL


def ends_in_josa(text: str, start: int) -> bool:
    """Whether `text` from `start` on is a josa in the form that the syllable before it calls for: 서울은, 부산에는.

    After anything but a Hangul syllable (2024, KBS) either form will do. 로 also follows ㄹ: 서울로.
    """
    josa = text[start:]
    before = ord(text[start - 1]) if start else 0
    if not _FIRST_SYLLABLE <= before <= _LAST_SYLLABLE or josa in _FITS_EITHER:
        return is_josa(josa)
    final = (before - _FIRST_SYLLABLE) % _FINALS
    closed = final != 0 and not (final == _FINAL_RIEUL and josa.startswith(("로", "으로")))
    return josa in (_FITS_CONSONANT if closed else _FITS_VOWEL)


# How numbers and Latin words are read, as far as the final sound goes: 1 일, 3 삼, L 엘, model 모델, tune 튠.
_CLOSED = (*"013678LMNRlmn", "ne", "me", "le", "ng")
_RIEUL = (*"178LRl", "le")
_PAIRS = {"은": "는", "이": "가", "을": "를", "과": "와", "으로": "로", "이나": "나", "이라": "라"}


def with_josa(word: str, josa: str) -> str:
    """`word` and the form of `josa`, given as after a consonant (은, 이, 을, 과, 으로), that its last sound calls for.

    What stands after it in brackets, or is no letter or digit, is not read. A Latin word is taken by its last letters,
    as loanwords mostly are: finetune 파인튠, prompt 프롬프트.
    """
    heard = word
    while (bare := heard.rstrip()) and not bare[-1].isalnum():
        cut = bare.rfind("(") if bare[-1] == ")" else len(bare) - 1
        heard = bare[: cut if cut > 0 else len(bare) - 1]
    heard = heard.rstrip() or "가"
    last = heard[-1]
    if _FIRST_SYLLABLE <= ord(last) <= _LAST_SYLLABLE:
        final = (ord(last) - _FIRST_SYLLABLE) % _FINALS
        closed, rieul = final != 0, final == _FINAL_RIEUL
    else:
        closed, rieul = heard.endswith(_CLOSED), heard.endswith(_RIEUL)
    return word + (josa if closed and not (rieul and josa == "으로") else _PAIRS[josa])
