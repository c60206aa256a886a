"""Letters, then digits: what a minute of pre-training on the right pictures is worth (notebook 10).

    python -m benchmarks.letters --save

A small network is trained on printed letters and reads handwritten digits, with few labels of each.
It is compared with the same network from scratch and with random weights, with the pixels, and with
the ImageNet network. Five draws, each with letters, first weights, splits and labelled digits of its
own. Layers and rates are those with the highest mean on the validation digits; the test digits are
opened once, for what was chosen. Probes see no validation picture: they take the strength that
`tl.fit_probe` has by default. `--save` writes to `tlcourse/data/runs.json`, as `benchmarks/wins.py`
does. All of it takes about 20 minutes on 2 slow cores.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

import tlcourse as tl
from benchmarks.wins import Row, digits, save
from tlcourse.base.machine import describe
from tlcourse.networks.preprocess import Preprocess

DRAWS = range(5)
PER_CLASS = (1, 2, 5, 10, 30)
SIDE = 16  # pixels that the small network takes
PRETRAINING = {"steps": 800, "rate": 4e-3, "batch": 128}
STEPS, BATCH = 200, 32  # of a training on digits
RATES = {"own network, fine-tuned": (1e-4, 3e-4, 1e-3), "from scratch": (1e-3, 3e-3, 1e-2)}
STAGES = ("stage1", "stage2", "stage3")  # as the notebook's network names them
IMAGENET = tuple(f"stage{i}" for i in range(2, 8))
MAPS = tuple(f"stage{i}" for i in range(3, 7))

_preprocess = Preprocess.from_size(SIDE)


def main() -> None:
    """Run the experiments, print each as a table, and keep them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(EXPERIMENTS), choices=list(EXPERIMENTS))
    parser.add_argument("--save", action="store_true", help="write tlcourse/data/runs.json")
    arguments = parser.parse_args()
    print(describe())
    for name in arguments.only:
        rows = []
        for row in EXPERIMENTS[name]():
            print(" ", row, flush=True)
            rows.append(row)
        table = pd.DataFrame(rows)
        means = table.dropna(subset="per_class").pivot_table(
            index="input", columns="per_class", values="test_accuracy"
        )
        print(f"\n{name}\n{means.round(3).to_string()}\n", flush=True)
        if arguments.save:
            save(name, table, f"python -m benchmarks.letters --save --only {name}")


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


def probe(x: dict[str, np.ndarray], task: tl.Task) -> tuple[float, float]:
    """Accuracy of a probe on the validation and on the test pictures, without any choice."""
    fitted = tl.fit_probe(x["train"], task.train.labels)
    val, test = (
        float((fitted.logits(x[name]).argmax(axis=1) == getattr(task, name).labels).mean())
        for name in ("val", "test")
    )
    return val, test


def right(model: nn.Module, split: Any) -> float:
    """Share of a split's pictures that a network puts into their class."""
    x, y = tensors(split)
    with torch.inference_mode():
        return float((model.eval()(x).argmax(dim=1) == y).float().mean())


def tuned(own: nn.Sequential, few: tl.Task, rate: float, seed: int) -> nn.Sequential:
    """Go on with the letters' network: a fitted head, then all of it moves."""
    body = copy.deepcopy(
        own[:-1]
    ).eval()  # also while it is trained: BatchNorm keeps its statistics
    x, y = tensors(few.train)
    with torch.inference_mode():
        head = tl.fit_probe(body(x).numpy(), few.train.labels).as_head()
    model = nn.Sequential(*body, head)
    torch.manual_seed(seed)
    train(model, x, y, steps=STEPS, rate=rate, batch=BATCH)
    return model


def scratch(few: tl.Task, rate: float, seed: int) -> nn.Sequential:
    """The same network from random weights, on the labelled digits alone."""
    torch.manual_seed(seed)
    model = network(len(few.classes)).train()
    train(model, *tensors(few.train), steps=STEPS, rate=rate, batch=BATCH)
    return model.eval()


def stored(task: tl.Task, few: tl.Task, features: Any, layer: str) -> dict[str, np.ndarray]:
    """Features of all digits, and of the few labelled ones, which are among the training ones."""
    x = {name: features.of(name, layer)[0] for name in ("train", "val", "test")}
    place = {name: i for i, name in enumerate(task.train.names)}
    x["train"] = x["train"][[place[name] for name in few.train.names]]
    return {name: np.asarray(values).reshape(len(values), -1) for name, values in x.items()}


