"""The HTTP edge: validate, stamp, produce, answer after the broker's acknowledgement."""
