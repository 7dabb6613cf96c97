"""Live windows as they rest in PostgreSQL: minutes, what was left out of them, roll-ups, alerts, and their comparison with gold."""
