"""Ingestion of NDJSON batches over HTTP against a bare produce loop of the same records, interleaved in one run.

Ours: one API process; validation, stamps, one acknowledgement per event before the answer. Other: orjson.loads + confluent-kafka
produce (key, value, headers) + flush, in a process of its own with the same producer settings. Both send the same bytes to the same
broker and count only acknowledged events. Prints one JSON line.

Environment: TIDEMARK_BENCH_EVENTS (events per round, default 60000), TIDEMARK_BENCH_ROUNDS (default 7).
"""

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import httpx

from benchmarks.figures import report
from ingestion.generators import EngagementStream, StreamPlan
from local_stack.broker import running_broker
from local_stack.ports import free_port
from local_stack.topics import create_topics

TARGET_RATIO = 0.5
BATCH_EVENTS = 1000
CLIENT_THREADS = 4
EVENTS = int(os.environ.get("TIDEMARK_BENCH_EVENTS", "60000"))
ROUNDS = int(os.environ.get("TIDEMARK_BENCH_ROUNDS", "7"))


def serve(bootstrap: str, port: int) -> None:
    """The API with real Kafka; keys and ledger in memory, because they are not what is measured."""
    from ingestion.api.__main__ import serve as run
    from ingestion.api.__main__ import sink_settings
    from ingestion.api.app import create_app
    from ingestion.api.auth import InMemoryKeyRing
    from ingestion.api.ledger import InMemoryLedger
    from ingestion.settings import IngestionSettings
    from ingestion.sinks.kafka import KafkaSink
    from runtime.logs import configure_logs

    configure_logs("ingestion", "production")
    settings = IngestionSettings(port=port)
    run(
        create_app(settings, KafkaSink(sink_settings(settings, bootstrap)), InMemoryKeyRing({}), InMemoryLedger()),
        settings,
    )


def produce(bootstrap: str, lines: list[bytes], pipe: Connection) -> None:
    """Answers each message on the pipe with the seconds that one bare round took."""
    import orjson
    from confluent_kafka import Producer

    from ingestion.api.__main__ import sink_settings
    from ingestion.settings import IngestionSettings

    config = sink_settings(IngestionSettings(), bootstrap).producer_config()
    producer = Producer({**config, "queue.buffering.max.messages": 10_000_000, "queue.buffering.max.kbytes": 2_000_000})
    received_at = datetime.now(UTC).isoformat().encode()
    while pipe.recv():
        started = time.perf_counter()
        for line in lines:
            event = orjson.loads(line)
            headers = [
                ("ce_specversion", b"1.0"),
                ("ce_id", event["event_id"]),
                ("ce_source", b"public"),
                ("ce_type", event["event_type"]),
                ("ce_time", event["timestamp"]),
                ("ce_dataschema", b"engagement/1"),
                ("ce_receivedat", received_at),
            ]
            producer.produce("events.raw.v1", line, event["user_id"], headers=headers)
        producer.flush()
        pipe.send(time.perf_counter() - started)


def post_all(client: httpx.Client, bodies: list[bytes]) -> float:
    """Seconds until every batch was answered."""

    def post(body: bytes) -> None:
        answer = client.post("/v1/batch", content=body)
        if answer.status_code != 202 or answer.json()["accepted"] != BATCH_EVENTS:
            raise RuntimeError(f"the API answered {answer.status_code}: {answer.text[:200]}")

    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENT_THREADS) as threads:
        list(threads.map(post, bodies))
    return time.perf_counter() - started


def wait_until_healthy(client: httpx.Client) -> None:
    """Returns once the API answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError("the API did not become healthy within 60 s")


def main() -> int:
    """Prints the figure; 1 when the ratio is below its target."""
    count = EVENTS // BATCH_EVENTS * BATCH_EVENTS
    lines = [event.raw for event in EngagementStream(StreamPlan(count, datetime.now(UTC)))]
    bodies = [b"\n".join(lines[start : start + BATCH_EVENTS]) for start in range(0, count, BATCH_EVENTS)]
    context = multiprocessing.get_context("spawn")
    port, (ours_end, other_end) = free_port(), context.Pipe()
    with tempfile.TemporaryDirectory() as folder, running_broker(Path(folder)) as bootstrap:
        create_topics(bootstrap)
        processes = [
            context.Process(target=serve, args=(bootstrap, port), daemon=True),
            context.Process(target=produce, args=(bootstrap, lines, other_end), daemon=True),
        ]
        for process in processes:
            process.start()
        ours: list[float] = []
        other: list[float] = []
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_until_healthy(client)
                for round_number in range(ROUNDS + 1):
                    ours_end.send(True)
                    bare_seconds = ours_end.recv()
                    api_seconds = post_all(client, bodies)
                    if round_number:  # the first round warms both up
                        ours.append(count / api_seconds)
                        other.append(count / bare_seconds)
        finally:
            for process in processes:
                process.terminate()
                process.join(20)
    # Rounds are paired, so that a noisy neighbour slows both sides of a pair.
    ratios = sorted(mine / bare for mine, bare in zip(ours, other, strict=True))
    bare_rate = statistics.median(other)
    ok = report(
        "ingestion_ndjson_events_per_second",
        statistics.median(ratios) * bare_rate,
        bare_rate,
        TARGET_RATIO,
        "higher",
        "events/s",
        rounds=[round(ratio, 3) for ratio in ratios],
        events_per_round=count,
        mean_event_bytes=round(sum(map(len, lines)) / count),
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
