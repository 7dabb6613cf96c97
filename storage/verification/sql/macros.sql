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
