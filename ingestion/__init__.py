"""The edge: contracts, HTTP API, sinks, importers, generators. Nothing downstream of Kafka."""
