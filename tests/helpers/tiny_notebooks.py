"""Notebooks made of a few lines, to try the command line on."""

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

# A picture of one pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def write_notebook(path, *sources, seconds=60):
    cells = [new_code_cell(source) for source in sources]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"tlcourse": {"seconds": seconds}}), path)
    return path
