"""Letters, then digits: what a minute of pre-training on the right pictures is worth (notebook 10).

    python -m benchmarks.letters --save

A small network is trained on printed letters and reads handwritten digits, with few labels of each.
It is compared with the same network from scratch and with random weights, with the pixels, and with
the ImageNet network. Five draws, each with letters, first weights, splits and labelled digits of its
own. Layers and rates are those with the highest mean on the validation digits; the test digits are
for the last number only. Probes see no validation picture: they take the strength that
`tl.fit_probe` has by default. `--save` writes to `tlcourse/data/runs.json`, as `benchmarks/wins.py`
does. All of it takes about 20 minutes on 2 slow cores.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import tlcourse as tl
from benchmarks.recording import Row, record
from benchmarks.wins import digits
from tlcourse.networks.preprocess import Preprocess

DRAWS = range(5)
PER_CLASS = (1, 2, 5, 10, 30)
SIDE = 16  # pixels that the small network takes
PRETRAINING = {"steps": 800, "rate": 4e-3, "batch": 128}
STEPS, BATCH = 200, 32  # of a training on digits
RATES = {"own network, fine-tuned": (1e-4, 3e-4, 1e-3), "from scratch": (1e-3, 3e-3, 1e-2)}
STAGES = ("stage1", "stage2", "stage3")  # as the notebook's network names them
IMAGENET = tuple(f"stage{i}" for i in range(2, 8))

Scores = tuple[float, ...]  # on the validation and on the test pictures
_preprocess = Preprocess.from_size(SIDE)


# The network and its training, as the notebook writes them


def stage(before: int, after: int, side: int) -> nn.Sequential:
    """Convolution, normalisation, activation, and half of the side."""
    convolution = nn.Conv2d(before, after, side, padding=side // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2))


def network(n_classes: int) -> nn.Sequential:
    """The small network: pictures (N, 3, 16, 16) to scores (N, classes)."""
    return nn.Sequential(
        *(stage(3, 32, 5), stage(32, 64, 3), stage(64, 128, 3)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, n_classes)),
    )


def train(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, steps: int, rate: float, batch: int
) -> list[float]:
    """Train a network in the mode that it is in, on random batches; return the losses."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(x), (min(batch, len(x)),))
        loss = functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def tensors(split: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """All pictures of a split as (N, 3, 16, 16), and their labels (N,)."""
    x = torch.stack([_preprocess(picture) for picture, _ in split])
    return x, torch.from_numpy(split.labels)


def pretrained(task: tl.Task, seed: int, steps: int = PRETRAINING["steps"]) -> nn.Sequential:
    """Train the small network on all training pictures of a task."""
    torch.manual_seed(seed)
    model = network(len(task.classes)).train()
    train(model, *tensors(task.train), **PRETRAINING | {"steps": steps})
    return model.eval()


def letters(seed: int) -> tl.Task:
    """28,080 letters to learn from, 1,560 for the validation and for the test."""
    return tl.load_task("letters", seed=seed, val_fraction=0.05, test_fraction=0.05)


# What is compared


def maps(model: nn.Sequential, x: torch.Tensor) -> dict[str, np.ndarray]:
    """What each stage gives, all of its map in a row: (N, C * H * W)."""
    values = {}
    with torch.inference_mode():
        for name, part in zip(STAGES, model, strict=False):
            x = part(x)
            values[name] = x.flatten(1).numpy()
    return values


@dataclass(frozen=True)
class Draw:
    """One draw of the digits: which are labelled, which are for validation and for the test."""

    labels: np.ndarray
    train: np.ndarray  # places among all digits
    val: np.ndarray
    test: np.ndarray

    def probe(self, x: np.ndarray) -> Scores:
        """Accuracy on the validation and on the test digits of a probe on features (1797, D)."""
        fitted = tl.fit_probe(x[self.train], self.labels[self.train])
        return tuple(
            float((fitted.logits(x[rows]).argmax(axis=1) == self.labels[rows]).mean())
            for rows in (self.val, self.test)
        )

    def network(self, model: nn.Module, x: torch.Tensor) -> Scores:
        """The same of a finished network on pictures (1797, 3, 16, 16)."""
        y = torch.from_numpy(self.labels)
        return tuple(share_right(model, x[rows], y[rows]) for rows in (self.val, self.test))


def draw_of(seed: int, per_class: int, labels: np.ndarray) -> Draw:
    """The digits of `benchmarks/wins.py`: `per_class` labelled ones, 1,078 for the test."""
    task = digits(seed, per_class)
    return Draw(labels, *(places(getattr(task, name)) for name in ("train", "val", "test")))


def places(split: Any) -> np.ndarray:
    """Where the pictures of a split stand among scikit-learn's digits; their names say it."""
    return np.array([int(name.partition("/")[2]) for name in split.names])


def share_right(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Share of the pictures that a network puts into their class."""
    with torch.inference_mode():
        return float((model.eval()(x).argmax(dim=1) == y).float().mean())


def tuned(own: nn.Sequential, x: torch.Tensor, y: torch.Tensor, rate: float) -> nn.Sequential:
    """Go on with the letters' network: a fitted head, then all of it moves."""
    body = copy.deepcopy(
        own[:-1]
    ).eval()  # also while it is trained: BatchNorm keeps its statistics
    with torch.no_grad():
        features = body(x).numpy()
    model = nn.Sequential(*body, tl.fit_probe(features, y.numpy()).as_head())
    train(model, x, y, steps=STEPS, rate=rate, batch=BATCH)
    return model


def scratch(x: torch.Tensor, y: torch.Tensor, rate: float) -> nn.Sequential:
    """The same network from random weights, on the labelled digits alone."""
    model = network(10).train()
    train(model, x, y, steps=STEPS, rate=rate, batch=BATCH)
    return model.eval()


def all_digits() -> tuple[torch.Tensor, dict[tuple[str, str], np.ndarray]]:
    """All digits as (1797, 3, 16, 16), and what needs no draw: pixels and the ImageNet network."""
    task = tl.load_task("digits")
    splits = (task.train, task.val, task.test)
    order = np.concatenate([places(split) for split in splits]).argsort()
    x = torch.cat([tensors(split)[0] for split in splits])[order]
    imagenet = tl.load_backbone().at_size(96)
    features = tl.extract_features(
        imagenet, task, [*IMAGENET, "embedding"], pool="none", progress=False
    )
    values = {("pixels", "pixels"): np.concatenate([split.raw for split in splits])[order]}
    for name, stored in features.x.items():
        maps = np.asarray(stored)[order]
        if name == "embedding":
            values["ImageNet, last layer", name] = maps
            continue
        values["ImageNet, probe", name] = maps.mean(axis=(2, 3))
        if name != "stage2":  # 13,824 numbers
            values["ImageNet, whole maps", name] = maps
    return x, {key: value.reshape(len(value), -1) for key, value in values.items()}


def letters_to_digits() -> Iterator[Row]:
    """Each row of the comparison, for each draw and number of labels."""
    x, fixed = all_digits()
    labels = load_digits().target.astype(np.int64)
    y = torch.from_numpy(labels)
    tried: list[Row] = []  # with every layer and rate
    for seed in DRAWS:
        source = letters(seed)
        began = time.perf_counter()
        own = pretrained(source, seed)
        seconds = time.perf_counter() - began
        held_out = share_right(own, *tensors(source.test))
        yield {"input": "letters", "draw": seed, "held_out": held_out, "seconds": seconds}
        torch.manual_seed(100 + seed)
        random = network(len(source.classes)).eval()
        values = dict(fixed)
        for name, model in {"own network, probe": own, "random weights, probe": random}.items():
            values |= {(name, stage): v for stage, v in maps(model, x).items()}
        for n in PER_CLASS:
            draw = draw_of(seed, n, labels)
            told = {"draw": seed, "per_class": n}
            for (name, layer), features in values.items():
                scores = draw.probe(features)
                tried.append({"input": name, **told, "layer": layer, "scores": scores})
            few = x[draw.train], y[draw.train]
            for name, rates in RATES.items():
                for rate in rates:
                    torch.manual_seed(seed)
                    begin = scratch if name == "from scratch" else partial(tuned, own)
                    scores = draw.network(begin(*few, rate), x)
                    tried.append({"input": name, **told, "rate": rate, "scores": scores})
        print(f"  draw {seed} is done", flush=True)
    yield from chosen_rows(tried)


def chosen_rows(tried: Sequence[Row]) -> Iterator[Row]:
    """Of each row take the layer, or for each number of labels the rate, best on validation."""
    table = pd.DataFrame(tried)
    table["val"] = [scores[0] for scores in table["scores"]]  # the other number chooses nothing
    for _, rows in table.groupby("input", sort=False):
        if rows["rate"].isna().all():
            best = rows.groupby("layer")["val"].mean().idxmax()
            kept = rows[rows["layer"] == best]
        else:
            means = rows.groupby(["per_class", "rate"])["val"].mean()
            best = {n: means[n].idxmax() for n in PER_CLASS}
            kept = rows[rows["rate"] == rows["per_class"].map(best)]
        for row in kept.to_dict("records"):
            row["val_accuracy"], row["test_accuracy"] = row.pop("scores")
            row.pop("val")
            yield {k: v for k, v in row.items() if v == v}


def digits_to_letters() -> Iterator[Row]:
    """The other way round: the same network trained on all digits reads letters."""
    source = tl.load_task("digits", val_fraction=0, test_fraction=0.2)
    for draw in DRAWS:
        own = pretrained(source, draw, 300)
        held_out = share_right(own, *tensors(source.test))
        yield {"input": "digits", "draw": draw, "held_out": held_out}
        torch.manual_seed(100 + draw)
        models = {"own network": own, "random weights": network(10).eval()}
        whole = letters(draw)
        for n in PER_CLASS:
            few = whole.few_of_each(train=n, seed=draw)
            splits = {name: getattr(few, name) for name in ("train", "test")}
            inputs = {"pixels": {k: v.raw.reshape(len(v), -1) for k, v in splits.items()}}
            for key, model in models.items():
                found = {k: maps(model, tensors(v)[0])["stage3"] for k, v in splits.items()}
                inputs[f"{key}, probe"] = found
            for name, values in inputs.items():
                probe = tl.fit_probe(values["train"], few.train.labels)
                found = probe.logits(values["test"]).argmax(axis=1)
                test = float((found == few.test.labels).mean())
                yield {"input": name, "draw": draw, "per_class": n, "test_accuracy": test}


EXPERIMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    "letters_to_digits": letters_to_digits,
    "digits_to_letters": digits_to_letters,
}

if __name__ == "__main__":
    record("python -m benchmarks.letters", __doc__, EXPERIMENTS)
