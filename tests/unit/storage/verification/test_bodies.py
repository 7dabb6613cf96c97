"""The judge asks the contracts, and believes the header where header and body differ."""

import json

import pytest

from storage.verification.bodies import ContractJudge

LIKE = {"event_type": "like", "user_id": "u", "platform": "web"}


@pytest.mark.feature("K10")
@pytest.mark.parametrize(
    ("contract", "event_type", "body", "expected"),
    [
        ("engagement/1", "like", LIKE, True),
        ("engagement/1", "share", LIKE, False),
        ("engagement/1", "like", {**LIKE, "user_id": " "}, False),
        ("engagement/1", "like", {**LIKE, "timestamp": "9000-01-01T00:00:00Z"}, True),
        ("engagement/1", "like", [], False),
        ("generic/1", "like", LIKE, False),
        ("generic/1", "like", {**LIKE, "payload": {}}, True),
        ("product/1", "like", LIKE, False),
    ],
)
def test_a_body_keeps_its_contract(contract: str, event_type: str, body: object, expected: bool) -> None:
    assert ContractJudge()(contract, event_type, json.dumps(body).encode()) is expected


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b'{"event_type": "like", "event_type": "like"}'])
def test_bytes_that_are_no_document_never_do(value: bytes) -> None:
    assert not ContractJudge()("engagement/1", "like", value)
