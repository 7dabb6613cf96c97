with expected as (
    select
        app_id, experiment_id, variant, user_id, event_date, event_hour,
        min(occurred_at) as first_exposed_at, count(*) as exposure_count
    from expected_events
    where event_type = 'feature_exposed' and experiment_id is not null
    group by all
),
published as (
    select app_id, experiment_id, variant, user_id, event_date, event_hour, first_exposed_at, exposure_count
    from published_experiment_exposures
    where event_date between getvariable('first_day') and getvariable('last_day')
)
select 'not published: ' || missing::varchar as offence from (from expected except all from published) as missing
union all
select 'published, but not so: ' || surplus::varchar as offence from (from published except all from expected) as surplus;
