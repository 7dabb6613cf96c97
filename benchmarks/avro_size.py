"""Bytes per download in Kafka's log, as JSON and as Avro, plain and compressed: `python -m benchmarks.avro_size [--events N]`.

The same seeded events go into one topic for each form of a real broker, in batches as its clients make them (up to 1 MB or 5 ms), and what
is counted is the log segment: record overhead, batch headers and all. Keys and headers are left out, they are the same for every form.
Avro carries the registry's five bytes. Most of what is left of a download in Avro are its own words: two ids, title, city, device.
Prints one JSON line. `ok`: Avro is at least 60 % smaller than JSON, and Avro with zstd smaller than JSON with lz4. Under the
same zstd the two differ by an eighth (measured): compression finds the field names as well as a schema does.
"""

import argparse
import io
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FORMS = ("json-none", "json-lz4", "json-zstd", "avro-none", "avro-lz4", "avro-zstd")
TARGET_AVRO_RATIO = 0.4
SEED = 4
TITLES = [("The Long Way", "movie", "action", 1500.0, 9.99), ("Deep Water", "series", "drama", 820.5, 4.99),
          ("Night Drive", "music", "pop", 95.2, 1.29), ("Small Games", "game", "puzzle", 2400.75, 19.99)]  # fmt: skip
WEIGHTS = (50, 30, 15, 5)
PLACES = [("EU", "Zürich"), ("EU", "Paris"), ("US-East", "New York"), ("US-West", "Seattle"), ("APAC", "Tokyo"),
          ("APAC", "Sydney"), ("LATAM", "São Paulo"), ("MEA", "Nairobi"), ("India", "Pune"), ("UK", "Leeds")]  # fmt: skip
DEVICES = [("iPhone 15", "iOS 17.1"), ("Pixel 8", "Android 14"), ("Galaxy S23", "Android 13"), ("iPad Air", "iPadOS 17"),
           ("MacBook", "macOS 14"), ("Fire TV", "Fire OS 8")]  # fmt: skip


def main() -> int:
    """Exit code 1 when the claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    events = list(downloads(parser.parse_args().events, SEED))
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder:
        result = measure(Path(folder), events)
    print(json.dumps(result))
    return 0 if result["ok"] else 1


def downloads(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Events of S4's kind: a small catalogue, ids of their own."""
    chance, moment = random.Random(seed), 1_795_253_400_000
    for _ in range(count):
        moment += chance.randrange(4)
        number = chance.choices(range(4), WEIGHTS)[0]
        title, kind, category, size_mb, price = TITLES[number]
        (region, city), (device, os_version) = chance.choice(PLACES), chance.choice(DEVICES)
        speed, status = round(chance.uniform(5, 120), 2), chance.choices(("success", "failed"), (92, 8))[0]
        code = chance.choice(("NETWORK_ERROR", "TIMEOUT", "CDN_ERROR", "DISK_FULL")) if status == "failed" else None
        yield {
            "event_id": str(random.Random(chance.random()).getrandbits(128).to_bytes(16, "big").hex()),
            "timestamp": moment,
            "user_id": f"user_{chance.randrange(100_000)}",
            "content": {"content_id": f"content_{number + 1:03d}", "title": title, "type": kind, "category": category,
                        "size_mb": size_mb, "price": price},
            "download": {"status": status, "duration_seconds": round(size_mb * 8 / speed, 2), "speed_mbps": speed,
                         "error_code": code, "error_message": code and f"Download failed: {code}"},
            "user_context": {"region": region, "city": city, "device": device, "os_version": os_version,
                             "connection_type": chance.choice(("wifi", "4g", "5g"))},
        }  # fmt: skip


def measure(folder: Path, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Produces every form and looks at the broker's files."""
    from confluent_kafka import Producer

    from ingestion.contracts.topics import TopicSpec
    from local_stack.broker import running_broker
    from local_stack.topics import create_topics

    values = {"json": [json.dumps(event).encode() for event in events], "avro": encode(events)}
    compact = [json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() for event in events]
    sizes: dict[str, float] = {}
    with running_broker(folder) as bootstrap:
        create_topics(bootstrap, [TopicSpec(form, partitions=1) for form in FORMS])
        for form in FORMS:
            name, _, compression = form.partition("-")
            producer = Producer(
                {"bootstrap.servers": bootstrap, "compression.type": compression, "linger.ms": 5, "log_level": 2}
            )
            for value in values[name]:
                producer.produce(form, value)
            if producer.flush(60):
                raise RuntimeError(f"{form}: records were not acknowledged")
            [log] = folder.rglob(f"{form}-0/*.log")
            sizes[form] = round(log.stat().st_size / len(events), 1)
    return {
        "benchmark": "avro_size",
        "events": len(events),
        "bytes_per_event": sizes,
        "value_bytes": {
            "json": _mean(values["json"]), "json_without_white_space": _mean(compact), "avro": _mean(values["avro"]),
        },
        "avro_to_json_ratio": round(sizes["avro-none"] / sizes["json-none"], 3),
        "avro_zstd_to_json_lz4_ratio": round(sizes["avro-zstd"] / sizes["json-lz4"], 3),
        "avro_zstd_to_json_zstd_ratio": round(sizes["avro-zstd"] / sizes["json-zstd"], 3),
        "target_avro_to_json_ratio": TARGET_AVRO_RATIO,
        "ok": sizes["avro-none"] <= TARGET_AVRO_RATIO * sizes["json-none"] and sizes["avro-zstd"] < sizes["json-lz4"],
    }  # fmt: skip


def encode(events: list[dict[str, Any]]) -> list[bytes]:
    """Records by the contract's schema, as a serializer writes them."""
    import fastavro

    from ingestion.contracts.formats import avro
    from ingestion.contracts.registry import CONTRACTS

    schema, encoded = fastavro.parse_schema(avro.schema(CONTRACTS["download/1"]) or {}), []
    for event in events:
        buffer = io.BytesIO()
        buffer.write(b"\0\0\0\0\1")
        fastavro.schemaless_writer(buffer, schema, event)
        encoded.append(buffer.getvalue())
    return encoded


def _mean(values: list[bytes]) -> float:
    return round(sum(map(len, values)) / len(values), 1)


if __name__ == "__main__":
    sys.exit(main())
