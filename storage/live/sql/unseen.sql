-- What gold counts and live does not: imports, and what the ledger names. By minute.
select
    app_id,
    [family, event_type, coalesce(platform, 'none')] as keys,
    minute,
    count(*) as event_count
from published
where is_imported or left_out is not null
group by all
