"""What tests of the comparison share: live tables and a lake, filled from the same records."""

from storage.live.batches import Batch, apply_batch
from storage.live.parity import ParityReport, compare_hour
from storage.live.state import WINDOWS_QUERY
from storage.settings import StorageSettings
from tests.fixtures.lakehouse import open_lakehouse
from tests.fixtures.live_records import HOUR, Sent, bronze_row, expected_cells, ledger_cell

TOPIC = "events.raw.v1"


class Both:
    """Live tables and a lake, filled from the same records."""

    def __init__(self, storage: StorageSettings) -> None:
        self.storage = storage
        self.lakehouse = open_lakehouse(storage, checks=False)
        self.engine = self.lakehouse.engine
        self.sent: list[Sent] = []

    def write_live(self, counted: list[Sent], left_out: list[tuple[Sent, str, int]] = [], batch_id: int = 0) -> bool:  # noqa: B006
        """One batch: the cells of what is counted, and by offset what is not."""
        cells = expected_cells(counted)
        cells += [ledger_cell(record, reason, TOPIC, 0, offset) for record, reason, offset in left_out]
        batch = Batch(WINDOWS_QUERY, "query", batch_id, {TOPIC: {0: 1000}}, None)
        return apply_batch(self.engine, batch, cells)

    def land(self, records: list[Sent], first_offset: int = 0, topic: str = TOPIC, partition: int = 0) -> None:
        self.lakehouse.land(
            [bronze_row(record, topic, partition, offset) for offset, record in enumerate(records, first_offset)]
        )

    def compare(self) -> ParityReport:
        return compare_hour(self.storage, self.engine, HOUR, topic=TOPIC, remembered_seconds=600)
