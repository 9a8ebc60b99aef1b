"""Texts that are too long for their template."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taesan.errors import UsageError
from taesan.tasks.fitting import fit_slots


@given(st.text(), st.text(), st.integers(4, 40), st.sampled_from(["head", "head-tail", "windows"]))
def test_what_is_left_fits_and_is_the_texts_own(tokenizer, byte_tokenizer, first, second, room, policy) -> None:
    for own in (tokenizer, byte_tokenizer):

        def size(slots, own=own) -> int:
            return 3 + sum(len(ids) for ids in own.ids(list(slots.values())))

        slots = {"a": first, "b": second}
        try:
            fitted, cut = fit_slots(slots, size, room, own, policy=policy, names=("a", "b"))
        except UsageError:
            assert room < 5 + 3  # two texts of a token each, or of one character of some bytes
            continue
        assert size(fitted) <= room
        assert cut == (fitted != slots)
        assert cut == (size(slots) > room)
        for name, text in fitted.items():
            rest = iter(slots[name])
            assert all(character in rest for character in text)  # in their order
            assert policy != "head" or slots[name].startswith(text)


def test_a_template_that_is_too_long_by_itself_is_refused(tokenizer) -> None:
    with pytest.raises(UsageError, match="7 tokens more than the 3 that are left"):
        fit_slots({"a": ""}, lambda slots: 10, 3, tokenizer, policy="head", names=("a",))
