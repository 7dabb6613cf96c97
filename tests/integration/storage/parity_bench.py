"""What tests of the comparison share: live tables and a lake, filled from the same records."""

from collections.abc import Mapping, Sequence
from functools import partial

from storage.bronze import landed_offsets, latest_version
from storage.live.batches import Batch, apply_batch
from storage.live.hours import DueHour, list_due
from storage.live.parity import ParityReport, compare_hour
from storage.live.state import WINDOWS_QUERY
from storage.publications import Publication, latest
from storage.settings import StorageSettings
from tests.fixtures.lakehouse import open_lakehouse
from tests.fixtures.live_records import HOUR, Sent, bronze_row, expected_cells, ledger_cell

TOPIC = "events.raw.v1"
ALL_READ = {0: 1000}
ALL_LANDED = {TOPIC: {0: 1_000_000, 1: 1_000_000}}


class Both:
    """Live tables and a lake, filled from the same records."""

    def __init__(self, storage: StorageSettings) -> None:
        self.storage = storage
        self.lakehouse = open_lakehouse(storage, checks=False)
        self.engine = self.lakehouse.engine
        self.sent: list[Sent] = []

    def write_live(
        self,
        counted: list[Sent],
        left_out: Sequence[tuple[Sent, str, int]] = (),
        batch_id: int = 0,
        offsets: Mapping[int, int] = ALL_READ,
    ) -> bool:
        """One batch: the cells of what is counted, and by offset what is not."""
        cells = expected_cells(counted)
        cells += [ledger_cell(record, reason, TOPIC, 0, offset) for record, reason, offset in left_out]
        batch = Batch(WINDOWS_QUERY, "query", batch_id, {TOPIC: dict(offsets)}, None)
        return apply_batch(self.engine, batch, cells)

    def land(self, records: list[Sent], first_offset: int = 0, topic: str = TOPIC, partition: int = 0) -> None:
        self.lakehouse.land(
            [bronze_row(record, topic, partition, offset) for offset, record in enumerate(records, first_offset)]
        )

    def publish_hour(self) -> None:
        """Publishes the hour as it is in bronze."""
        self.lakehouse.note_arrivals()
        self.lakehouse.publish([HOUR])

    def due(self) -> list[DueHour]:
        """Hours to compare, as the sensor asks for them."""
        return list_due(
            self.engine, latest_version(self.storage) or 0, partial(landed_offsets, self.storage), WINDOWS_QUERY
        )

    def compare(self, due: DueHour | None = None, publication: Publication | None = None) -> ParityReport:
        """Of an hour that was found due, or of all there is, with the newest publication or the one given."""
        publication = publication or latest(self.engine)
        assert publication is not None
        due = due or DueHour(HOUR, 0, ALL_LANDED)
        return compare_hour(self.storage, self.engine, due, publication, topic=TOPIC, remembered_seconds=600)
