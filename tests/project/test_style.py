"""The code and the notebooks keep to the style and the order that pyproject.toml asks for."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tlcourse"


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "ruff", "check", "--no-cache", "."],
        ["-m", "ruff", "format", "--check", "--no-cache", "."],
        ["-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        ["-m", "mypy", "--cache-dir", "{cache}"],
    ],
    ids=["style", "format", "order of imports", "types"],
)
def test_a_tool_finds_nothing(command, tmp_path):
    command = [part.format(cache=tmp_path) for part in command]
    ran = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_an_import_that_points_up_is_found(tmp_path):
    """The contract has teeth: imports inside functions count, too."""
    for path in [*PACKAGE.rglob("*.py"), ROOT / "pyproject.toml"]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    with (tmp_path / "tlcourse" / "base" / "machine.py").open("a", encoding="utf-8") as module:
        module.write("\n\ndef upward():\n    from tlcourse.tasks import load\n\n    return load\n")
    command = ["-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    ran = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "tlcourse.base is not allowed to import tlcourse.tasks" in ran.stdout


def test_every_module_can_be_found():
    modules = list(PACKAGE.rglob("*.py"))
    assert not [p for p in modules if p.name.startswith("_") and not p.name.startswith("__")]
    assert len(list(PACKAGE.glob("*.*"))) <= 8