def letters_to_digits() -> Iterator[Row]:
    """Each row of the comparison, for each draw and number of labels."""
    imagenet = tl.load_backbone().at_size(96)
    tried: list[Row] = []  # with every layer and rate; "test" is read for what is chosen only
    for draw in DRAWS:
        source = letters(draw)
        began = time.perf_counter()
        own = pretrained(source, draw)
        seconds = time.perf_counter() - began
        yield {"input": "letters", "draw": draw, "held_out": right(own, source.test)} | {
            "seconds": seconds
        }
        torch.manual_seed(100 + draw)
        random = network(len(source.classes)).eval()
        task = digits(draw, 10**6)  # all training digits that the split leaves
        x = {name: tensors(getattr(task, name))[0] for name in ("train", "val", "test")}
        named = {"own network, probe": own, "random weights, probe": random}
        values = {
            key: {name: maps(model, batch) for name, batch in x.items()}
            for key, model in named.items()
        }
        pooled = tl.extract_features(imagenet, task, [*IMAGENET, "embedding"], progress=False)
        whole = tl.extract_features(imagenet, task, MAPS, pool="none", progress=False)
        for n in PER_CLASS:
            few = digits(draw, n)
            place = {name: i for i, name in enumerate(task.train.names)}
            rows = [place[name] for name in few.train.names]
            told = {"draw": draw, "per_class": n}

            def note(name: str, x: dict[str, np.ndarray], layer: str, told: Row = told) -> None:
                few = digits(told["draw"], told["per_class"])
                val, test = probe(x, few)
                tried.append(
                    {"input": name, **told, "layer": layer, "val": val, "test": lambda: test}
                )

            for key, parts in values.items():
                for layer in STAGES:
                    chosen = {name: parts[name][layer] for name in parts}
                    chosen["train"] = chosen["train"][rows]
                    note(key, chosen, layer)
            pixels = {name: getattr(few, name).raw for name in ("train", "val", "test")}
            note("pixels", {k: v.reshape(len(v), -1) for k, v in pixels.items()}, "pixels")
            for layer in IMAGENET:
                note("ImageNet, probe", stored(task, few, pooled, layer), layer)
            note("ImageNet, last layer", stored(task, few, pooled, "embedding"), "embedding")
            for layer in MAPS:
                note("ImageNet, whole maps", stored(task, few, whole, layer), layer)
            for name, rates in RATES.items():
                for rate in rates:
                    model = (
                        scratch(few, rate, draw)
                        if name == "from scratch"
                        else tuned(own, few, rate, draw)
                    )
                    tried.append(
                        {"input": name, **told, "rate": rate, "val": right(model, few.val)}
                        | {"test": _later(model, few)}
                    )
        print(f"  draw {draw} is done", flush=True)
    yield from chosen_rows(tried)


def _later(model: nn.Module, few: tl.Task) -> Callable[[], float]:
    return lambda: right(model, few.test)


def chosen_rows(tried: Sequence[Row]) -> Iterator[Row]:
    """Of each row take the layer, or for each number of labels the rate, best on validation."""
    table = pd.DataFrame(tried)
    for _, rows in table.groupby("input", sort=False):
        if rows["rate"].isna().all():
            best = rows.groupby("layer")["val"].mean().idxmax()
            kept = rows[rows["layer"] == best]
        else:
            means = rows.groupby(["per_class", "rate"])["val"].mean()
            best = {n: means[n].idxmax() for n in PER_CLASS}
            kept = rows[rows["rate"] == rows["per_class"].map(best)]
        for row in kept.to_dict("records"):
            row["test_accuracy"] = row.pop("test")()
            row["val_accuracy"] = row.pop("val")
            yield {k: v for k, v in row.items() if v == v}


def digits_to_letters() -> Iterator[Row]:
    """The other way round: the same network trained on all digits reads letters."""
    source = tl.load_task("digits", val_fraction=0, test_fraction=0.2)
    for draw in DRAWS:
        own = pretrained(source, draw, 300)
        yield {"input": "digits", "draw": draw, "held_out": right(own, source.test)}
        torch.manual_seed(100 + draw)
        models = {"own network": own, "random weights": network(10).eval()}
        whole = letters(draw)
        for n in PER_CLASS:
            few = whole.few_of_each(train=n, seed=draw)
            x = {name: tensors(getattr(few, name))[0] for name in ("train", "val", "test")}
            inputs = {
                f"{key}, probe": {k: maps(model, v)["stage3"] for k, v in x.items()}
                for key, model in models.items()
            }
            inputs["pixels"] = {k: getattr(few, k).raw.reshape(len(v), -1) for k, v in x.items()}
            for name, values in inputs.items():
                _, test = probe(values, few)
                yield {"input": name, "draw": draw, "per_class": n, "test_accuracy": test}


EXPERIMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    "letters_to_digits": letters_to_digits,
    "digits_to_letters": digits_to_letters,
}

if __name__ == "__main__":
    main()
