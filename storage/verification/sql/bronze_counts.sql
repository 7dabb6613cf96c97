-- Exact counts of bronze. Pointers (dlq_stage = consumer) stand apart: they repeat an offset that landed already.
select
    count(*) filter (where dlq_stage is distinct from 'consumer') as landed,
    count(*) filter (where dlq_stage = 'consumer') as pointers,
    count(*) filter (
        where dlq_stage is distinct from 'consumer'
        and not coalesce(ingested_at <= coalesce(cutoffs.ingested_until, getvariable('default_cutoff')::timestamptz), false)
    ) as waiting_to_publish
from bronze
left join cutoffs on bronze.event_hour = cutoffs.event_hour;
