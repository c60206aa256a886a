"""The web page, made from the notebooks with their saved outputs; `python -m tools.site` makes it."""
