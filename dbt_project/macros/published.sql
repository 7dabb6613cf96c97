{#-
  on-run-start, after the inputs are known to be there: a view in the build file for every published table that is a source. It has the
  columns that the source declares: one that is not published yet is null, so that changed code may add a column and read it, and a
  table that is not published yet is empty.
-#}
{% macro prepare_published() %}
    {%- if execute and flags.WHICH in ("build", "run") -%}
        {%- set published = published_columns() -%}
        {%- for source in graph.sources.values() if source.schema.startswith("published_") %}
            {%- set layer = source.schema[10:] -%}
            {%- set present = published.get(layer ~ "." ~ source.identifier, []) %}
            create schema if not exists {{ source.schema }};
            create or replace view {{ source.schema }}.{{ source.identifier }} as
            select
                {%- for column in source.columns.values() %}
                {{ column.name if column.name in present else "null::" ~ column.data_type ~ " as " ~ column.name }}
                {{- "," if not loop.last }}
                {%- endfor %}
            {{ "from lake." ~ layer ~ "." ~ source.identifier if present else "where false" }};
        {%- endfor %}
    {%- endif -%}
{% endmacro %}

{#- Column names by "schema.table" of the lake as of the base. -#}
{% macro published_columns() %}
    {%- set tables = {} -%}
    {%- for row in run_query("select schema_name, table_name, column_name from duckdb_columns() where database_name = 'lake'").rows -%}
        {%- do tables.setdefault(row[0] ~ "." ~ row[1], []).append(row[2]) -%}
    {%- endfor -%}
    {{ return(tables) }}
{% endmacro %}
