"""Jobs that run continuously after Kafka: each module has a main()."""
