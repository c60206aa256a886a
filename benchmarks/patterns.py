"""The well-known 25-epoch recipe against the course's patterns, and `fit` against plain loops.

    TLCOURSE_DATA=folder/that/holds/hymenoptera_data python benchmarks/patterns.py
    python -m pip install skorch        # the peer of the last part

On the photographs of ants and bees, with the default network, on the same training pictures. The
recipe is that of PyTorch's tutorial on transfer learning: SGD with rate 0.001 and momentum 0.9, a
tenth of the rate after each 7 epochs, batches of 4, random crops and flips. Features are extracted
afresh. Takes about half an hour on 2 slow cores.

`--parts recipe patterns prefix throughput` chooses what to run.
"""

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

import tlcourse as tl
from tlcourse.base.machine import describe

PARTS = ("recipe", "patterns", "prefix", "throughput")


class Pictures(Dataset):
    """A split as a PyTorch dataset."""

    def __init__(self, split: object, transform: object) -> None:
        self.split, self.transform = split, transform

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        picture, label = self.split[i]
        return self.transform(picture), label


def recipe(backbone: tl.Backbone, task: tl.Task, *, frozen: bool, epochs: int) -> None:
    """Train as the recipe says; print seconds and validation accuracy, best and last epoch."""
    torch.manual_seed(0)
    mean, std = backbone.preprocess.mean, backbone.preprocess.std
    augment = T.Compose(
        [
            T.RandomResizedCrop(224),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(mean, std),
        ]
    )
    model = copy.deepcopy(backbone.model)
    for parameter in model.parameters():
        parameter.requires_grad_(not frozen)
    model.classifier = nn.Linear(model.classifier.in_features, len(task.classes))
    learning = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learning, lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=7, gamma=0.1)
    loaders = {
        "train": DataLoader(Pictures(task.train, augment), 4, shuffle=True, num_workers=2),
        "val": DataLoader(Pictures(task.val, backbone.preprocess), 4, num_workers=2),
    }
    started = time.perf_counter()
    accuracies = []
    for _ in range(epochs):
        model.train()
        for x, y in loaders["train"]:
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimiser.step()
        schedule.step()
        model.eval()
        right = 0
        with torch.no_grad():
            for x, y in loaders["val"]:
                right += int((model(x).argmax(dim=1) == y).sum())
        accuracies.append(right / len(task.val))
    name = f"recipe, {'frozen' if frozen else 'fine-tuned'}, {epochs} epochs"
    report(name, time.perf_counter() - started, max(accuracies), accuracies[-1])


def report(name: str, seconds: float, best: float, last: float) -> None:
    """Print one line."""
    print(f"{name:52} {seconds:7.1f} s   best {best:.4f}   last {last:.4f}", flush=True)


def pattern(name: str, backbone: tl.Backbone, task: tl.Task, **options: object) -> None:
    """Run one of the course's patterns with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TLCOURSE_CACHE"] = cache
        started = time.perf_counter()
        result = getattr(tl.patterns, name)(backbone, task, progress=False, **options)
        seconds = time.perf_counter() - started
    last = result.history.epochs[-1].val_accuracy if result.history else result.val_accuracy
    shown = ", ".join(f"{k}={v}" for k, v in options.items())
    report(f"{name} {shown}"[:52], seconds, result.val_accuracy, last)


def prefix(backbone: tl.Backbone, task: tl.Task) -> None:
    """Compare epochs with and without the stored output of five frozen stages."""
    for cached in (False, True):
        with tempfile.TemporaryDirectory() as cache:
            os.environ["TLCOURSE_CACHE"] = cache
            result = tl.patterns.fine_tune(
                backbone,
                task,
                freeze_until="stage5",
                epochs=4,
                cache_frozen=cached,
                progress=False,
            )
        seconds = [epoch.seconds for epoch in result.history.epochs]
        low, high = result.interval
        print(
            f"stage5 frozen, {'stored' if cached else 'computed each time':20} "
            f"first epoch {seconds[0] + result.history.prepare_seconds:6.2f} s, "
            f"later {statistics.median(seconds[1:]):6.2f} s, "
            f"validation {result.val_accuracy:.4f} [{low:.3f}, {high:.3f}]",
            flush=True,
        )


def throughput(backbone: tl.Backbone, task: tl.Task, rounds: int, batch: int = 16) -> None:
    """Pictures per second of an epoch of fine-tuning: plain loop, skorch, `fit`."""
    small = replace(
        task, train=task.train.take(range(0, len(task.train), 2)), val=task.val.take([])
    )
    n = len(small.train)
    dataset = Pictures(small.train, backbone.preprocess)
    runs = {
        "plain loop": _plain(backbone, dataset, batch, rounds),
        "skorch": _skorch(backbone, dataset, batch, rounds),
        "tlcourse.fit": _fit(backbone, small, batch, rounds),
    }
    seconds: dict[str, list[float]] = {name: list(run) for name, run in runs.items()}
    base = statistics.median(seconds["plain loop"])
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(
            f"{name:14} first epoch {n / values[0]:5.1f} pictures/s, "
            f"median {n / middle:5.1f} pictures/s, x {base / middle:.2f} of the plain loop",
            flush=True,
        )


def _plain(backbone: tl.Backbone, dataset: Dataset, batch: int, rounds: int) -> Iterator[float]:
    network = tl.Network(backbone, 2)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    for _ in range(rounds):
        started = time.perf_counter()
        network.train()
        for x, y in DataLoader(dataset, batch, shuffle=True):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimiser.step()
        yield time.perf_counter() - started


def _skorch(backbone: tl.Backbone, dataset: Dataset, batch: int, rounds: int) -> Iterator[float]:
    from skorch import NeuralNet

    net = NeuralNet(
        tl.Network(backbone, 2),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=1e-4,
        batch_size=batch,
        iterator_train__shuffle=True,
        train_split=None,
        max_epochs=1,
        verbose=0,
    ).initialize()
    for _ in range(rounds):
        started = time.perf_counter()
        net.partial_fit(dataset, y=None)
        yield time.perf_counter() - started


def _fit(backbone: tl.Backbone, task: tl.Task, batch: int, rounds: int) -> Iterator[float]:
    network = tl.Network(backbone, 2)
    history = tl.fit(
        network, task, epochs=rounds, learning_rate=1e-3, batch_size=batch, progress=False
    )
    yield from (epoch.seconds for epoch in history.epochs)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--epochs", type=int, default=25, help="of the recipe")
    parser.add_argument("--rounds", type=int, default=5, help="of the throughput")
    options = parser.parse_args()
    print(describe())
    # The archive has no test split: all of its training pictures are for training.
    task = tl.load_task("hymenoptera", test_fraction=0)
    print(task)
    backbone = tl.load_backbone()
    if "recipe" in options.parts:
        recipe(backbone, task, frozen=True, epochs=options.epochs)
        recipe(backbone, task, frozen=False, epochs=options.epochs)
    if "patterns" in options.parts:
        mapping = {"ants": ["ant"], "bees": ["bee"]}
        pattern("classifier", backbone, task, mapping=mapping)
        pattern("standalone_extractor", backbone, task)
        pattern("frozen_extractor", backbone, task, augment=False)
        pattern("frozen_extractor", backbone, task)
        pattern("fine_tune", backbone, task, freeze_until="stage5")
        pattern("fine_tune", backbone, task)
    if "prefix" in options.parts:
        prefix(backbone, task)
    if "throughput" in options.parts:
        throughput(backbone.at_size(128), task, options.rounds)


if __name__ == "__main__":
    main()
