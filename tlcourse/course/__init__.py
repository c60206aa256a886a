"""Exercises, guesses, progress, and the notebooks themselves."""
