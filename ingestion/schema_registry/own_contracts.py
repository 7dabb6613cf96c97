"""The platform's own contracts in its registry: registered at every start, which changes nothing where they are there already."""

import json
import threading

import structlog

from ingestion.contracts import download
from ingestion.contracts.avro_wire import subject_of
from ingestion.contracts.formats import avro
from ingestion.contracts.registry import CONTRACTS
from ingestion.schema_registry.errors import RegistryError, RegistryErrorCode
from ingestion.schema_registry.service import SchemaRegistry

RETRY_SECONDS = 5.0
log = structlog.get_logger(__name__)


def register_own(registry: SchemaRegistry, downloads_topic: str) -> None:
    """Registers the contract of the downloads topic. Idempotent. Raises: RegistryError."""
    subject = subject_of(downloads_topic)
    version = registry.register(subject, json.dumps(avro.schema(CONTRACTS[download.CONTRACT])))
    log.info("contract is registered", subject=subject, version=version.version, schema_id=version.schema_id)


class OwnContracts:
    """Registers them in the background: the edge takes events while the registry's store is away."""

    def __init__(self, registry: SchemaRegistry, downloads_topic: str) -> None:
        self._registry = registry
        self._downloads_topic = downloads_topic
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="own-contracts", daemon=True)

    def start(self) -> None:
        """Starts trying."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                register_own(self._registry, self._downloads_topic)
            except RegistryError as error:
                log.warning("contracts are not registered", error_code=error.code.value, message=error.message)
                if error.code is RegistryErrorCode.STORE_UNAVAILABLE:
                    self._stopping.wait(RETRY_SECONDS)
                    continue
            return
