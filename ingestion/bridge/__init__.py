"""Downloads that clients write to Kafka themselves, on their way to the topic that is landed: judged and stamped, the bytes as they are."""
