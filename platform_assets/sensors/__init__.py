"""Sensors, named after what they watch."""
