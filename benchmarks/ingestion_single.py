"""One event per request against a raw ASGI echo on the same server, interleaved in one run.

Ours: POST /api/v1/events, acknowledged by all in-sync replicas before the 201. Other: an ASGI application that reads the body and
sends it back, under the same uvicorn settings. Two figures: answers a second in a closed loop over 256 connections, and the
99th percentile at a rate that both can carry in an open loop, where the limit is twice the echo's own plus the broker's round trip
(a producer with the API's settings, measured beside both). Prints one JSON line each.

Environment: TIDEMARK_BENCH_SINGLES (requests per round, default 10000), TIDEMARK_BENCH_ROUNDS (default 5).
"""

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from benchmarks.events import engagement_lines
from benchmarks.figures import report
from benchmarks.http_load import Connections, Load
from benchmarks.ingestion_ndjson import serve, wait_until_healthy
from benchmarks.raw_http import post_request
from ingestion.contracts.topics import IMPORT_TOPIC
from local_stack.broker import running_broker
from local_stack.ports import free_port
from local_stack.topics import create_topics

TARGET_RATE_RATIO = 0.7
REQUESTS = int(os.environ.get("TIDEMARK_BENCH_SINGLES", "10000"))
ROUNDS = int(os.environ.get("TIDEMARK_BENCH_ROUNDS", "5"))
CONNECTIONS = 256
OPEN_LOOP_SHARE = 0.3
"""Of what ours answers in the closed loop: a server near its limit measures its queue."""
# The broker's JVM compiles what many small batches need for half a minute, on one of the two cores.
WARM_UP_ROUNDS = 4
ROUND_TRIPS = 300


def serve_echo(port: int) -> None:
    """The other side."""
    from starlette.types import Receive, Scope, Send

    from ingestion.api.__main__ import serve as run
    from ingestion.api.connections import make_guard
    from ingestion.api.metrics import Metrics
    from ingestion.settings import IngestionSettings

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body", False):
                break
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    settings = IngestionSettings(port=port)
    run(echo, make_guard(settings, Metrics()).protocol(), settings)


def round_trip_p99(bootstrap: str) -> float:
    """Seconds from produce to acknowledgement, 99th percentile, one record at a time with the API's producer settings."""
    from confluent_kafka import Producer

    from ingestion.api.__main__ import sink_settings
    from ingestion.settings import IngestionSettings
    from storage.settings import StorageSettings

    producer = Producer(
        sink_settings(IngestionSettings(), StorageSettings(kafka_bootstrap_servers=bootstrap)).producer_config()
    )
    durations = []
    for number in range(ROUND_TRIPS):
        started = time.perf_counter()
        producer.produce(IMPORT_TOPIC, b"x" * 400, str(number))
        producer.flush()
        durations.append(time.perf_counter() - started)
    return sorted(durations)[int(ROUND_TRIPS * 0.99)]


def loads(port: int, requests: list[bytes], rate: float | None, connections: int) -> Load:
    """One measured stretch over fresh connections."""
    opened = Connections(port, connections)
    try:
        load = opened.run(requests, rate)
    finally:
        opened.close()
    if set(load.statuses) - {200, 201}:
        raise RuntimeError(f"unexpected answers: {load.statuses}")
    return load


def main() -> int:
    """Prints both figures; 1 when one misses its target."""
    lines = engagement_lines(REQUESTS, datetime.now(UTC))
    context = multiprocessing.get_context("spawn")
    port, echo_port = free_port(), free_port()
    ours_requests = [post_request(port, "/api/v1/events", line, "application/json") for line in lines]
    echo_requests = [post_request(echo_port, "/", line, "application/json") for line in lines]
    with tempfile.TemporaryDirectory() as folder, running_broker(Path(folder)) as bootstrap:
        create_topics(bootstrap)
        processes = [
            context.Process(target=serve, args=(bootstrap, port), daemon=True),
            context.Process(target=serve_echo, args=(echo_port,), daemon=True),
        ]
        for process in processes:
            process.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_until_healthy(client)
            rates = [
                (
                    loads(port, ours_requests, None, CONNECTIONS).per_second,
                    loads(echo_port, echo_requests, None, CONNECTIONS).per_second,
                )
                for _ in range(WARM_UP_ROUNDS + ROUNDS)
            ][WARM_UP_ROUNDS:]
            rate = min(ours for ours, _ in rates) * OPEN_LOOP_SHARE
            tails = [
                (
                    loads(port, ours_requests, rate, CONNECTIONS).quantile(0.99),
                    loads(echo_port, echo_requests, rate, CONNECTIONS).quantile(0.99),
                    round_trip_p99(bootstrap),
                )
                for _ in range(ROUNDS)
            ]
        finally:
            for process in processes:
                process.terminate()
                process.join(20)
    ratios = sorted(ours / echo for ours, echo in rates)
    echo_rate = statistics.median(echo for _, echo in rates)
    ok = report(
        "ingestion_single_requests_per_second",
        statistics.median(ratios) * echo_rate,
        echo_rate,
        TARGET_RATE_RATIO,
        "higher",
        "requests/s",
        rounds=[round(ratio, 3) for ratio in ratios],
        connections=CONNECTIONS,
    )
    ours_p99, echo_p99, trip_p99 = (statistics.median(column) * 1000 for column in zip(*tails, strict=True))
    tail_ok = report(
        "ingestion_single_p99",
        ours_p99,
        2 * echo_p99 + trip_p99,
        1.0,
        "lower",
        "ms",
        echo_p99=round(echo_p99, 3),
        broker_round_trip_p99=round(trip_p99, 3),
        requests_per_second=round(rate),
    )
    return 0 if ok and tail_ok else 1


if __name__ == "__main__":
    sys.exit(main())
