"""Ingestion of NDJSON batches over HTTP against a bare produce loop of the same records, interleaved in one run.

Ours: one API process; validation, stamps, one acknowledgement per event before the answer. Other: orjson.loads + confluent-kafka
produce (key, value, headers) + flush, in a process of its own with the same producer settings. Both send the same bytes to the same
broker and count only acknowledged events. Prints two JSON lines: events a second, and processor time of all threads per event.

Where the time goes: decision 22. The limit is `produce` with its seven headers, which both sides pay (2.0 to 2.8 µs of 5 to 6), and two
cores that API, broker and client share: rates depend on who else is served, processor time less so. Measured: docs/benchmarks.md.

Environment: TIDEMARK_BENCH_EVENTS (events per round, default 60000), TIDEMARK_BENCH_ROUNDS (default 7).
"""

import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import psutil

from benchmarks.events import EVENT_BYTES, engagement_lines
from benchmarks.figures import report
from benchmarks.raw_http import post_request, send_all
from ingestion.contracts.topics import LIVE_TOPIC
from local_stack.broker import running_broker
from local_stack.ports import free_port
from local_stack.topics import create_topics

TARGET_RATIO = 0.8
TARGET_CPU_RATIO = 1.3
BATCH_EVENTS = 1000
CONNECTIONS = 4
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
    from storage.settings import StorageSettings

    configure_logs("ingestion", "production")
    storage = StorageSettings(kafka_bootstrap_servers=bootstrap)
    settings = IngestionSettings(port=port, rate_limit_requests=0)  # what is sent here is over any sensible limit
    sink = KafkaSink(sink_settings(settings, storage))
    app = create_app(settings, sink, InMemoryKeyRing({}), InMemoryLedger())
    run(app, app.state.protocol, settings)


def produce(bootstrap: str, lines: list[bytes], pipe: Connection) -> None:
    """Answers each message on the pipe with the seconds that one bare round took."""
    import orjson
    from confluent_kafka import Producer

    from ingestion.api.__main__ import sink_settings
    from ingestion.settings import IngestionSettings
    from storage.settings import StorageSettings

    config = sink_settings(IngestionSettings(), StorageSettings(kafka_bootstrap_servers=bootstrap)).producer_config()
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
            producer.produce(LIVE_TOPIC, line, event["user_id"], headers=headers)
        producer.flush()
        pipe.send(time.perf_counter() - started)


def post_all(port: int, requests: list[bytes]) -> float:
    """Seconds until every batch was answered."""
    started = time.perf_counter()
    answers = send_all(port, requests, CONNECTIONS)
    seconds = time.perf_counter() - started
    for status, body in answers:
        if status != 202 or json.loads(body)["accepted"] != BATCH_EVENTS:
            raise RuntimeError(f"the API answered {status}: {body[:200]!r}")
    return seconds


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time of all threads of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


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
    lines = engagement_lines(count, datetime.now(UTC))
    context = multiprocessing.get_context("spawn")
    port, (ours_end, other_end) = free_port(), context.Pipe()
    starts = range(0, count, BATCH_EVENTS)
    requests = [post_request(port, "/v1/batch", b"\n".join(lines[start : start + BATCH_EVENTS])) for start in starts]
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
        ours_cpu: list[float] = []
        other_cpu: list[float] = []
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_until_healthy(client)
            api_process, bare_process = (psutil.Process(process.pid) for process in processes)
            for round_number in range(ROUNDS + 1):
                before = cpu_seconds(bare_process)
                ours_end.send(True)
                bare_seconds = ours_end.recv()
                bare_cpu = cpu_seconds(bare_process) - before
                before = cpu_seconds(api_process)
                api_seconds = post_all(port, requests)
                api_cpu = cpu_seconds(api_process) - before
                if round_number:  # the first round warms both up
                    ours.append(count / api_seconds)
                    other.append(count / bare_seconds)
                    ours_cpu.append(api_cpu / count * 1e6)
                    other_cpu.append(bare_cpu / count * 1e6)
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
        event_bytes=EVENT_BYTES,
    )
    cpu_ratios = sorted(mine / bare for mine, bare in zip(ours_cpu, other_cpu, strict=True))
    bare_cpu_us = statistics.median(other_cpu)
    cpu_ok = report(
        "ingestion_ndjson_cpu_per_event",
        statistics.median(cpu_ratios) * bare_cpu_us,
        bare_cpu_us,
        TARGET_CPU_RATIO,
        "lower",
        "µs of processor time, all threads",
        rounds=[round(ratio, 3) for ratio in cpu_ratios],
    )
    return 0 if ok and cpu_ok else 1


if __name__ == "__main__":
    sys.exit(main())
