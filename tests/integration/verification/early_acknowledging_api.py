"""The ingestion API with a planted bug: it acknowledges before Kafka has the record. Started by test_planted_bugs."""

import asyncio
from concurrent.futures import Future
from dataclasses import replace

from ingestion.api.__main__ import serve, sink_settings
from ingestion.api.app import create_app
from ingestion.api.postgres import PostgresLedger
from ingestion.settings import IngestionSettings
from ingestion.sinks import Batch, Outcome
from ingestion.sinks.kafka import KafkaSink
from storage.control.engine import make_engine
from storage.control.keys import KeyRing
from storage.settings import StorageSettings


class EarlySink(KafkaSink):
    """Says "acknowledged" as soon as the producer has queued the records."""

    def submit(self, batch: Batch) -> "Future[Outcome]":
        super().submit(batch)
        early: Future[Outcome] = Future()
        early.set_result(Outcome())
        return early

    def publish(self, batch: Batch) -> "asyncio.Future[Outcome]":
        return asyncio.wrap_future(self.submit(batch))


def main() -> None:
    settings, storage = IngestionSettings(), StorageSettings()
    engine = make_engine(storage)
    # It gathers for long, so that a kill right after the answers finds something to lose on the slowest machine too.
    usual = sink_settings(settings, storage)
    gathering = replace(usual, linger_milliseconds=10_000, message_timeout_seconds=30, publish_timeout_seconds=40)
    sink = EarlySink(gathering)
    app = create_app(settings, sink, KeyRing(engine), PostgresLedger(engine))
    serve(app, app.state.protocol, settings)


if __name__ == "__main__":
    main()
