"""Bodies of the foreign protocols, good and bad, for the same comparison as `bodies`."""

import json
from typing import Any

GOOD_SEGMENT: dict[str, Any] = {
    "type": "track",
    "messageId": "m1",
    "userId": "u1",
    "anonymousId": None,
    "event": "Order: Completed",
    "properties": {"total": 3.5, "tags": ["a", "b"], "where": {"page": "/"}},
    "traits": {"plan": "pro"},
    "context": {"library": {"name": "analytics-python", "version": "2.4.0"}, "ip": "192.0.2.1"},
    "integrations": {"All": True},
    "timestamp": "2026-01-01T10:02:00.123+00:00",
    "originalTimestamp": "2026-01-01T10:02:00.123Z",
    "sentAt": "2026-01-01T10:02:03.000Z",
    "previousId": "a1",
    "groupId": "g1",
}
GOOD_CLOUD_EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "https://example.com/storage?tenant=1#container",
    "type": "com.example.object.created",
    "subject": "grüße.jpg",
    "time": "2026-01-01T10:02:00.5+01:00",
    "datacontenttype": 'application/json; charset="utf-8"',
    "dataschema": "https://example.com/schemas/object/1",
    "comexampleothervalue": 5,
    "data": {"size": 10, "owner": {"name": "a:b"}},
}
SEGMENT, CLOUD_EVENT = "segment/1", "cloudevent/1"


def segment(**changes: Any) -> bytes:
    """A good call with fields changed; a field set to `...` is left out."""
    return _encode({**GOOD_SEGMENT, **changes})


def cloud_event(**changes: Any) -> bytes:
    """A good event of CloudEvents with fields changed; a field set to `...` is left out."""
    return _encode({**GOOD_CLOUD_EVENT, **changes})


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in body.items() if value is not ...}, ensure_ascii=False).encode()


