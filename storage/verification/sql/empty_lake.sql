-- Before the first publication: the published tables, empty, in the place where the lake would be attached.
attach ':memory:' as lake;
create schema lake.silver;
create schema lake.gold;
create schema lake.operations;
create table lake.silver.events (
    kafka_topic varchar, kafka_partition integer, kafka_offset bigint, app_id varchar, event_id varchar, event_type varchar,
    contract varchar, occurred_at timestamptz, received_at timestamptz, ingested_at timestamptz, event_date date, event_hour timestamptz,
    family varchar, user_id varchar, platform varchar, content_id varchar, session_id varchar, device_type varchar, location varchar,
    metadata varchar, payload varchar, is_late boolean, payload_hash varchar
);
create table lake.silver.duplicates (
    kafka_topic varchar, kafka_partition integer, kafka_offset bigint, app_id varchar, event_id varchar, occurred_at timestamptz,
    received_at timestamptz, ingested_at timestamptz, event_date date, event_hour timestamptz, payload_differs boolean,
    winner_topic varchar, winner_partition integer, winner_offset bigint
);
create table lake.silver.quarantine (
    kafka_topic varchar, kafka_partition integer, kafka_offset bigint, app_id varchar, event_id varchar, event_type varchar,
    contract varchar, received_at timestamptz, ingested_at timestamptz, event_date date, event_hour timestamptz, reason varchar,
    stage varchar, raw_value blob
);
create table lake.silver.redrives (
    kafka_topic varchar, kafka_partition integer, kafka_offset bigint, app_id varchar, event_id varchar, received_at timestamptz,
    ingested_at timestamptz, event_date date, event_hour timestamptz, origin_topic varchar, origin_partition integer, origin_offset bigint
);
create table lake.silver.experiment_exposures (
    app_id varchar, experiment_id varchar, variant varchar, user_id varchar, event_date date, event_hour timestamptz,
    first_exposed_at timestamptz, exposure_count bigint
);
create table lake.gold.fct_user_hours (
    app_id varchar, family varchar, user_id varchar, platform varchar, event_type varchar, event_date date, event_hour timestamptz,
    event_count bigint
);
create table lake.gold.agg_5min_events (
    app_id varchar, family varchar, event_type varchar, platform varchar, window_start timestamptz, window_end timestamptz,
    event_date date, event_hour timestamptz, event_count bigint, unique_users bigint
);
create table lake.gold.agg_hour_events as from lake.gold.agg_5min_events;
create table lake.gold.agg_day_events as select * exclude (event_hour) from lake.gold.agg_5min_events;
create table lake.gold.agg_hour_download_errors (
    app_id varchar, region varchar, error_code varchar, window_start timestamptz, window_end timestamptz, event_date date,
    event_hour timestamptz, event_count bigint, success_count bigint, failed_count bigint, cancelled_count bigint
);
create table lake.operations.publications (
    publication_id bigint, hours timestamptz[], base_publication_id bigint, bronze_version bigint, highest_offsets varchar
);
