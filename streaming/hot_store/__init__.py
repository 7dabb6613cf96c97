"""The consumer group that moves live events from Kafka into the hot store (`storage.hot_store`), and its dead letters."""
