{#-
  The run's window: which hours are built, how a model says so, and the refusal where nobody said.

  Bounds come from dbt's own flags at execution (a changed var would parse the whole project again); the exact hours from the table
  build_window.hours, made here from the plugin's list or else from the bounds. `test` and `docs` work on a file that is already built
  and have no such flags: they see the hours alone.

  An hour grows when its read_until is a stamp of bronze: records up to it are published, the build holds the later ones, and a model that
  needs the others reads them as published. Any other hour has the epoch there and is built whole. Both are the same SQL.
-#}

{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}

{#- [start, end) as strings of UTC times, or none where the command has no window. Build and run without one are refused. -#}
{% macro window_bounds() %}
    {%- if not execute -%} {{ return(none) }} {%- endif -%}
    {%- set start = invocation_args_dict.get("event_time_start") -%}
    {%- set end = invocation_args_dict.get("event_time_end") -%}
    {%- if start and end -%}
        {%- if start.minute or start.second or end.minute or end.second -%}
            {{ exceptions.raise_compiler_error("The window " ~ start ~ " to " ~ end ~ " does not begin and end on full hours.") }}
        {%- endif -%}
        {{ return([start | string | replace("T", " ") | truncate(19, true, "", 0), end | string | replace("T", " ") | truncate(19, true, "", 0)]) }}
    {%- elif flags.WHICH in ("build", "run") -%}
        {{ exceptions.raise_compiler_error(
            "A build covers a window of hours, and none was given. Add --event-time-start and --event-time-end, in UTC, for instance "
            "--event-time-start 2026-01-01T10:00:00 --event-time-end 2026-01-01T11:00:00 (the end is not part of it)."
        ) }}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}

{#- True for rows of the hours being built. The constant bounds prune files; the table is exact. -#}
{% macro in_window(column) -%}
    {%- set bounds = window_bounds() -%}
    {%- if bounds -%}
        {{ column }} >= timestamptz '{{ bounds[0] }}+00' and {{ column }} < timestamptz '{{ bounds[1] }}+00' and {% endif -%}
    {{ column }} in (select hours.hour from build_window.hours as hours)
{%- endmacro %}

{#- True for the records that are being built: those of the window that are not published yet, or all of an hour that is built whole. -#}
{% macro in_build(hour, ingested_at) -%}
    {{ in_window(hour) }}
    {%- set earliest = earliest_cutoff() -%}
    {%- if earliest %}
        and {{ ingested_at }} > timestamptz '{{ earliest }}' {% endif %}
        and {{ ingested_at }} > (select hours.read_until from build_window.hours as hours where hours.hour = {{ hour }})
{%- endmacro %}

{#- True for published rows that the build adds to: those of growing hours. None when no hour grows. -#}
{% macro in_growing_hours(column) -%}
    {%- set bounds = window_bounds() -%}
    {%- if bounds -%}
        {{ column }} >= timestamptz '{{ bounds[0] }}+00' and {{ column }} < timestamptz '{{ bounds[1] }}+00' and {% endif -%}
    {{ column }} in (select hours.hour from build_window.hours as hours where hours.read_until > timestamptz 'epoch')
{%- endmacro %}

{#- True for the window's days of which every hour that is built grows. -#}
{% macro on_growing_days(column) -%}
    {{ on_window_days(column) }}
    and {{ column }} not in (select hours.hour::date from build_window.hours as hours where hours.read_until = timestamptz 'epoch')
{%- endmacro %}

{#- The lowest read_until of the window, as a constant that prunes files; none where only the table is at hand. -#}
{% macro earliest_cutoff() %}
    {%- if not execute or not window_bounds() -%} {{ return(none) }} {%- endif -%}
    {{ return(run_query("select min(read_until)::varchar from build_window.hours").rows[0][0]) }}
{% endmacro %}

{#- True for the UTC days of the hours being built. -#}
{% macro on_window_days(column) -%}
    {{ near_window(column, 0) }} and {{ column }} in (select hours.hour::date from build_window.hours as hours)
{%- endmacro %}

{#- True for the days of the window and so many days before and after it. Constants where the bounds are known: they prune files. -#}
{% macro near_window(column, days) -%}
    {%- set bounds = window_bounds() -%}
    {%- if bounds -%}
        {{ column }} between date '{{ bounds[0][:10] }}' - {{ days }}
        and (timestamp '{{ bounds[1] }}' - interval 1 microsecond)::date + {{ days }}
    {%- else -%}
        {{ column }} between (select min(hours.hour)::date from build_window.hours as hours) - {{ days }}
        and (select max(hours.hour)::date from build_window.hours as hours) + {{ days }}
    {%- endif %}
{%- endmacro %}

{#- on-run-start: refuses a build without a window or without its inputs, and notes the hours in build_window.hours. -#}
{% macro prepare_window() %}
    {%- if execute and flags.WHICH in ("build", "run") -%}
        {%- set bounds = window_bounds() -%}
        {%- set inputs = run_query(
            "select count(*) filter (database_name = 'lake'), (select count(*) from duckdb_views() where schema_name = 'bronze' and view_name = 'events') from duckdb_databases()"
        ).rows[0] -%}
        {%- if inputs[0] == 0 or inputs[1] == 0 -%}
            {{ exceptions.raise_compiler_error(
                "A build reads bronze and the published lake, and " ~ ("the lake" if inputs[0] == 0 else "bronze") ~ " is not attached. "
                "Set TIDEMARK_BUILD_FILE, TIDEMARK_BUILD_CATALOG and TIDEMARK_BUILD_BRONZE_URI; see dbt_project/README.md."
            ) }}
        {%- endif -%}
        {%- set outside = run_query(
            "select min(hour)::varchar from build_window.requested_hours where hour < timestamptz '" ~ bounds[0] ~ "+00' or hour >= timestamptz '" ~ bounds[1] ~ "+00'"
        ).rows[0][0] -%}
        {%- if outside -%}
            {{ exceptions.raise_compiler_error(
                "TIDEMARK_BUILD_HOURS has the hour " ~ outside ~ ", which is outside of the window [" ~ bounds[0] ~ ", " ~ bounds[1] ~ ")."
            ) }}
        {%- endif -%}
        create or replace table build_window.hours as
        select
            hour,
            read_until
        from build_window.requested_hours
        union all
        select
            unnest(generate_series(
                date_trunc('hour', timestamptz '{{ bounds[0] }}+00'),
                timestamptz '{{ bounds[1] }}+00' - interval 1 microsecond,
                interval 1 hour
            )),
            timestamptz 'epoch'
        where not exists (select 1 from build_window.requested_hours)
    {%- endif -%}
{% endmacro %}