GOOD_BODIES: list[tuple[str, bytes]] = [(SEGMENT, segment()), (CLOUD_EVENT, cloud_event())]
ONE_FLAW_OR_NONE: list[tuple[str, bytes]] = [
    (SEGMENT, segment()), (SEGMENT, b"{}"), (SEGMENT, segment(userId=..., anonymousId="a1")), (SEGMENT, segment(userId=None)),
    *[
        (SEGMENT, segment(**{name: value}))
        for name in GOOD_SEGMENT
        for value in (..., None, 7, "", " ", "x" * 101, "x" * 201, "x" * 1001, [], {}, True, 1.5, -1)
    ],
    *[
        (SEGMENT, segment(type=kind, event=None, **changes))
        for kind in ("track", "identify", "page", "screen", "group", "alias", "Track", "delete")
        for changes in ({}, {"groupId": None}, {"previousId": ...}, {"userId": None, "anonymousId": "a1"})
    ],
    *[(SEGMENT, segment(userId=value, anonymousId="a1")) for value in ("", " ", "\u00a0", "é" * 100, "😀" * 101, "x" * 1000)],
    *[(SEGMENT, segment(sentAt=value)) for value in ("yesterday", "2026-01-01", 1767261720, 1767261720123, 10**18)],
    (SEGMENT, segment(userid="other", USERID=3)), (SEGMENT, segment().replace(b'"traits"', b'"context"')),
    (SEGMENT, segment(type="identify", event="")), (SEGMENT, segment(type="page", event="viewed")),
    (CLOUD_EVENT, cloud_event()), (CLOUD_EVENT, b"{}"), (CLOUD_EVENT, cloud_event(data=...)), (CLOUD_EVENT, cloud_event(data=None)),
    *[
        (CLOUD_EVENT, cloud_event(**{name: value}))
        for name in GOOD_CLOUD_EVENT
        for value in (..., None, 7, "", " ", "x" * 256, [], {}, True, 1.5, -1)
    ],
    *[(CLOUD_EVENT, cloud_event(specversion=value)) for value in ("0.3", "1", "1.0 ", "1.0.2", 1.0)],
    *[
        (CLOUD_EVENT, cloud_event(**{name: value}))
        for name in ("id", "type", "subject", "extension")
        for value in (
            "a\tb", "a\n", "\x1f", "\x7f", "\x9f", "\xa0", "\x00", "\ufdd0", "\ufdef", "\ufdf0", "\ufffd", "\ufffe", "\uffff", "😀",
            "\U0001fffe", "\U0008ffff", "\U0010fffd", "\U0010ffff", "e\u0301" * 60, "{{ }}", "'; --",
        )
    ],
    *[
        (CLOUD_EVENT, cloud_event(**{name: value}))
        for name in ("source", "dataschema")
        for value in (
            "/mycontext", "mailto:cncf@example.org", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "1-555-123-4567", "1:2", "a:2",
            "?q", "#f",
            "//host/path", "///path", "http://[::1]:80/a//b?c/?d#e/?f", "http://u:p@h:1/", "http://h:x/", "http://a b", "a b", "a%20b",
            "a%2", "%zz",
            "a<b", "a|b", 'a"b', "a\\b", "a^b", "a{b}", "é", "http://é/", "a#b#c", "http://[::1", "http://h/[x]", "http:", "a'(b)*c",
            "x" * 300,
            "http://h/p?q#f", " http://h", "http://h\n", "./a:b", "http://user@/x", "-a:b", "a+b-c.d:e", "http://@@",
        )
    ],
    *[
        (CLOUD_EVENT, cloud_event(time=value))
        for value in (
            "2026-01-01T10:02:00Z", "2026-01-01t10:02:00z", "2026-01-01T10:02:00", "2026-01-01 10:02:00Z", "2026-01-01T10:02:00+0100",
            "2026-01-01T10:02:00+01", "2026-01-01T10:02:00,5Z", "2026-01-01T10:02:00.Z", "2026-02-30T10:02:00Z", "2026-01-01T24:02:00Z",
            "2026-01-01T10:02:00+25:00", "2026-01-01T10:02:00.1234567890-23:59", "2026-01-01", "2026-01-01T10:02Z",
            "2026-01-01T10:02:60Z",
        )
    ],
    *[
        (CLOUD_EVENT, cloud_event(datacontenttype=value))
        for value in (
            "text/xml", "text", "text/", "/xml", "text/xml;", "text/xml;charset", "text/xml ; a=b;c=\"d;\\\"e\"", "a/b;c=\"d", "a b/c",
            "a/b c",
            "application/vnd.a+json", "application/json;charset=é", "*/*", "a/b; c=(d)", "a/b;c=\"é\"", "a/b;c=\"d\\\"",
        )
    ],
    *[
        (CLOUD_EVENT, cloud_event(data=..., data_base64=value))
        for value in ("", "AAAA", "AAA=", "AA==", "A===", "AAA", "AA=A", "A-_A", "AAAA\n", "AA AA", None, 1, "AAAAAA==", "=", [])
    ],
    (CLOUD_EVENT, cloud_event(data_base64="AAAA")), (CLOUD_EVENT, cloud_event(data=None, data_base64="AAAA")),
    (CLOUD_EVENT, cloud_event(data_base64=None)),
    *[(CLOUD_EVENT, cloud_event(data=value)) for value in (1, "text", [1, {"a": [None]}], True, 1.5, {}, {"Name": {"a_b": 1}})],
    *[
        (CLOUD_EVENT, cloud_event(**{name: "value"}))
        for name in ("a", "0", "a1", "Ext", "e_x", "e-x", "e x", "é", "", "data64", "Data", "ID", "x" * 100, "a.b", "$", "event")
    ],
    *[
        (CLOUD_EVENT, cloud_event(ext=value))
        for value in (2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63, 0, True, False, None, 1.0, 1e3, {}, [], "", "x" * 5000, {"a": 1})
    ],
    (CLOUD_EVENT, cloud_event(ext="a").replace(b'"ext"', b'"id"')), (CLOUD_EVENT, cloud_event(subject="x" * 101)),
    (CLOUD_EVENT, b'{"specversion":"1.0","id":"1","source":"/a","type":"t"}'),
    (CLOUD_EVENT, b'{"specversion":"1.0","id":"1","source":"/a","type":"t","ext":-0}'),
]  # fmt: skip
