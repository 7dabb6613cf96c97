"""One address for all metrics of a stack: the services' own, labelled by service, and what the supervisor knows.

Answers in Prometheus' text format on the metrics port. Services that do not answer are left out and counted.
"""

import urllib.request
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from local_stack.memory import MEBIBYTE, tree_mebibytes
from local_stack.ports import LOOPBACK
from local_stack.settings import StackSettings
from local_stack.status_file import read_status

SCRAPE_TIMEOUT_SECONDS = 2.0


class StackCollector(Collector):
    """Collects at each request; keeps nothing."""

    def __init__(self, settings: StackSettings, services: Mapping[str, int] | None = None) -> None:
        self._settings = settings
        ports = settings.ports
        self._services = (
            {
                "ingestion": ports.ingestion,
                "serving": ports.analytics,
                "hot_store_worker_1": ports.hot_store_worker_1,
                "hot_store_worker_2": ports.hot_store_worker_2,
            }
            if services is None
            else dict(services)
        )

    def collect(self) -> Iterable[Metric]:
        """The supervisor's gauges, then every service's families merged."""
        yield from self._collect_processes()
        up = GaugeMetricFamily("tidemark_scrape_up", "1 when the service gave its metrics.", labels=["service"])
        texts = {}
        for service, port in self._services.items():
            text = read_metrics(f"http://{LOOPBACK}:{port}/metrics")
            up.add_metric([service], float(text is not None))
            if text is not None:
                texts[service] = text
        yield up
        yield from merge_families(texts)

    def _collect_processes(self) -> Iterable[Metric]:
        ready = GaugeMetricFamily("tidemark_process_ready", "1 when the process is ready.", labels=["process"])
        restarts = CounterMetricFamily("tidemark_process_restarts", "Restarts after a crash.", labels=["process"])
        memory = GaugeMetricFamily(
            "tidemark_process_resident_memory_bytes", "Memory of the process and its children.", labels=["process"]
        )
        for process in read_status(self._settings).processes:
            if process.is_task:
                continue
            ready.add_metric([process.name], float(process.state == "ready"))
            restarts.add_metric([process.name], float(process.restarts))
            mebibytes = tree_mebibytes(process.pid) if process.pid else None
            memory.add_metric([process.name], (mebibytes or 0.0) * MEBIBYTE)
        yield from (ready, restarts, memory)


def merge_families(texts: dict[str, str]) -> list[Metric]:
    """Every family once, its samples labelled by the service they came from: a format that allows no family twice."""
    families: dict[str, Metric] = {}
    for service, text in texts.items():
        for family in text_string_to_metric_families(text):
            merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                merged.samples.append(sample._replace(labels={**sample.labels, "service": service}))
    return list(families.values())


def read_metrics(url: str) -> str | None:
    """The text of one service, None when it does not give it in time."""
    try:
        with urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_SECONDS) as answer:  # noqa: S310 - our own http address
            return str(answer.read().decode()) if answer.status == 200 else None
    except (OSError, ValueError):
        return None


class MetricsHandler(BaseHTTPRequestHandler):
    """/metrics and /health."""

    registry = CollectorRegistry()

    def do_GET(self) -> None:
        """Collects and answers."""
        path = self.path.split("?")[0]
        if path not in ("/metrics", "/health"):
            self.send_error(404)
            return
        body = b"ok\n" if path == "/health" else generate_latest(self.registry)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain" if path == "/health" else CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def main() -> None:
    """Serves until it is stopped."""
    settings = StackSettings()
    MetricsHandler.registry.register(StackCollector(settings))
    with ThreadingHTTPServer((LOOPBACK, settings.ports.metrics), MetricsHandler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
