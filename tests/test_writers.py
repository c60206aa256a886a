"""Each writer is killed at many moments and meets a full disk; see `helpers/faults.py`."""

import json
import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="processes are killed by signals of POSIX")
from ready import Ready
from writers import WRITERS

HELPERS = Path(__file__).parent / "helpers"
IMPORTED = [
    "nbconvert",
    "onnxscript",
    "pyarrow.parquet",
    "sklearn.linear_model",
    "torch.export",
    "torch.utils.flop_counter",
    "torchvision.models",
    "timm",
    "typer.testing",
]


@pytest.fixture(scope="module")
def ready():
    own = {"PYTHONPATH": os.pathsep.join([str(HELPERS.parents[1]), str(HELPERS)])}
    with Ready(*IMPORTED, environment=os.environ | own | {"OMP_NUM_THREADS": "1"}) as ready:
        yield ready


@pytest.fixture(scope="module")
def seen(ready, tmp_path_factory):
    """What has become of each writer, by name."""
    known = {}

    def look(name):
        if name not in known:
            place = tmp_path_factory.mktemp(name)
            (place / "trial").mkdir()
            log = place / "log"
            trial = ready.start(HELPERS / "faults.py", name, place / "trial", log=log, cwd=place)
            assert trial.wait(300) == 0, trial.said
            known[name] = json.loads((place / "trial" / "seen.json").read_text())
        return known[name]

    return look


@pytest.mark.parametrize("name", WRITERS)
def test_a_killed_writer_loses_nothing_and_leaves_nothing_half(seen, name, record_property):
    found = seen(name)
    kills = [kill for kill in found["kills"] if kill["status"] == -signal.SIGKILL]
    assert len(kills) >= 20
    assert sum(kill["how"] == "step" for kill in kills) >= 3  # in the middle for certain
    assert {k["status"] for k in found["kills"]} <= {-signal.SIGKILL, -signal.SIGXFSZ}
    assert [wrong for wrong in found["wrong"] if "disk" not in wrong.partition(":")[0]] == []
    counts = {state: sum(k["found"] == state for k in kills) for state in ("old", "some", "new")}
    record_property(name, f"{len(kills)} kills, found afterwards {counts}")  # in --junitxml


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(seen, name):
    found = seen(name)
    assert [wrong for wrong in found["wrong"] if "disk" in wrong.partition(":")[0]] == []
    assert found["full"][0]["found"] == "old"  # nothing had room
    said = [disk["said"] for disk in found["full"] if disk["status"]]
    assert said or name == "progress"  # which goes on without a file
    assert all(
        "CourseError: " in text and "\n" not in text.rpartition("Error: ")[2].strip()
        for text in said
    )
