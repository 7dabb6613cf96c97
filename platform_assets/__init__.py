"""Dagster: the thin edge that watches bronze, builds windows by dbt and publishes them."""
