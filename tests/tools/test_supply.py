"""What ships is listed with its digest, and the look at other packages says what it did not see."""

import hashlib
import shutil
from pathlib import Path

from tools import supply

ROOT = Path(__file__).parents[2]


def test_each_file_of_data_is_listed_with_its_sha256():
    listed = dict(
        reversed(line.split("  ", 1)) for line in supply.SUMS.read_text("utf-8").splitlines()
    )
    data = ROOT / "tlcourse" / "data"
    there = {p.relative_to(data).as_posix(): p for p in data.rglob("*") if p.is_file()}
    del there["SHA256SUMS"]
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in there.items()}
    assert found == listed, "after a change of data: python -m tools.supply --sums"


def test_a_changed_a_new_and_a_missing_file_change_the_list(tmp_path):
    data = tmp_path / "data"
    shutil.copytree(ROOT / "tlcourse" / "data" / "things", data)
    before = supply.sums(data)
    first, second, *_ = sorted(path for path in data.rglob("*.webp"))
    with first.open("ab") as stream:
        stream.write(b"?")
    second.rename(data / "new.webp")
    changed = set(before.splitlines()) ^ set(supply.sums(data).splitlines())
    assert {line.split("  ")[1] for line in changed} == {
        first.relative_to(data).as_posix(),
        second.relative_to(data).as_posix(),
        "new.webp",
    }


def test_packages_that_were_not_looked_up_are_told():
    audited = {
        "dependencies": [
            {"name": "good", "version": "1.0", "vulns": []},
            {"name": "hidden", "skip_reason": "Dependency not found on PyPI"},
            {
                "name": "bad",
                "version": "2.0",
                "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}],
            },
        ]
    }
    assert supply.findings(audited) == (["bad 2.0: PYSEC-1, fixed in 2.1"], ["hidden"])
