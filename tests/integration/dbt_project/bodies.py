"""Event bodies, good and bad, for comparing the contracts in SQL with the contracts in Python.

No expectation stands here: Python's verdict is the expectation.
"""

import json
import random
from typing import Any

from tests.integration.dbt_project import protocol_bodies

GOOD_ENGAGEMENT: dict[str, Any] = {
    "event_id": "e1",
    "event_type": "click",
    "user_id": "u1",
    "platform": "web",
    "content_id": "c1",
    "timestamp": "2026-01-01T10:02:00Z",
    "session_id": "s1",
    "device_type": "phone",
    "location": "Zürich",
    "metadata": {"page": "home", "référence": 'a:b " \\ {"x":1}'},
}
GOOD_GENERIC: dict[str, Any] = {
    "event_type": "order_placed",
    "user_id": "u1",
    "payload": {"total": 3.5, "lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}], "note": "NaN, Infinity: e99"},
}
GOOD_PRODUCT: dict[str, Any] = {
    "event_id": "p1",
    "user_id": "u1",
    "event_type": "feature_exposed",
    "experiment_id": "checkout",
    "variant": "A",
    "event_ts": 1767261720123,
    "producer_ts": 1767261720125,
    "properties": {"page": "/", "n": [1, 2.5]},
    "sdk_version": "1.2.0",
    "source": "web",
    "app_id": "contracts",
}
GOOD_SOCIAL: dict[str, dict[str, Any]] = {
    "user_created": {"user_id": "u1", "handle": "ada"},
    "post_created": {"post_id": "p1", "author": "u1", "text": "Größe", "hashtags": ["python", "data"]},
    "comment_created": {"comment_id": "c2", "post_id": "p1", "author": "u1", "parent_id": "c1", "text": "yes", "upvotes": 3},
    "engagement_created": {"user_id": "u1", "target_type": "post", "target_id": "p1", "kind": "like"},
}  # fmt: skip
GOOD_DOWNLOAD: dict[str, Any] = {
    "event_id": "d1",
    "timestamp": 1767261720123,
    "user_id": "u1",
    "content": {"content_id": "c1", "title": "A: film", "type": "video", "category": "tech", "size_mb": 1024.5, "price": 0},
    "download": {"status": "failed", "duration_seconds": 3.5, "speed_mbps": 12, "error_code": "E1", "error_message": None},
    "user_context": {"region": "EU", "city": "Zürich", "device": "phone", "os_version": "17.1", "connection_type": "wifi"},
}  # fmt: skip
ENGAGEMENT, GENERIC, PRODUCT, SOCIAL, DOWNLOAD = "engagement/1", "generic/1", "product/1", "social/1", "download/1"


def engagement(**changes: Any) -> bytes:
    """A good engagement body with fields changed; a field set to `...` is left out."""
    return _encode({**GOOD_ENGAGEMENT, **changes})


def generic(**changes: Any) -> bytes:
    """A good generic body with fields changed; a field set to `...` is left out."""
    return _encode({**GOOD_GENERIC, **changes})


def product(**changes: Any) -> bytes:
    """A good product body with fields changed; a field set to `...` is left out."""
    return _encode({**GOOD_PRODUCT, **changes})


def social(type_name: str, **changes: Any) -> bytes:
    """A good social body of that type with fields changed; a field set to `...` is left out."""
    common = {"event_id": "s1", "event_type": type_name, "timestamp": "2026-01-01T10:02:00Z"}
    return _encode({**common, **GOOD_SOCIAL.get(type_name, {}), **changes})


def download(part: str = "", **changes: Any) -> bytes:
    """A good download body with fields changed, of the named part or of the body; a field set to `...` is left out."""
    if not part:
        return _encode({**GOOD_DOWNLOAD, **changes})
    inner = {name: value for name, value in {**GOOD_DOWNLOAD[part], **changes}.items() if value is not ...}
    return _encode({**GOOD_DOWNLOAD, part: inner})


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in body.items() if value is not ...}, ensure_ascii=False).encode()


