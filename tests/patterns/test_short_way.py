"""The way from a folder of pictures to a printed accuracy is short, and opens no picture twice in vain.

The walk runs in a process of its own, so that nothing is loaded or remembered before.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

WALK = """
import collections, json, pathlib, sys, threading
import torch
from PIL import Image
import tlcourse as tl

folder, pattern, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
package = str(pathlib.Path(tl.__file__).parent)
backbone = tl.load_backbone("timm/test_resnet", pretrained=False, device="cpu").at_size(64)
# The package's own lazy loading counts: comprehensions, lambdas and the bodies of classes too.
functions, opened, decoded = set(), collections.Counter(), []

def watch_calls(frame, event, _):
    name = frame.f_code.co_filename
    if event == "call" and name.startswith(package) and frame.f_code.co_name != "<module>":
        functions.add((name, frame.f_code.co_qualname, frame.f_code.co_firstlineno))

def watch_files(event, details):
    if event == "open" and str(details[0]).endswith(".jpg"):
        opened[str(details[0])] += 1

real = Image.open
def watch_pictures(*arguments, **options):
    decoded.append(1)
    return real(*arguments, **options)

Image.open = watch_pictures
sys.addaudithook(watch_files)
threading.setprofile(watch_calls)
sys.setprofile(watch_calls)
task = tl.load_task(folder)
print(getattr(tl.patterns, pattern)(backbone, task, progress=False, **options), file=sys.stderr)
sys.setprofile(None)
print(json.dumps({
    "files": sorted({name[len(package) + 1:] for name, _, _ in functions}),
    "functions": sorted(f"{name[len(package) + 1:]}:{function}:{line}" for name, function, line in functions),
    "most_opens": max(opened.values()), "pictures": len(opened), "decoded": len(decoded),
}))
"""


@pytest.fixture
def folder(tmp_path):
    """Two classes of twelve JPEGs."""
    for i in range(24):
        place = tmp_path / "pets" / ("cats", "dogs")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(i).integers(0, 256, (80, 96, 3), dtype=np.uint8)
        Image.fromarray(values).save(place / f"{i:02d}.jpg")
    return tmp_path / "pets"


def walk(folder, pattern, **options):
    environment = {**os.environ, "TLCOURSE_CACHE": str(folder.parent / "cache")}
    command = [sys.executable, "-c", WALK, str(folder), pattern, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_simplest_pattern_goes_through_few_rooms_and_opens_each_picture_twice(folder):
    way = walk(folder, "standalone_extractor")
    assert way["pictures"] == 24
    assert way["most_opens"] <= 2  # to see whether it is whole, and to compute with it
    assert way["decoded"] <= 48
    assert len(way["files"]) <= 24, way["files"]
    assert len(way["functions"]) <= 150, way["functions"]


def test_a_frozen_extractor_without_augmentation_opens_each_picture_twice(folder):
    way = walk(folder, "frozen_extractor", augment=False, epochs=2)
    assert way["pictures"] == 24
    assert way["most_opens"] <= 2
    assert way["decoded"] <= 48
