-- Receipts whose event is in bronze at no offset at all.
select distinct receipts.app_id, receipts.event_id
from receipts
anti join (select app_id, event_id from bronze where dlq_stage is distinct from 'consumer') as landed
    on receipts.app_id = landed.app_id and receipts.event_id = landed.event_id;