def stamped_type(value: bytes) -> str:
    """The event type a producer would stamp this body with: its own where it has one."""
    try:
        document = json.loads(value)
        if "user_context" in document:
            return "download"
        names = ("event_type", "type") if "specversion" in document else ("event_type", "event", "type")
        event_type = next(document[name] for name in names if document.get(name))
        return event_type.encode().decode() or "unreadable"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, StopIteration):
        return "unreadable"


def nested(depth: int, kind: str = "object", innermost: str = "1") -> bytes:
    """A generic body whose payload makes the document nest `depth` levels deep."""
    opening, closing = ('{"a":', "}") if kind == "object" else ("[", "]")
    inside = depth - 2
    payload = opening * inside + innermost + closing * inside
    return b'{"event_type":"order_placed","user_id":"u1","payload":{"p":%s}}' % payload.encode()


# What is the envelope elsewhere is a field like any other here.
UNKNOWN_NAMES_OF_OTHER_FAMILIES = product(author="a", timestamp="noon", properties=...)

ONE_FLAW_OR_NONE: list[tuple[str, bytes]] = [
    (ENGAGEMENT, engagement()),
    (ENGAGEMENT, engagement(metadata=..., content_id=..., session_id=..., device_type=..., location=..., timestamp=...)),
    (ENGAGEMENT, engagement(metadata=None, content_id=None, session_id=None, device_type=None, location=None, timestamp=None)),
    (ENGAGEMENT, engagement(event_id=None)),
    (ENGAGEMENT, engagement(unknown={"deep": [1, {"er": None}]})),
    *[(ENGAGEMENT, engagement(user_id=user_id)) for user_id in (..., None, 1, True, [], {}, "", " ", "\t\n", "x" * 100, "x" * 101)],
    *[(ENGAGEMENT, engagement(user_id=user_id)) for user_id in (" " * 9 + "x" * 100 + "\r\n", "😀" * 100, "é" * 101, "\u00a0", "null")],
    *[(ENGAGEMENT, engagement(platform=platform)) for platform in (..., None, 1, "tv", "Web", " web", "", "ios", "android", "mobile_web")],
    *[(ENGAGEMENT, engagement(event_type=event_type)) for event_type in (..., None, 7, "", "Click", "purchase", " click")],
    *[(ENGAGEMENT, engagement(event_id=event_id)) for event_id in ("", " ", "\u00a0", 5, "x" * 200, "x" * 201, {"a": 1})],
    *[(ENGAGEMENT, engagement(content_id=value)) for value in ("", "x" * 100, "x" * 101, 3, ["x"], "é" * 100)],
    *[(ENGAGEMENT, engagement(session_id=value)) for value in ("x" * 100, "x" * 101, False)],
    *[(ENGAGEMENT, engagement(device_type=value)) for value in ("x" * 50, "x" * 51, 1.5)],
    *[(ENGAGEMENT, engagement(location=value)) for value in ("x" * 100, "x" * 101, {})],
    *[
        (ENGAGEMENT, engagement(metadata=value))
        for value in ({}, {"a": "x" * 1000}, {"a": "x" * 1001}, {"a": 1}, {"a": None}, {"a": {"b": "c"}}, [], "text", {"": ""})
    ],
    *[
        (ENGAGEMENT, engagement(timestamp=value))
        for value in (
            "2026-01-01T10:02:00", "2026-01-01 10:02:00+00:00", "2026-01-01t10:02:00z", "2026-01-01T10:02:00.1234567890Z",
            "2026-01-01T12:02:00+0200", "2026-01-01T12:02:00+02", "2026-01-01T10:02:00,5Z", "2025-12-31T24:00:00Z",
            "2026-02-30T10:02:00Z", "2026-01-01T10:60:00Z", "2026-01-01T10:02:60Z", "2026-01-01T10:02", "20260101T100200Z",
            "2026-01-01T10:02:00+25:00", "2026-01-01T10:02:00.", "2026-01-01T10:02:00+010000", "2026-W01-4T10:02:00Z", "", "yesterday",
            "2026-01-01T10:02:00++01:00", "0000-01-01T00:00:00Z", "2026-01-01T10:02:00.1234567+01", "٢٠٢٦-01-01T10:02:00Z",
            1767261720, 1767261720.5, 1767261720123, 10**18, True, {}, "1767261720",
        )
    ],
    (GENERIC, generic()),
    (GENERIC, generic(platform="web")),
    (GENERIC, generic(session_id=5)),
    *[(GENERIC, generic(payload=payload)) for payload in (..., None, [], "text", {}, {"a": [1, 2, {"b": None}]})],
    *[(GENERIC, generic(event_type=event_type)) for event_type in ("", "x" * 100, "x" * 101, None, ..., 3, "Größe")],
    *[(GENERIC, generic(payload={"n": number})) for number in (2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30, 1e300)],
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"n":1e999}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"n":-1E+400}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"n":1e-999,"m":12345678901234567890.5}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"n":NaN}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"n":-Infinity}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"a":1,"a":1}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"a":1,"\\u0061":1}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"x":[{"a":{"b":1,"b":2}}]}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"a":{"b":1},"b":{"a":1}}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"x":"\\ud800"}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"x":"\\u0000"}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u\\u00001","payload":{}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u\\\\u00001","payload":{}}'),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{},"k\\u0000":1}'),
    (GENERIC, nested(64)), (GENERIC, nested(65)), (GENERIC, nested(65, innermost="{}")), (GENERIC, nested(66, innermost="{}")),
    (GENERIC, nested(64, "array")), (GENERIC, nested(65, "array")), (GENERIC, nested(65, "array", "[ ]")), (GENERIC, nested(500, "array")),
    (GENERIC, b'{"event_type":"order_placed","user_id":"u1","payload":{"a":"' + b"[{" * 100 + b'"}}'),
    (ENGAGEMENT, b'{"event_type":"click","user_id":"u1","user_id":"u1","platform":"web"}'),
    (ENGAGEMENT, b'{"event_type":"click","user_id":"u1","platform":"web","metadata":{"a":"1","a":"2"}}'),
    (ENGAGEMENT, b'{"event_type":"click","user_id":"u1","platform":"web","content_id":"a:b","a:b":":"}'),
    (ENGAGEMENT, b"[]"), (ENGAGEMENT, b"[1]"), (ENGAGEMENT, b'"text"'), (ENGAGEMENT, b"3"), (ENGAGEMENT, b"null"), (ENGAGEMENT, b"true"),
    (ENGAGEMENT, b"{"), (ENGAGEMENT, b"{}{}"), (ENGAGEMENT, b'{"a":1,}'),
    (ENGAGEMENT, engagement().replace(b'"}', b'" , }')), (ENGAGEMENT, engagement(metadata={"a": ",}"})),
    (ENGAGEMENT, b"{'a':1}"), (ENGAGEMENT, b"  "), (ENGAGEMENT, b"\x00"),
    (ENGAGEMENT, b"\xef\xbb\xbf" + engagement()), (ENGAGEMENT, engagement() + b"\n"), (ENGAGEMENT, b" \r\n\t" + engagement()),
    (ENGAGEMENT, b"\xff\xfe{"), (ENGAGEMENT, engagement().replace(b"home", b"\xc3\x28")),
    (ENGAGEMENT, engagement().replace(b"home", b"\xed\xa0\x80")),
    (ENGAGEMENT, engagement().replace(b"home", b"a\tb")), (ENGAGEMENT, engagement().replace(b"home", b"a\\xb")),
    (ENGAGEMENT, b"// comment\n" + engagement()), (ENGAGEMENT, b"{}"),
    (PRODUCT, product()), (PRODUCT, b"{}"), (PRODUCT, UNKNOWN_NAMES_OF_OTHER_FAMILIES), (PRODUCT, product(unknown={"a": {"b": 1}})),
    *[(PRODUCT, product(**{name: value})) for name in GOOD_PRODUCT for value in (..., None, 7, "", "x" * 101, [], {}, True, 1.5, -1)],
    *[(PRODUCT, product(event_type=value)) for value in ("page_view", "conversion", "click")],
    *[(PRODUCT, product(event_ts=value)) for value in (0, -62135596800001, 253402300799999, 253402300800000, 2**63, "1767261720123", 1e12)],
    (PRODUCT, product(event_time=1767261720123)), (PRODUCT, product(event_time=1767261720124)),
    (PRODUCT, product(event_ts=..., event_time=1767261720123)), (PRODUCT, product(event_ts=None, event_time=None)),
    (PRODUCT, product(experiment_id=..., variant=...)), (PRODUCT, product(experiment_id=...)),
    (PRODUCT, product().replace(b'"source"', b'"variant"')),
    *[(SOCIAL, social(kind)) for kind in (*GOOD_SOCIAL, "user_deleted", "", None)],  # type: ignore[arg-type]
    *[
        (SOCIAL, social(kind, **{name: value}))
        for kind, good in GOOD_SOCIAL.items()
        for name in ("event_id", "timestamp", *good)
        for value in (..., None, 7, "", "x" * 101, [], {}, True, 1.5, -1)
    ],
    *[
        (SOCIAL, social("post_created", hashtags=value))
        for value in (["a"], ["a"] * 4, ["a"] * 5, [""], ["x" * 101], ["a", 1], "a", [None])
    ],
    (SOCIAL, social("post_created", user_id=5)), (SOCIAL, social("post_created", text="x" * 10_000)),
    (SOCIAL, social("post_created", text="x" * 10_001)), (SOCIAL, social("post_created", author=" " * 3)),
    (SOCIAL, social("comment_created", upvotes=2**63)), (SOCIAL, social("comment_created", upvotes=2**64)),
    (SOCIAL, social("user_created", event_type=...)),
    (DOWNLOAD, download()), (DOWNLOAD, b"{}"), (DOWNLOAD, download(event_type="anything")),
    *[(DOWNLOAD, download(**{name: value})) for name in GOOD_DOWNLOAD for value in (..., None, 7, "", [], {}, True, 1.5, -1)],
    *[
        (DOWNLOAD, download(part, **{name: value}))
        for part in ("content", "download", "user_context")
        for name in GOOD_DOWNLOAD[part]
        for value in (..., None, 7, "", "x" * 101, "x" * 301, [], {}, True, 1.5, -1, -0.5)
    ],
    *[(DOWNLOAD, download("download", status=value)) for value in ("success", "cancelled", "lost")],
    (DOWNLOAD, download().replace(b'"price"', b'"size_mb"')), (DOWNLOAD, download().replace(b'"city"', b'"region"')),
    *protocol_bodies.ONE_FLAW_OR_NONE,
]  # fmt: skip


