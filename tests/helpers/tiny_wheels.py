"""Package indexes of tiny wheels, on disk, for the tests of the offline classroom."""

import hashlib
import zipfile
from importlib import metadata

DOCTOR = "import sys\nprint('tiny', sys.argv[1:])\n"


def make_wheel(folder, name, version, *, needs=(), python=">=3.11", tag="py3-none-any", files=()):
    """Write one wheel; `files` are pairs of path and text."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {python}", *(f"Requires-Dist: {text}" for text in needs)]
    held = {
        **dict(files or [(f"{name}/__init__.py", "")]),
        f"{about}/METADATA": "\n".join(lines) + "\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    held[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*held, f"{about}/RECORD"])
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, text in held.items():
            wheel.writestr(zipfile.ZipInfo(inside), text)  # always the same bytes
    return path


def make_pip(folder):
    """Pack the pip that runs here into a wheel again."""
    pip = metadata.distribution("pip")
    path = folder / f"pip-{pip.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in pip.files:
            if file.parts[0] != ".." and "__pycache__" not in file.parts:
                wheel.write(file.locate(), file.as_posix())
    return path


def make_index(folder, wheels):
    """The pages that pip and uv read: one for each package, with the SHA-256 of its wheels."""
    for path in wheels:
        page = folder / path.name.split("-")[0].replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with page.open("a") as text:
            text.write(f'<a href="{path.as_uri()}#sha256={digest}">{path.name}</a>\n')
    return folder.as_uri()
