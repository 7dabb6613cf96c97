"""A bug planted in the worker: the comparison with bronze passes without it and names the lost events with it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.contracts.topics import LIVE_TOPIC
from local_stack.waiting import wait_until
from runtime.crash_points import CrashPoint
from storage.hot_store.group_offsets import GroupOffsets
from storage.hot_store.reconciliation import reconcile
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import engagement_row, write_bronze
from tests.integration.hot_store.workers import app_records, committed, ends, produce, running_worker
from tests.integration.ingestion.reading import read_all

pytestmark = [pytest.mark.integration, pytest.mark.feature("K10")]
COUNT = 200


@pytest.mark.parametrize(
    ("module", "is_sound"),
    [("streaming.hot_store", True), ("tests.integration.hot_store.early_committing_worker", False)],
    ids=["committed after the write", "committed before the write"],
)
def test_a_commit_before_the_write_is_seen(
    module: str,
    is_sound: bool,
    bootstrap: str,
    storage_settings: StorageSettings,
    postgres: HotStore,
    app_id: str,
    group: str,
    tmp_path: Path,
) -> None:
    """It dies between the two, and a successor goes on where the group's offsets say."""
    url, armed = storage_settings.database_url, tmp_path / CrashPoint.HOT_STORE_HANDLED
    points = {"TIDEMARK_CRASH_POINTS_DIR": str(tmp_path)}
    with running_worker(bootstrap, url, group, module=module, **points) as dying:
        wait_until(lambda: dying.partitions() == 4, "all partitions", 90)
        armed.touch()
        produce(bootstrap, app_records(app_id, range(COUNT)))
        dying.process.wait(60)
    assert not armed.exists(), "it died elsewhere"
    with running_worker(bootstrap, url, group):
        wait_until(lambda: committed(bootstrap, group) == ends(bootstrap), "the successor to read the rest", 90)

    own = read_all(bootstrap, LIVE_TOPIC, lambda record: record.headers.get("ce_source") == app_id)
    now = datetime.now(UTC)
    write_bronze(
        storage_settings.bronze_uri,
        [
            engagement_row(record.offset, now, record.headers["ce_id"], app_id=app_id, kafka_partition=record.partition)
            for record in own
        ],
    )
    found = reconcile(storage_settings, postgres, GroupOffsets(bootstrap, group), ttl_days=7)
    assert found.bronze_count == COUNT
    assert found.ok is is_sound, found
    if not is_sound:
        assert 0 < found.missing_count == COUNT - found.hot_count
        assert all(name.startswith(f"{app_id}/e-") for name in found.missing), found.missing
