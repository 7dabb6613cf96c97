-- Neighbouring rows of silver.events (by occurred_at) that share an event id. Within the horizon that is an offence, beyond it a fact.
with repeated as (
    select app_id, event_id
    from lake.silver.events
    where event_date between getvariable('first_day') and getvariable('last_day')
    group by app_id, event_id
    having count(*) > 1
),
neighbours as (
    select
        app_id, event_id, occurred_at,
        lag(occurred_at) over (partition by app_id, event_id order by occurred_at) as previous_occurred_at
    from lake.silver.events
    semi join repeated using (app_id, event_id)
    where event_date between getvariable('first_day') and getvariable('last_day')
)
select
    app_id || '/' || event_id || ' occurred at ' || previous_occurred_at || ' and ' || occurred_at as offence,
    occurred_at - previous_occurred_at > to_days(getvariable('horizon_days')) as is_beyond_horizon
from neighbours
where previous_occurred_at is not null;
