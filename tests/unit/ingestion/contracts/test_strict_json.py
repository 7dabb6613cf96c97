"""What two parsers could read differently is refused, with its reason, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.contracts.reasons import Reason
from ingestion.contracts.strict_json import MAX_DEPTH, StrictJsonError, decode

REFUSED = [
    (b"", Reason.MALFORMED_JSON),
    (b"{", Reason.MALFORMED_JSON),
    (b"{} {}", Reason.MALFORMED_JSON),
    (b"\xef\xbb\xbf{}", Reason.MALFORMED_JSON),
    (b"'a'", Reason.MALFORMED_JSON),
    (b"[1,]", Reason.MALFORMED_JSON),
    (b"01", Reason.MALFORMED_JSON),
    (b'"a\x01"', Reason.MALFORMED_JSON),
    (b"\xff\xfe{\x00}\x00", Reason.INVALID_UTF8),
    (b"NaN", Reason.NOT_FINITE_NUMBER),
    (b'{"a":[Infinity]}', Reason.NOT_FINITE_NUMBER),
    (b"-Infinity", Reason.NOT_FINITE_NUMBER),
    (b"1e999", Reason.NUMBER_OUT_OF_RANGE),
    (b"18446744073709551616", Reason.NUMBER_OUT_OF_RANGE),
    (b"[-9223372036854775809]", Reason.NUMBER_OUT_OF_RANGE),
    (b"1" * 10_000, Reason.NUMBER_OUT_OF_RANGE),
    (b'"\\ud800"', Reason.MALFORMED_JSON),
    (b'"\\udc00\\ud800"', Reason.MALFORMED_JSON),
    (b'{"\\udfff":1}', Reason.MALFORMED_JSON),
    (b'"\xff"', Reason.INVALID_UTF8),
    (b'"\xed\xa0\x80"', Reason.INVALID_UTF8),
    (b'"\xc0\xaf"', Reason.INVALID_UTF8),
    (b"[" * 100_000, Reason.TOO_DEEP),
    (b"[" * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1), Reason.TOO_DEEP),
    (b'{"a":1,"a":1}', Reason.DUPLICATE_KEY),
    (b'{"a":1, "b":2, "a" : 3}', Reason.DUPLICATE_KEY),
    (b'{"a":{"b":1,"b":2}}', Reason.DUPLICATE_KEY),
    (b'[{"a":":","a":":"}]', Reason.DUPLICATE_KEY),
    (b'{"a":1,"\\u0061":2}', Reason.DUPLICATE_KEY),
    (b'{"a":"\\u003a","b":1,"b":2}', Reason.DUPLICATE_KEY),
    (b'{"\\u003a":1,"b":1,"b":2}', Reason.DUPLICATE_KEY),
    (b'{"a":"\\":","a":1}', Reason.DUPLICATE_KEY),
    (b'{"":1,"":2}', Reason.DUPLICATE_KEY),
]
ACCEPTED = [
    b"null",
    b"18446744073709551615",
    b"-9223372036854775808",
    b'{"a":":","b":"::"}',
    b'{"a:b":1,"c" : "d : e"}',
    b'{"a":"\\":","b":"\\u003a"}',
    b'{"a":"\\ud83d\\ude00"}',
    b'{"a":{"a":{"a":1}}}',
    b'[{"a":1},{"a":1}]',
    b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH,
    '{"name":"S\u00e3o Paulo"}'.encode(),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=lambda value: repr(value)[:40])
def test_ambiguous_text_is_refused_with_its_reason(text: bytes, reason: Reason) -> None:
    with pytest.raises(StrictJsonError) as refused:
        decode(text)
    assert refused.value.reason is reason


@pytest.mark.parametrize("text", ACCEPTED, ids=lambda value: repr(value)[:40])
def test_unambiguous_text_is_read_as_the_standard_parser_reads_it(text: bytes) -> None:
    assert decode(text) == json.loads(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_whatever_a_client_library_writes_is_accepted(value: object, is_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii).encode()
    assert decode(text) == value


keys = st.text(alphabet='ab:"\\', max_size=2)


@given(
    st.lists(st.tuples(keys, st.text(alphabet=':"\\a,{}', max_size=4)), max_size=6), st.sampled_from([":", " : ", ": "])
)
def test_a_key_is_refused_exactly_when_it_is_written_twice(pairs: list[tuple[str, str]], colon: str) -> None:
    text = "{" + ",".join(json.dumps(key) + colon + json.dumps(value) for key, value in pairs) + "}"
    if len({key for key, _ in pairs}) == len(pairs):
        assert decode(text.encode()) == dict(pairs)
        return
    with pytest.raises(StrictJsonError) as refused:
        decode(text.encode())
    assert refused.value.reason is Reason.DUPLICATE_KEY
