"""Dagster resources: the storage addresses and the dbt command line, made when a run or tick needs them."""
