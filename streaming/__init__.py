"""What continuously runs after Kafka: landing jobs and their transforms. No Dagster, no HTTP."""
