"""All patterns on one task, in a given time."""
