"""The metrics of one worker, with those of its hot store in the same registry."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from storage.hot_store.metrics import HotStoreMetrics


class WorkerMetrics:
    """One per process. `outcome`: written, copy (already there), expired (older than what is kept), dead_letter."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.store = HotStoreMetrics(self.registry)
        self.records = Counter(
            "tidemark_hot_store_records",
            "Records handled, by outcome: written, copy (was there), expired (older than the days kept), dead_letter.",
            ["outcome"],
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "tidemark_hot_store_dead_letters",
            "Records that could not be handled, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.visible = Histogram(
            "tidemark_hot_store_visible_seconds",
            "From received_at, by the ingestion API's clock, to visible in the hot store.",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 60),
            registry=self.registry,
        )
        self.lag = Gauge(
            "tidemark_hot_store_consumer_lag_records",
            "Records of this worker's partitions that are in Kafka and not handled yet, by its newest fetch or, while something is away, "
            "its newest try.",
            registry=self.registry,
        )
        self.partitions = Gauge(
            "tidemark_hot_store_assigned_partitions", "Partitions that this worker owns.", registry=self.registry
        )
        self.retries = Counter(
            "tidemark_hot_store_retries",
            "Batches tried again, by what was away: store or dead_letters.",
            ["cause"],
            registry=self.registry,
        )
        self.commit_failures = Counter(
            "tidemark_hot_store_commit_failures",
            "Commits that failed: their records may be handled again.",
            registry=self.registry,
        )
