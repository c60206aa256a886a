"""Slides made from the course's notebooks; `python -m tools.slides` writes them."""
