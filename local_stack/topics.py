"""Creates the platform's topics as `ingestion.contracts.topics` describes them. Never deletes one, never changes a partition count."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from local_stack.errors import StartError

if TYPE_CHECKING:
    from ingestion.contracts.topics import TopicSpec

CONNECT_TIMEOUT_SECONDS = 30.0


def create_topics(
    bootstrap: str, specs: "Sequence[TopicSpec] | None" = None, timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
) -> list[str]:
    """Creates what is missing of `specs` (default: every topic under its default name) and gives its names. Idempotent.

    Every topic has a leader for each partition afterwards.

    Raises: StartError when the broker does not answer in time.
    """
    from kafka.errors import KafkaError

    from runtime.kafka_clients import AdminClient

    if specs is None:
        from ingestion.contracts.topics import TopicNames

        specs = TopicNames().specs
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            admin = AdminClient(bootstrap_servers=bootstrap.split(","), client_id="tidemark-topics")
            try:
                return _create_missing(admin, specs)
            finally:
                admin.close()
        except KafkaError as error:
            if time.monotonic() > deadline:
                raise StartError(f"topics could not be created at {bootstrap}: {error!r}; is the broker up?") from error
            time.sleep(0.3)


def _create_missing(admin: "object", specs: "Sequence[TopicSpec]") -> list[str]:
    existing = set(admin.list_topics())  # type: ignore[attr-defined]  # kafka-python is not typed
    missing = {
        spec.name: {"num_partitions": spec.partitions, "replication_factor": -1, "configs": dict(spec.config)}
        for spec in specs
        if spec.name not in existing
    }
    if missing:
        admin.create_topics(missing, wait_for_metadata=True)  # type: ignore[attr-defined]
    return sorted(missing)
