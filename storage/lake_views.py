"""Views of the lake: what is told of published rows when they are read, because storing it would change rows of other hours.

A view reads the tables of the snapshot that it is read at, so that an answer as of an earlier publication is as it was.
"""

import duckdb

PRODUCT_EVENTS = """
select
    events.app_id,
    events.event_id,
    events.event_type,
    events.user_id,
    events.payload ->> '$.experiment_id' as experiment_id,
    events.payload ->> '$.variant' as variant,
    (events.payload ->> '$.experiment_id') is not null as is_experiment_event,
    exposures.first_exposure_at,
    events.payload,
    events.contract,
    events.occurred_at,
    events.received_at,
    events.ingested_at,
    events.event_date,
    events.event_hour,
    events.is_late,
    events.kafka_topic,
    events.kafka_partition,
    events.kafka_offset
from silver.events as events
left join (
    select app_id, experiment_id, user_id, min(first_exposed_at) as first_exposure_at
    from silver.experiment_exposures
    group by app_id, experiment_id, user_id
) as exposures
    on events.app_id = exposures.app_id
    and events.user_id = exposures.user_id
    and (events.payload ->> '$.experiment_id') = exposures.experiment_id
where events.family = 'product'
"""
"""One row per product event. `first_exposure_at`: when its user was first exposed to its experiment, whatever hour that was in; null for an
event of no experiment and for a user whom no event shows exposed."""

VIEWS = {"silver.product_events": PRODUCT_EVENTS}


def create_views(session: duckdb.DuckDBPyConnection) -> list[str]:
    """Makes the views in the attached lake that are missing or say something else; returns their names. Needs their tables. Idempotent."""
    present = dict(
        session.execute(
            "select schema_name || '.' || view_name, sql from duckdb_views() where database_name = 'lake' and not internal"
        ).fetchall()
    )
    changed = []
    for name, query in VIEWS.items():
        # As DuckDB writes it back, so that the two compare.
        [(written,)] = session.execute("select json_deserialize_sql(json_serialize_sql(?))", [query]).fetchall()
        if not present.get(name, "").endswith(f" AS {written};"):
            session.execute(f"create or replace view lake.{name} as {query}")
            changed.append(name)
    return changed
