"""The checker reads Avro bodies by itself: what silver made of them is right or an offence."""

import pytest

from ingestion.contracts.topics import DOWNLOADS_TOPIC
from ingestion.schema_registry.own_contracts import register_own
from ingestion.schema_registry.service import SchemaRegistry
from ingestion.schema_registry.store import PostgresRegistryStore
from tests.integration.verification.rows import avro_download, engagement, json_download
from tests.integration.verification.world import World

pytestmark = [pytest.mark.integration, pytest.mark.feature("K10")]


def test_a_platform_with_avro_bodies_is_sound(world: World) -> None:
    registry = SchemaRegistry(PostgresRegistryStore(world.engine))
    register_own(registry, DOWNLOADS_TOPIC)
    schema_id = registry.look(lambda view: view.version("content-downloads-value", "latest").schema_id)
    version = world.land(
        engagement(0),
        avro_download(1, schema_id, user=" u7 "),
        avro_download(2, schema_id, cut_bytes=3),
        avro_download(3, schema_id, event_id="d1"),
        json_download(4),
        json_download(5, region="US"),
    )
    world.publish(version)
    report = world.verify()
    assert report.ok, report.failed
    assert (report.counts["silver"], report.counts["duplicates"]) == (4, 1)
    assert report.counts["quarantined_by_reason"] == {"malformed_avro": 1}


@pytest.mark.feature("S4-18")
@pytest.mark.parametrize("column", ["region", "error_code"])
def test_downloads_under_another_region_or_error_code_are_named(world: World, column: str) -> None:
    version = world.land(json_download(0), json_download(1, region="US"))
    world.publish(
        version, tamper=f"update lake.gold.agg_hour_download_errors set {column} = 'other' where region = 'US'"
    )
    assert set(world.failures()) == {"agg_hour_download_errors_equal_recomputation"}


def test_an_avro_body_that_nobody_can_read_may_not_be_published(world: World) -> None:
    world.publish(world.land(avro_download(1, schema_id=7)))
    assert not world.verify().ok
