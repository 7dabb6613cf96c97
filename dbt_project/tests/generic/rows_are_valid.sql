{#
  One query for what a table's rows have to be by themselves; it costs a build far less than one test for every rule. Fails for every
  key that more than one row has, and for every row against the first rule that it breaks; `rule` says which.

  filled: columns that are never null.
  known: of these columns, the only values; null aside.
  holds: further rules, a condition under each's name; a row for which it is not true breaks it.
#}
{% test rows_are_valid(model, key, filled, known={}, holds={}) %}
    {%- set rules = ["One row for each " ~ key | join(", "), "never empty: " ~ filled | join(", ")] -%}
    {%- for column, values in known.items() -%} {%- do rules.append(column ~ " is one of " ~ values | join(", ")) -%} {%- endfor -%}
    {{- config(meta={"description": (rules + holds | list) | join("; ") ~ "."}) -}}
    select
        'the key is unique' as rule,
        {{ key | join(", ") }},
        count(*) as row_count
    from {{ model }}
    group by {{ key | join(", ") }}
    having count(*) > 1
    union all by name
    select *
    from (
        select
            case
                {%- for column in filled %}
                when {{ column }} is null then '{{ column }} is filled'
                {%- endfor %}
                {%- for column, values in known.items() %}
                when {{ column }} not in ('{{ values | join("', '") }}') then '{{ column }} is known'
                {%- endfor %}
                {%- for name, condition in holds.items() %}
                when ({{ condition }}) is not true then '{{ name }}'
                {%- endfor %}
            end as rule,
            *
        from {{ model }}
    )
    where rule is not null
{% endtest %}
