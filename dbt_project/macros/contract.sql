{#-
  The verdict on event bodies in SQL, for records that did not come through the ingestion API. It must be that of ingestion/contracts (a
  test compares them); reasons are the codes of ingestion.contracts.reasons. Here is what concerns every document; the rules of each
  contract are generated (contract_rules.sql). No expression raises, whatever the bytes: a text that is not JSON becomes null before any
  JSON function sees it.
-#}

{% macro max_json_depth() %}{{ return(64) }}{% endmacro %}

{#- A string field of the parsed body without surrounding white space: ASCII only, as ingestion.contracts.validation has it. -#}
{% macro trimmed(field) -%}
    trim({{ field }} ->> '$', e' \t\n\r\x0b\x0c')
{%- endmacro %}

{#- The first of these fields that is more than white space, trimmed; null where there is none. -#}
{% macro first_filled(fields) -%}
    coalesce({% for field in fields %}nullif({{ trimmed(field) }}, ''){{ ", " if not loop.last }}{% endfor %})
{%- endmacro %}

{#- The text; a longer one as its beginning and the MD5 of all of it, as ingestion.contracts.fields has it. -#}
{% macro shortened(text, max_length) -%}
    case
        when length({{ text }}) > {{ max_length }} then left({{ text }}, {{ max_length - 33 }}) || '~' || md5({{ text }})
        else {{ text }}
    end
{%- endmacro %}

{#- True for a string or number that ingestion.contracts.clocks reads as a point in time. -#}
{% macro is_timestamp(field) -%}
    case
        when json_type({{ field }}) = 'VARCHAR' then
            length({{ field }} ->> '$') <= 64
            and regexp_full_match(
                {{ field }} ->> '$',
                '[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]+)?'
                '([Zz]|[+-]([01][0-9]|2[0-3])(:[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)?|[0-5][0-9]([0-5][0-9]([.,][0-9]+)?)?)?)?'
            )
            and try_cast(substr({{ field }} ->> '$', 1, 10) as date) between date '0001-01-02' and date '9999-12-30'
        when json_type({{ field }}) in ('UBIGINT', 'BIGINT', 'DOUBLE') then
            abs(try_cast({{ field }} as double)) <= 20000000000
            or try_cast({{ field }} as double) / 1000 between -62135596800 and 253402300799
        else false
    end
{%- endmacro %}

{#-
  True where one object, at any depth, has a key twice. The usual shapes, a flat body and one with metadata or payload, are compared
  directly; only documents with more objects pay for the walk over every node. Known fields that are as many as the names are distinct.
-#}
{% macro has_duplicate_key(document, braces) -%}
    case
        when len(json_keys({{ document }})) <> {% for name in common_fields() %}(fields.{{ name }} is not null)::int{{ " + " if not loop.last }}{% endfor %}
            and list_unique(json_keys({{ document }})) <> len(json_keys({{ document }})) then true
        when {{ braces }} = 1 then false
        when {{ braces }} = 2 and json_type(fields.metadata) = 'OBJECT'
            then list_unique(json_keys(fields.metadata)) <> len(json_keys(fields.metadata))
        when {{ braces }} = 2 and json_type(fields.payload) = 'OBJECT'
            then list_unique(json_keys(fields.payload)) <> len(json_keys(fields.payload))
        when {{ braces }} = 1
            {%- for name in nested_fields() %} + coalesce((json_type(others.{{ name }}) = 'OBJECT')::int, 0){% endfor %}
            then false
            {%- for name in nested_fields() %} or coalesce(list_unique(json_keys(others.{{ name }})) <> len(json_keys(others.{{ name }})), false){% endfor %}
        else len(list_filter(
            json_extract({{ document }}, concat('$', '..*')),  {#- in two pieces: sqlglot, which reads the column lineage, knows no such path -#}
            lambda node: json_type(node) = 'OBJECT' and list_unique(json_keys(node)) <> len(json_keys(node))
        )) > 0
    end
{%- endmacro %}

{#- True for an integer beyond 64 bits or a number that overflows a double. `skeleton` is the document with its strings emptied. -#}
{% macro has_number_out_of_range(skeleton) -%}
    case
        when regexp_matches({{ skeleton }}, '[0-9]{19}|[eE][+]?[0-9]{2}')
            then len(list_filter(
                regexp_extract_all({{ skeleton }}, '-?[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?'),
                lambda number: case
                    when regexp_full_match(number, '-?[0-9]+')
                        then coalesce(try_cast(number as hugeint) not between -9223372036854775808 and 18446744073709551615, true)
                    else coalesce(isinf(try_cast(number as double)), true)
                end
            )) > 0
        else false
    end
{%- endmacro %}

{#-
  True where containers nest deeper than allowed; an empty one does not count as a level. Each pass over the bare brackets takes the
  innermost pairs away, and what is left over lies too deep.
-#}
{% macro is_too_deep(skeleton) -%}
    case
        when length({{ skeleton }}) - length(translate({{ skeleton }}, '[{', '')) > {{ max_json_depth() }}
            then list_reduce(
                list_prepend(
                    regexp_replace(regexp_replace({{ skeleton }}, '\[\s*\]|\{\s*\}', '', 'g'), '[^][{}]', '', 'g'),
                    list_resize(cast([] as varchar []), {{ max_json_depth() }}, '')
                ),
                lambda brackets, pass: regexp_replace(brackets, '\[\]|\{\}', '', 'g')
            ) <> ''
        else false
    end
{%- endmacro %}

{#- True where a name or string of the body itself holds U+0000, which PostgreSQL cannot store. -#}
{% macro has_nul_character(document) -%}
    contains({{ document }}, '\u0000')
    and len(list_filter(
        list_concat(json_keys({{ document }}), json_extract_string({{ document }}, '$.*')),
        lambda text: contains(text, chr(0))
    )) > 0
{%- endmacro %}

{#-
  What a document has somewhere if its skeleton has a comma before a closing bracket, NaN, an infinity, or a number that may be out of
  range: a value follows the beginning, a colon, a comma, an opening bracket or white space.
-#}
{% macro suspicious_text() -%}
    (?:^|[:,\[\s])[-+]?(?:[nN][aA]|[iI][nN]|[0-9]{19}|[0-9][0-9.]*[eE][+]?[0-9]{2})|,\s*[}\]]
{%- endmacro %}

{#- True for a body in Avro, whose first byte no JSON text has. -#}
{% macro is_avro() -%}
    value < '\x01'::blob and contract in ('{{ avro_contracts() | join("', '") }}')
{%- endmacro %}

{#-
  Bronze rows with the verdict on each: `reason` (null for a valid row), `stage` (where it was rejected), `body` (its text; of an Avro body
  the JSON that it says), `fields` and `others` (the
  parsed body, null unless it is a JSON object; `others` only for families other than engagement and generic) and every column of the source.

  `source` names a CTE with bronze's columns. One row out per row in.
-#}
{% macro judge_bodies(source) %}
    with decoded as (
        select
            *,
            case
                when rejection_reason is not null or dlq_stage is not null then null
                when {{ is_avro() }} then avro_document(value)
                else try(decode(value))
            end as body
        from {{ source }}
    ),

    documents as (
        select
            *,
            case when json_valid(body) then body end as document
        from decoded
    ),

    shapes as (
        select
            *,
            -- A string's brackets count too: never too few.
            strlen(document) - strlen(replace(document, '{', '')) as braces,
            case when contains(document, '[') then strlen(document) - strlen(replace(document, '[', '')) else 0 end as brackets,
            from_json(
                case when json_type(document) = 'OBJECT' then document end,
                '{ {%- for name in common_fields() %}"{{ name }}": "JSON"{{ ", " if not loop.last }}{% endfor -%} }'
            ) as fields,
            from_json(
                case when contract not in ('{{ common_contracts() | join("', '") }}') and json_type(document) = 'OBJECT' then document end,
                '{ {%- for name in other_fields() %}"{{ name }}": "JSON"{{ ", " if not loop.last }}{% endfor -%} }'
            ) as others
        from documents
    ),

    -- The document without what its strings say: brackets, literals and numbers can be looked at by themselves. Null where that could tell
    -- nothing, which is nearly always and saves a quarter of the time: a rule that needs it asks for a superset of what it looks for here.
    parsed as (
        select
            *,
            {%- for name, inside in nested_fields().items() if inside %}
            from_json(
                case when json_type(others.{{ name }}) = 'OBJECT' then others.{{ name }} end,
                '{ {%- for field in inside %}"{{ field }}": "JSON"{{ ", " if not loop.last }}{% endfor -%} }'
            ) as {{ name }}_fields,
            {%- endfor %}
            case
                when
                    regexp_matches(document, '{{ suspicious_text() }}')
                    or braces + brackets > {{ max_json_depth() }}
                    then regexp_replace(document, '"(?:\\.|[^"\\])*"', '""', 'g')
            end as skeleton
        from shapes
    ),

    judged as (
        select
            * exclude (
                braces, brackets, skeleton{% for name, inside in nested_fields().items() if inside %}, {{ name }}_fields{% endfor %}
            ),
            case
                when rejection_reason is not null then rejection_reason
                when dlq_stage is not null then 'unspecified'
                when octet_length(value) = 0 or value is null then 'empty_value'
                when coalesce(event_id, '') = '' or coalesce(event_type, '') = '' then 'missing_header'
                when contract is null then 'missing_header'
                when contract not in ('{{ contract_names() | join("', '") }}') then 'unknown_contract'
                when occurred_at is null then 'bad_occurred_at'
                when received_at is null then 'bad_received_at'
                when body is null then 'invalid_utf8'
                -- Where an Avro body cannot be read the function gives the reason's code.
                when document is null then case when {{ is_avro() }} then body else 'malformed_json' end
                -- DuckDB's parser takes a comma before a closing bracket, and NaN.
                when regexp_matches(skeleton, ',\s*[}\]]') then 'malformed_json'
                when regexp_matches(skeleton, '(?i)nan|inf') then 'not_finite_number'
                when {{ has_number_out_of_range("skeleton") }} then 'number_out_of_range'
                when {{ is_too_deep("skeleton") }} then 'too_deep'
                when json_type(document) <> 'OBJECT' then 'not_an_object'
                when {{ has_duplicate_key("document", "braces") }} then 'duplicate_key'
                when {{ has_nul_character("document") }} then 'invalid_field'
                -- A record is filed under its occurred_at unless that is implausible: then the filed hour is another one.
                when date_trunc('hour', occurred_at) > event_hour then 'occurred_in_future'
                when date_trunc('hour', occurred_at) < event_hour then 'before_first_day'
                {{- contract_rules() }}
            end as reason
        from parsed
    )

    select
        * exclude (document),
        case
            when dlq_stage is not null then dlq_stage
            when rejection_reason is not null then 'landing'
            else 'silver'
        end as stage
    from judged
{% endmacro %}
