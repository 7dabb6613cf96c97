-- The rules and readings that the queries share, in this checker's own words.

create or replace temp macro coordinates(kafka_topic, kafka_partition, kafka_offset) as
    kafka_topic || '/' || kafka_partition || '/' || kafka_offset;

create or replace temp macro header(headers, name) as
    try(decode(list_filter(headers, lambda h: h.key = name)[1].value));

create or replace temp macro header_of(name, text) as struct_pack(key := name, value := encode(text));

-- The value as JSON text, null when it is none. DuckDB may decode before it asks whether it can: so both decodes try.
create or replace temp macro json_text(value) as
    case when json_valid(try(decode(value))) then try(decode(value)) end;

create or replace temp macro family_of(contract) as split_part(contract, '/', 1);

-- Text without white space around it, by the contracts' definition: ASCII only.
create or replace temp macro stripped(text) as trim(text, e' \t\n\r\x0b\x0c');

-- A user of a foreign contract: the first of two that is more than white space, at most 100 characters of which.
create or replace temp macro filled(one, other) as coalesce(nullif(stripped(one), ''), nullif(stripped(other), ''));
create or replace temp macro at_most_100(text) as
    if(length(text) <= 100, text, concat(substring(text, 1, 67), '~', md5(text)));

-- What an event's own fields say, as one number, for the two families whose fields silver keeps as they are; null for all others.
create or replace temp macro details_of(family, content_id, session_id, device_type, location, metadata, payload) as
    case
        when family in ('engagement', 'generic')
            then hash([content_id, session_id, device_type, location, nullif(metadata, 'null'), nullif(payload, 'null')])
    end;
