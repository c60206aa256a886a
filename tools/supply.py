"""What the course brings to a machine: known vulnerabilities, licences, a bill of materials.

`python -m tools.supply --out FOLDER` writes three files about the exact versions in
constraints.txt, with the tools of the extra `release`:

    audit.json       what pip-audit knows of vulnerabilities; it asks the package index
    licences.md      version and licence of each of these packages that is installed here
    bom.json         the bill of materials, in the format CycloneDX, checked against its schema

It ends with status 1 if a vulnerability is known, or if a package could not be looked up: then
nothing is known about it. `--sums` writes `tlcourse/data/SHA256SUMS` again, after a change of data.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tlcourse.base.files import save_file, sha256_of

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tlcourse" / "data"
SUMS = DATA / "SHA256SUMS"
CONSTRAINTS = ROOT / "constraints.txt"


def sums(data: Path = DATA) -> str:
    """Digest and name of each file of a folder, as `sha256sum -c` reads them."""
    files = sorted(p.relative_to(data).as_posix() for p in data.rglob("*") if p.is_file())
    return "".join(f"{sha256_of(data / n)}  {n}\n" for n in files if n != SUMS.name)


def audit(out: Path) -> dict[str, Any]:
    """Let pip-audit ask the package index for vulnerabilities, and give its answer."""
    options = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json"]
    _run("pip_audit", "--requirement", CONSTRAINTS, *options, "--output", out, fine=(0, 1))
    return json.loads(out.read_text("utf-8"))


def findings(audited: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What an answer of pip-audit says.

    Returns:
        A line for each vulnerability, and the packages that it could not look up. pip-audit itself
        says "No known vulnerabilities found" after it has looked up none.
    """
    known, unknown = [], []
    for package in audited["dependencies"]:
        if "skip_reason" in package:
            unknown.append(package["name"])
        for found in package.get("vulns", []):
            fixed = ", ".join(found["fix_versions"]) or "no version"
            known.append(f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
    return known, unknown


def licences(out: Path) -> int:
    """Let pip-licenses write the table; how many packages of constraints.txt it has."""
    names = [line.split("==")[0] for line in CONSTRAINTS.read_text("utf-8").splitlines()[2:]]
    options = ["--with-system", "--from=mixed", "--format=markdown", f"--output-file={out}"]
    _run("piplicenses", *options, "--packages", *names)
    return len(out.read_text("utf-8").splitlines()) - 2


def bill_of_materials(out: Path) -> int:
    """Let CycloneDX write and check the bill of materials; how many packages it has."""
    options = ["--pyproject", ROOT / "pyproject.toml", "--mc-type", "library", "--validate"]
    options += ["--output-reproducible", "--output-format", "JSON", "--output-file", out]
    _run("cyclonedx_py", "requirements", *options, CONSTRAINTS)
    return len(json.loads(out.read_text("utf-8"))["components"])


def _run(module: str, *options: object, fine: Sequence[int] = (0,)) -> None:
    command = [sys.executable, "-m", module, *map(str, options)]
    ran = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if ran.returncode not in fine:
        sys.exit(f"{module} failed:\n{ran.stderr}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "supply", help="folder (default: build/supply)"
    )
    parser.add_argument("--sums", action="store_true", help="only write SHA256SUMS again")
    options = parser.parse_args()
    if options.sums:
        save_file(SUMS, sums().encode())
        return
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{licences(options.out / 'licences.md')} packages with their licences")
    print(f"{bill_of_materials(options.out / 'bom.json')} packages in the bill of materials")
    known, unknown = findings(audit(options.out / "audit.json"))
    print(*known, f"{len(known)} known vulnerabilities", sep="\n")
    if unknown:
        print(f"{len(unknown)} packages could not be looked up: nothing is known about them")
    print(f"All is in {options.out}")
    sys.exit(bool(known or unknown))


if __name__ == "__main__":
    main()
