"""Download bodies in Avro, good and bad, and the schemas that they were written with. Python's verdict is the expectation."""

import json
import random
from pathlib import Path
from typing import Any

from ingestion.contracts.avro_wire import decodable
from tests.fixtures.bodies import GOOD_DOWNLOAD
from tests.unit.ingestion.schema_registry.test_decoding import V1, V2, encoded

OTHER = {"type": "record", "name": "Other", "fields": [{"name": "id", "type": "string"}]}
RECURSIVE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
TEXTS = {1: json.dumps(V1), 2: json.dumps(V2), 3: json.dumps(OTHER), 4: json.dumps(RECURSIVE)}


def _download(**changes: Any) -> dict[str, Any]:
    event = json.loads(json.dumps(GOOD_DOWNLOAD))
    for name, value in changes.items():
        outer, _, inner = name.partition("__")
        if inner:
            event[outer][inner] = value
        else:
            event[outer] = value
    return dict(event)


GOOD = encoded(_download())
FLAWS: list[dict[str, Any]] = [
    {"event_id": " "}, {"event_id": "x" * 201}, {"user_id": "\t"}, {"user_id": "u" * 101}, {"user_id": "a\0b"}, {"user_id": 'a:"\\ü'},
    {"timestamp": -(2**63)}, {"timestamp": 2**62}, {"download__status": "slow"}, {"download__status": ""},
    {"content__size_mb": -0.5}, {"content__price": float("nan")}, {"content__price": float("-inf")}, {"content__size_mb": 1e300},
    {"content__title": "t" * 301}, {"content__content_id": ""}, {"content__title": "NaN, Infinity: {e99}"},
    {"user_context__city": "\0"}, {"download__error_message": "m" * 1001}, {"download__error_code": "ü" * 100},
]  # fmt: skip
CASES: list[bytes] = [
    GOOD,
    encoded({**_download(), "client": "ios"}, V2, 2),
    *[encoded(_download(**flaw)) for flaw in FLAWS],
    b"\0", b"\0\0\0\0\1", GOOD[:-1], GOOD + b"\0", b"\0\0\0\0\2" + GOOD[5:], b"\0\0\0\0\3\2a", b"\0\0\0\0\4\0", b"\0\0\0\0\x63" + GOOD[5:],
    b"\1" + GOOD[1:], GOOD[:5] + b"\xff" * 40, GOOD.replace(b"A: film", b"A: f\xfflm"),
]  # fmt: skip


def _mutations(count: int, seed: int) -> list[bytes]:
    """Good bodies with one to three bytes behind the header changed."""
    chance = random.Random(seed)
    mutated = []
    for _ in range(count):
        value = bytearray(GOOD)
        for _ in range(chance.randint(1, 3)):
            value[chance.randrange(5, len(value))] = chance.choice((0, 1, 2, 7, 34, 65, 92, 127, 200, 255))
        mutated.append(bytes(value))
    return mutated


CASES += _mutations(200, seed=5)


def write_schemas(path: Path) -> None:
    """The file that a build reads schemas from, in the form of platform_assets.avro_schemas."""
    writers = {str(number): decodable(text) for number, text in TEXTS.items()}
    pinned = {"reader": decodable(TEXTS[1]), "writers": {name: schema for name, schema in writers.items() if schema}}
    path.write_text(json.dumps(pinned))
