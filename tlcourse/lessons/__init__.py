"""The exercises of each notebook: `nb00.py` belongs to `notebooks/00_*.ipynb`, and so on.

Each module holds `EXERCISES`, a tuple of `tlcourse._exercise.Exercise`. Answers live here, so this
is the folder not to open before you have tried.
"""