GOOD_BODIES = [
    (ENGAGEMENT, engagement()), (GENERIC, generic()), (PRODUCT, product()), (SOCIAL, social("post_created")), (DOWNLOAD, download()),
    *protocol_bodies.GOOD_BODIES,
]  # fmt: skip


def mutations(count: int, seed: int) -> list[tuple[str, bytes]]:
    """Good bodies with a few bytes changed, moved or doubled: what no table of cases thinks of. The same seed gives the same bodies."""
    chance = random.Random(seed)
    spice = [*(bytes([code]) for code in b'"\\{}[]:, 0-.\xff'), b"NaN", b"null", b"1e5", b"\\u0000", b"\\ud83d"]
    bodies: list[tuple[str, bytes]] = []
    for _ in range(count):
        contract, good = chance.choice(GOOD_BODIES)
        body = bytearray(good)
        for _ in range(chance.randint(1, 2)):
            start = chance.randrange(len(body))
            end = min(len(body), start + chance.randint(1, 8))
            how = chance.randrange(4)
            if how == 0:
                del body[start:end]
            elif how == 1:
                body[start:start] = body[start:end]
            elif how == 2:
                body[start:start] = chance.choice(spice)
            else:
                body[start:end] = chance.choice(spice)
        bodies.append((contract, bytes(body)))
    return bodies
