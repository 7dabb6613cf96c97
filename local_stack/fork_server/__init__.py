"""A process that has imported Dagster, dbt and our definitions, and forks runs and dbt commands that then need not: decision 0009."""
