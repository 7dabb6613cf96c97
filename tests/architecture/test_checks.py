"""Every data test of the dbt project is an asset check that says what it holds."""

import json

from platform_assets.assets.warehouse import CHECK_SPECS, MANIFEST


def test_every_data_test_is_a_check_with_a_description() -> None:
    nodes = json.loads(MANIFEST.read_text())["nodes"].values()
    assert {spec.name for spec in CHECK_SPECS} == {node["name"] for node in nodes if node["resource_type"] == "test"}
    assert [spec.name for spec in CHECK_SPECS if not spec.description] == []


def test_the_check_of_a_table_says_all_of_its_rules() -> None:
    [check] = [spec for spec in CHECK_SPECS if spec.name == "quarantine_rows_are_valid"]
    assert check.description == (
        "One row for each kafka_topic, kafka_partition, kafka_offset; "
        "never empty: app_id, reason, stage, event_date, event_hour, kafka_topic, kafka_partition, kafka_offset; "
        "stage is one of edge, landing, silver."
    )
