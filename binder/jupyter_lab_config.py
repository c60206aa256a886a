"""Settings of JupyterLab on Binder. postBuild copies this file beside the installed packages."""

from pathlib import Path

c = get_config()  # noqa: F821  Jupyter defines it

# A link that names no page opens the first notebook, where there is one.
_first = Path("notebooks", "00_start_here.ipynb")
if _first.is_file():
    c.LabApp.default_url = f"/lab/tree/{_first.as_posix()}"
