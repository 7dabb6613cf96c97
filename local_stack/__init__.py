"""Everything on one machine: jars, broker, PostgreSQL, supervisor, ports."""
