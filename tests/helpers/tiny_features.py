"""A tiny network, tiny pictures, and real processes that extract the features of both."""

import multiprocessing
import os
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torchvision.models import ResNet18_Weights

import tlcourse as tl
from tlcourse.features import store
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Layer
from tlcourse.networks.preprocess import Preprocess
from tlcourse.tasks.split import Split

LAYERS = ("stem", "embedding")
N = 12  # pictures that other processes extract features of, in batches of 2


class TinyNet(nn.Module):
    """A convolution with a bias and one without, BatchNorms, an in-place activation, a head."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.block(self.act(self.norm(self.conv(x))))
        return self.head(x.mean(dim=(2, 3)))


def stir(model):
    """Give all weights and BatchNorm statistics values that a fold cannot overlook."""
    chance = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=chance)
        elif tensor.is_floating_point():
            tensor.normal_(0.5 if tensor.ndim == 1 else 0, 0.4, generator=chance)
    return model


def as_backbone(model, layers=None):
    """Make a backbone for pictures of 16 pixels, with weights that are always the same."""
    layers = layers or (
        Layer("stem", "norm"),
        Layer("block", "block"),
        Layer("embedding", "head", "input"),
        Layer("logits", ""),
    )
    preprocess = Preprocess.from_torchvision(ResNet18_Weights.DEFAULT.transforms()).at_size(16)
    about = (("a", "b", "c"), "made", "none", torch.device("cpu"))
    return Backbone("tiny", stir(model).eval(), preprocess, preprocess, *about, tuple(layers))


def noise(seed, size=(24, 20)):
    """Return a picture like no other."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def noise_split(numbers, opened=None, open_item=noise):
    """Return a split of pictures that are opened by number; each number opened is noted."""

    def look(number):
        if opened is not None:
            opened.append(number)
        return open_item(number)

    numbers = list(numbers)
    names = [f"noise/{number}.png" for number in numbers]
    labels = [number % 2 for number in numbers]
    return Split(numbers, labels, names, look, lambda number: f"noise {number}".encode())


# What runs in other processes


_IMPORTED_ONCE = [
    "tiny_features",  # or each process imports it, which takes seconds
    "tlcourse.features.features",
    "torch.utils.flop_counter",
    "pytest",
]


def context():
    """What starts processes: where there is one, the fork server, which has imported what is slow."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # the server gets no other
    try:
        found = multiprocessing.get_context("forkserver")
        found.set_forkserver_preload(_IMPORTED_ONCE)
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return found


class Process:
    """A function that runs in a process of its own; `result` waits for what it returns."""

    def __init__(self, function, *arguments, **options):
        self._answer, there = context().Pipe(duplex=False)
        work = (there, function, arguments, options)
        self._process = context().Process(target=_answer, args=work, daemon=True)
        self._process.start()
        there.close()

    def result(self):
        """Return what the function returned, or the error that it raised; None if it was killed."""
        answer = None
        with self._answer, suppress(EOFError):
            answer = self._answer.recv()
        self._process.join(60)
        self.exit_code = self._process.exitcode
        self._process.close()
        return answer


def _answer(there, function, arguments, options):
    torch.set_num_threads(1)
    try:
        answer = function(*arguments, **options)
    except Exception as error:
        answer = error
    there.send(answer)


def run(function, *arguments, **options):
    """Call a function in a process of its own: its exit code, and what it returned."""
    process = Process(function, *arguments, **options)
    answer = process.result()
    return process.exit_code, answer


def extract(cache, log, *, n=N, dies_at=(None, 0), room=None, start=None, **options):
    """Extract the features of noise; write the number of each opened picture to a log.

    Args:
        cache: Cache folder.
        log: File that gets a line for each picture that is opened.
        n: Number of pictures.
        dies_at: ("open" | "append" | "finish", k): the process kills itself at the k-th of these.
        room: Largest size of a file in bytes.
        start: A barrier to wait at.
        options: For `extract_features`.
    """
    os.environ["TLCOURSE_CACHE"] = str(cache)
    event, moment = dies_at
    moments = {"open": 0, "append": 0, "finish": 0}

    def reach(name):
        moments[name] += 1
        if (event, moment) == (name, moments[name]):
            os.kill(os.getpid(), signal.SIGKILL)

    def look(number):
        reach("open")
        with Path(log).open("a") as lines:  # one short line is written at once
            lines.write(f"{number}\n")
        return noise(number)

    for name in ("append", "finish"):
        real = getattr(store.Writer, name)

        def reached(*arguments, name=name, real=real):
            reach(name)
            return real(*arguments)

        setattr(store.Writer, name, reached)
    split = noise_split(range(n), open_item=look)
    backbone = as_backbone(TinyNet())
    if start is not None:
        start.wait(60)
    if room is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    options = {"layers": LAYERS, "batch_size": 2, "progress": False, **options}
    found = tl.extract_features(backbone, split, **options)
    return {name: np.array(x) for name, x in found.x.items()}


def opened_in(log):
    """Numbers of the pictures that were opened, and an empty log."""
    numbers = [int(line) for line in log.read_text().split()] if log.exists() else []
    log.unlink(missing_ok=True)
    return numbers


ROWS = np.arange(18, dtype=np.float32).reshape(6, 3)


def write_rows(cache, *, dies_at_step=None, on_step=None):
    """Write a small entry, three pieces of two rows each, and die at a step that the disk sees.

    `on_step` is called before each step, with its number.
    """
    os.environ["TLCOURSE_CACHE"] = str(cache)
    steps, busy = 0, False

    def watch(event, _):
        nonlocal steps, busy
        if busy:
            return
        if event == "open" or event.startswith(("os.", "shutil.")):
            steps += 1
            if steps == dies_at_step:
                os.kill(os.getpid(), signal.SIGKILL)
            if on_step:
                busy = True
                on_step(steps)
                busy = False

    sys.addaudithook(watch)
    writer = small_writer()
    write_rest(writer)
    writer.finish()
    return steps


def write_and_copy(cache, copies):
    """Do the same, and copy before each step what a kill at this moment would leave."""

    def copy(step):
        if cache.exists():
            shutil.copytree(cache, copies / str(step))

    return write_rows(cache, on_step=copy)


def write_rest(writer):
    """Append the rows that are not there yet, two at a time."""
    for start in range(writer.done, len(ROWS), 2):
        writer.append(ROWS[start : start + 2], 0.5)


def small_entry():
    """Return the entry that `write_rows` writes."""
    about = {"task": "noise", "backbone": "tiny", "pool": "mean", "layer": "stem", "pictures": 6}
    return store.Entry("0123abcd", about)


def small_writer(n=6):
    """Begin, or go on with, that entry."""
    return store.Writer(small_entry(), n)


def small_load():
    """Read that entry; None if it is not whole. A damaged one is removed."""
    return store._load_all({"it": small_entry()}, len(ROWS), fix=True).get("it")


def with_mean(backbone, mean):
    """Return the backbone with another mean that the preprocessing subtracts."""
    transform = ResNet18_Weights.DEFAULT.transforms()
    transform.mean = mean
    preprocess = Preprocess.from_torchvision(transform).at_size(16)
    return replace(backbone, preprocess=preprocess)


def pipeline(x, strength):
    """Scikit-learn's answer for features that are centred and divided by one number.

    To divide the features by it is the same as to divide the strength by its square.
    """
    variance = x.var(axis=0).mean()
    regression = LogisticRegression(C=strength / variance, max_iter=5000, tol=1e-6)
    return make_pipeline(StandardScaler(with_std=False), regression)
