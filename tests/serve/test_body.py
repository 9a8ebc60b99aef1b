"""Bodies: what strict JSON is, beside the standard library's reader."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taesan.serve.body import read_body
from taesan.serve.faults import Fault

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=5)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_json_is_read_as_the_library_reads_it(value, escaped, indent) -> None:
    read = read_body(json.dumps(value, ensure_ascii=escaped, indent=indent).encode())
    assert read == value
    assert json.dumps(read) == json.dumps(value)  # 1, 1.0 and True are told apart


@given(st.binary(max_size=60) | st.text('{}[]":,0123456789eE.-+truefalsn\\ud8"', max_size=60).map(str.encode))
def test_no_bytes_do_harm(content) -> None:
    """They are an object that the library reads too, or refused."""
    with contextlib.suppress(Fault):
        assert read_body(content) == json.loads(content)


@pytest.mark.parametrize("text", ["9007199254740993", "-9007199254740993", "1e999", "-1e400", "9" * 200])
def test_numbers_that_readers_read_differently_are_refused(text) -> None:
    with pytest.raises(Fault) as caught:
        read_body(f'{{"a": [{text}]}}'.encode())
    assert caught.value.code == "json-number"


@given(st.text(min_size=8, alphabet=st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)))
def test_a_fault_repeats_nothing(secret) -> None:
    for broken in (f'{{"{secret}": "{secret}', f'{{"a": "{secret}"}} {secret}', f'{{"{secret}": 1, "{secret}": 2}}'):
        with pytest.raises(Fault) as caught:
            read_body(broken.encode())
        assert secret not in json.dumps(caught.value.as_dict(), ensure_ascii=False)
