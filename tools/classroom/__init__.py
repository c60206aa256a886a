"""A stick from which a class installs the course; `python -m tools.classroom` fills it."""
