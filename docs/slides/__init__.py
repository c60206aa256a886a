"""Slides made from the course's notebooks; `python docs/make_slides.py` writes them."""
