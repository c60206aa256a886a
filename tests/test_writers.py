"""Each writer is killed at many moments and meets a full disk; see `helpers/faults.py`."""

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

pytest.importorskip("resource", reason="processes are killed by signals of POSIX")
from ready import Ready
from tiny_comparisons import compared, labelled_task, network_for
from tiny_tasks import picture
from writers import WRITERS

import tlcourse as tl

HELPERS = Path(__file__).parent / "helpers"
IMPORTED = [
    "sklearn.linear_model",
    "torch.utils.flop_counter",
    "torchvision.models",
    "timm",
    "writers",
]


@pytest.fixture(scope="module")
def ready():
    own = {
        "PYTHONPATH": os.pathsep.join([str(HELPERS.parents[1]), str(HELPERS), str(HELPERS.parent)])
    }
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
def test_a_killed_writer_loses_nothing_and_leaves_nothing_half(seen, name):
    found = seen(name)
    kills = [kill for kill in found["kills"] if kill["status"] == -signal.SIGKILL]
    assert len(kills) >= 20
    assert sum(kill["how"] == "step" for kill in kills) >= 2  # in the middle for certain
    assert {k["status"] for k in found["kills"]} <= {-signal.SIGKILL, -signal.SIGXFSZ}
    assert [wrong for wrong in found["wrong"] if "disk" not in wrong.partition(":")[0]] == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(seen, name):
    found = seen(name)
    assert [wrong for wrong in found["wrong"] if "disk" in wrong.partition(":")[0]] == []
    assert found["full"][0]["found"] == "old"  # nothing had room
    said = [disk["said"] for disk in found["full"] if disk["status"]]
    assert said or name == "progress"  # which goes on without a file
    # One sentence, so that the traceback's last line begins with its type.
    assert all(text.rstrip().splitlines()[-1].startswith("tlcourse.errors.") for text in said)


PREPARED = """
import sys, time
from pathlib import Path
import tlcourse as tl
from test_writers import prepared
from tlcourse.cli.app import main

own = int(sys.argv.pop())

def compare(*_, **__):
    made = prepared(own)
    Path(f"ready{own}").touch()
    while not (Path("ready0").exists() and Path("ready1").exists()):
        time.sleep(0.01)
    return made

tl.compare = compare
main()
"""


def prepared(i):
    """A comparison that differs from the other one in its table and in its network."""
    task = labelled_task(12)
    wrong = {"test": range(i + 1), "val": range(i + 1)}
    return compared(task, {"fine_tune": wrong}, network=network_for(task, seed=i))


def test_two_comparisons_at_once_into_one_folder_leave_one_whole(ready, tmp_path):
    """The command twice, which write at the same time; what they found was prepared."""
    for label in (0, 1):
        (tmp_path / "colours" / f"{label}").mkdir(parents=True)
        for i in range(4):
            image = Image.fromarray(picture(label, i))
            image.save(tmp_path / "colours" / f"{label}" / f"{i}.png")
    (tmp_path / "prepared.py").write_text(PREPARED)
    command = ["prepared.py", "compare", "colours", "--backbone", "squeezenet1_1", "--out", "mine"]
    cache = {"TLCOURSE_CACHE": str(tmp_path / "cache")}
    runs = [
        ready.start(*command, i, log=tmp_path / f"log{i}", cwd=tmp_path, environment=cache)
        for i in (0, 1)
    ]
    assert [run.wait(300) for run in runs] == [0, 0], [run.said for run in runs]
    mine = tmp_path / "mine"
    table = pd.read_csv(mine / "results.csv", index_col="pattern")
    i = round((1 - table.accuracy["fine_tune"]) * 12) - 1
    assert f"{table.accuracy['fine_tune']:.3f}" in (mine / "report.html").read_text("utf-8")
    found, expected = tl.load_result(mine / "model"), prepared(i).results["fine_tune"]
    assert found.test_accuracy == expected.test_accuracy
    weights = expected.backbone.model.state_dict()
    for name, tensor in found.backbone.model.state_dict().items():
        torch.testing.assert_close(tensor, weights[name])  # sums by other threads
    hidden = [path.name for path in tmp_path.glob(".*")]
    assert hidden == []
