"""The four patterns of reusing a network, and training from scratch to compare them with.

All take a backbone and a task, leave the backbone as it is, and return a `Result`.
Those that train take all options of `tlcourse.fit`, each with defaults of its own.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from tlcourse import metrics
from tlcourse.base.messages import say
from tlcourse.engines.pytorch import fast_batch_size
from tlcourse.errors import CourseError, check_choice
from tlcourse.features.features import Features, extract_features
from tlcourse.features.probe import Probe, fit_probe
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.networks.tap import Pool
from tlcourse.networks.trace import meta_copy
from tlcourse.patterns.card import result_facts
from tlcourse.patterns.result import Result
from tlcourse.tasks.split import Split
from tlcourse.tasks.task import Task, check_task
from tlcourse.training.settings import Settings, show_options

CHEAP = ("classifier", "standalone_extractor", "frozen_extractor")
PATTERNS = (*CHEAP, "fine_tune", "from_scratch")

_AT_ONCE = 256  # maps through a head

_FROZEN = Settings(epochs=20, learning_rate=3e-3, augment=True)
_FINE_TUNING = Settings(epochs=6, body_rate=1e-3, layer_decay=0.8)  # benchmarks/fine_tuning.py
_FROM_SCRATCH = Settings(epochs=10, learning_rate=3e-3)


def classifier(
    backbone: Backbone,
    task: Task,
    *,
    mapping: Mapping[str, Sequence[str]] | None = None,
    progress: bool = True,
) -> Result:
    """Pattern 1: use the network as it is. Nothing is trained.

    Args:
        backbone: The network.
        task: Its val and test splits are classified.
        mapping: Class of the task -> classes of the network that mean it; their probabilities are
            added. Without it, names are compared, and what was matched is printed: "ants" finds
            "ant", and "cats" finds ImageNet's five classes of cats. Where a class of the task finds
            none, the pattern is not applicable; nothing is guessed.
        progress: Show progress bars.

    Raises:
        UnknownNameError: The mapping names a class that the task or the network does not have.
        CourseError: A class is missing in the mapping, or two share a class of the network.
    """
    from tlcourse.networks.grouped import grouped, matching_classes

    check_task(task)
    about = ("classifier", task.name, task.classes, "logits")
    matching = matching_classes(backbone, task, mapping)
    if matching.missing:
        note = matching.missing
        if backbone.classes:
            note += " Pass mapping={...} if some of its classes mean the same."
        return Result(*about, applicable=False, note=note)
    if mapping is None:
        say(f"Classes matched by name: {matching}")
    made = grouped(backbone, task.classes, matching.groups)
    val, seconds = predict_split(made, task.val, progress=progress)
    test, _ = predict_split(made, task.test, progress=progress)
    memory = _pass_memory(backbone, backbone.model)
    facts = partial(result_facts, task, backbone)
    result = Result(*about, made=made, seconds=seconds, memory=memory, facts=facts)
    return score(result, task, {"val": val, "test": test})


def standalone_extractor(
    backbone: Backbone,
    task: Task,
    *,
    layer: str = "embedding",
    pool: Pool = "mean",
    progress: bool = True,
) -> Result:
    """Pattern 2: extract features once, then fit a linear classifier to them.

    It is logistic regression, or the nearest class mean where there are few pictures: what has the
    lowest log loss on the validation split, as in `tl.fit_probe`.

    Args:
        backbone: The network.
        task: Labelled pictures.
        layer: Where the backbone is cut before the new head.
        pool: How a map becomes a vector.
        progress: Show progress bars.

    Raises:
        UnknownNameError: There is no such layer.
        CourseError: A task that nothing can be learned from.
    """
    check_task(task)
    features, probe, seconds = _fitted(backbone, task, layer, pool, progress)
    network = Network(backbone, len(task.classes), layer=layer, pool=pool, head=probe.as_head())
    network.freeze_body()
    x = features.x[layer]
    # The table as read, and the training pictures' share of it in double precision, twice.
    tables = x.nbytes + 2 * 8 * len(task.train) * x.shape[1]
    result = Result(
        "standalone_extractor",
        task.name,
        task.classes,
        layer,
        made=network.as_backbone(task.classes),
        seconds=seconds,
        memory=_pass_memory(backbone, network, tables),
        trainable_parameters=probe.weight.size + probe.bias.size,
        facts=partial(result_facts, task, network.backbone),
    )
    logits = {}
    for part in ("val", "test"):
        logits[part] = probe.logits(_rows(features, part, layer)[0])
    return score(result, task, logits)


@partial(show_options, _FROZEN)
def frozen_extractor(
    backbone: Backbone,
    task: Task,
    *,
    head: nn.Module | Literal["conv", "linear"] = "conv",
    layer: str | None = None,
    pool: Pool = "mean",
    **options: Any,
) -> Result:
    """Pattern 3: the frozen body is part of a network of your own, and only the head is trained.

    Two things set it apart from pattern 2, which stores one vector per picture. The head may be
    any network, also one that reads the body's feature maps. And with data augmentation every epoch
    shows each picture in a fresh view. Use it where pictures vary in ways that the features do not
    ignore, such as turns, moves or sizes, and where fine-tuning costs too much. Without
    augmentation the body's output is computed once per picture and stored; with a linear head, that
    is pattern 2 with another optimiser.

    Args:
        backbone: The network.
        task: Labelled pictures.
        head: "conv" for a small convolutional network on the maps (`tl.ConvHead`), "linear" for a
            linear layer on the pooled vector, or a module of your own. That takes (B, C), or maps
            (B, C, H, W) with `pool="none"`.
        layer: Where the backbone is cut. By default a head on maps reads the deepest layer of
            stride 16 (`map_layer`), and any other head the "embedding".
        pool: How a map becomes a vector, for a head on vectors.
        options: Those of `tlcourse.fit`, here with `epochs=20`, `learning_rate=3e-3` and
            `augment=True`. `seed` decides the head's first weights too.

    Raises:
        UnknownNameError: There is no such layer, head or pooling.
        CourseError: A task or an option that nothing can be trained with, or a head that does not
            fit.
    """
    check_task(task)
    settings = _FROZEN.changed(**options)
    if layer is None:
        from tlcourse.networks.head import map_layer

        on_maps = pool == "none" or head == "conv" or getattr(head, "takes_maps", False)
        layer = map_layer(backbone) if on_maps else "embedding"
    network = Network(
        backbone, len(task.classes), layer=layer, pool=pool, head=head, seed=settings.seed
    )
    network.freeze_body()
    return _trained("frozen_extractor", network, task, settings)


@partial(show_options, _FINE_TUNING)
def fine_tune(
    backbone: Backbone,
    task: Task,
    *,
    layer: str = "embedding",
    pool: Pool = "mean",
    freeze_until: str | None = None,
    head_first: bool = True,
    move: Literal["everything", "lora", "norms", "biases", "adapter"] = "everything",
    rank: int = 4,
    learning_rate: float | None = None,
    **options: Any,
) -> Result:
    """Pattern 4: begin with the pre-trained weights and train them further, at a low rate.

    Args:
        backbone: The network; a copy of it is trained.
        task: Labelled pictures.
        layer: Where the backbone is cut before the new head.
        pool: How a map becomes a vector.
        freeze_until: Last layer that stays frozen; by default all may move.
        head_first: Begin with a head that was fitted to the features ("linear probing, then
            fine-tuning", Kumar et al. 2022, arXiv:2202.10054), instead of a random one whose first
            large errors would disturb the body.
        move: What may move behind `freeze_until`, beside the head: "lora", "norms", "biases" and
            "adapter" train a small part of the parameters, at rates of their own
            (`tl.finetune.add_lora` and its companions). LoRA is merged into the weights at the end.
        rank: Of LoRA.
        learning_rate: Highest rate of the head; by default the body's for a fitted head, ten times
            that for a random one.
        options: Those of `tlcourse.fit`, here with `epochs=6`, `body_rate=1e-3` and
            `layer_decay=0.8`: of what was tried, the best on the validation pictures of digits and
            clothes. Photographs like those of the pre-training, and networks without BatchNorm, may
            need a third or a tenth of it. Without a better epoch the fitted head on the body as it
            was is kept. `seed` decides a random head's weights too.

    Raises:
        UnknownNameError: There is no such layer, or way to move.
        CourseError: A task or an option that nothing can be trained with.
    """
    from tlcourse.training.finetune import freeze
    from tlcourse.training.moves import RATES, moving

    check_task(task)
    check_choice("way to move", move, RATES)
    rates = dict(RATES[move])
    head_rate = rates.pop("learning_rate", None)
    settings = _FINE_TUNING.changed(**{"start_counts": head_first} | rates | options)
    if learning_rate is None and "body_rate" not in options:
        learning_rate = head_rate
    if learning_rate is None and settings.body_rate is not None:
        learning_rate = settings.body_rate * (1 if head_first else 10)
    settings = settings.changed(learning_rate=learning_rate)
    head: nn.Module | Literal["linear"] = "linear"
    seconds = 0.0
    if head_first:
        _, probe, seconds = _fitted(backbone, task, layer, pool, settings.progress)
        head = probe.as_head()
    network = Network(
        backbone, len(task.classes), layer=layer, pool=pool, head=head, seed=settings.seed
    )
    freeze(network, freeze_until)
    network = moving(network, move, rank=rank, seed=settings.seed)
    return _trained("fine_tune", network, task, settings, seconds=seconds)


@partial(show_options, _FROM_SCRATCH)
def from_scratch(
    backbone: Backbone,
    task: Task,
    *,
    layer: str = "embedding",
    pool: Pool = "mean",
    **options: Any,
) -> Result:
    """Train the same architecture from random weights: what reuse is compared with.

    Of the backbone only the architecture is taken. The first four arguments are those of
    `standalone_extractor`; the options and errors are those of `tlcourse.fit`, here with
    `epochs=10` and `learning_rate=3e-3`, which is also the `body_rate`. `seed` decides the first
    weights too.
    """
    check_task(task)
    settings = _FROM_SCRATCH.changed(**options)
    settings = settings.changed(**{"body_rate": settings.learning_rate} | options)
    options = {"layer": layer, "pool": pool, "seed": settings.seed}
    network = Network(backbone, len(task.classes), **options, random_weights=True)
    return _trained("from_scratch", network, task, settings)


def _trained(
    pattern: str, network: Network, task: Task, settings: Settings, *, seconds: float = 0.0
) -> Result:
    """Train a network and score it; `seconds` is what came before."""
    from tlcourse.training.finetune import merge, trainable
    from tlcourse.training.fit import train  # which a pattern without training does not load

    history, features = train(network, task, settings)
    kept = merge(network) if getattr(network.added, "kind", "adapter") != "adapter" else network
    result = Result(
        pattern,
        task.name,
        task.classes,
        network.layer,
        note=history.stopped,
        made=kept.as_backbone(task.classes),
        seconds=history.seconds + seconds,
        trainable_parameters=trainable(network),
        history=history,
        facts=partial(result_facts, task, network.backbone, settings),
    )
    if network.frozen_until == network.layer:  # only the head is new, and the features are stored
        features = features or extract_features(
            network.backbone, task, network.layer, pool=network.pool, progress=False
        )
        val, test = (_head_logits(network, features, name) for name in ("val", "test"))
    else:
        val, _ = predict_split(result.backbone, task.val, progress=False)
        test, _ = predict_split(result.backbone, task.test, progress=False)
    return score(result, task, {"val": val, "test": test})


def _fitted(
    backbone: Backbone, task: Task, layer: str, pool: Pool, progress: bool
) -> tuple[Features, Probe, float]:
    """Extract features and fit a probe to them; the seconds leave out the test pictures."""
    if layer == "logits":
        raise CourseError(
            'A new head takes the place of the logits, so cut before them: layer="embedding".'
        )
    features = extract_features(backbone, task, layer, pool=pool, progress=progress)
    started = time.perf_counter()
    probe = fit_probe(*features.of("train", layer), *_rows(features, "val", layer))
    fitting = time.perf_counter() - started
    return features, probe, features.seconds * (1 - len(task.test) / len(features.y)) + fitting


def score(result: Result, task: Task, logits: Mapping[str, np.ndarray]) -> Result:
    """Complete a result by what is right in its logits: "val" and "test" -> (N, classes)."""
    kept, predicted = {}, {}
    for part, values in logits.items():
        kept[part] = np.asarray(values, dtype=np.float32)
        predicted[part] = kept[part].argmax(axis=1)
    last = "test" if len(task.test) else "val"
    labels = getattr(task, last).labels
    val = task.val.labels
    confusion = metrics.confusion_matrix(predicted[last], labels, len(task.classes))
    return replace(
        result,
        val_accuracy=metrics.accuracy(predicted["val"], val),
        test_accuracy=metrics.accuracy(predicted["test"], task.test.labels),
        interval=metrics.wilson_interval(int((predicted[last] == labels).sum()), len(labels)),
        balanced_accuracy=metrics.balanced_accuracy(confusion),
        confusion=confusion,
        logits=kept,
        pictures={"val": task.val, "test": task.test},
        holds=task.holds,
    )


def predict_split(backbone: Backbone, split: Split, *, progress: bool) -> tuple[np.ndarray, float]:
    """Return a network's logits (N, classes) of a split's pictures, and the seconds it took."""
    if not len(split):
        return np.zeros((0, len(backbone.classes))), 0.0
    features = extract_features(backbone, split, "logits", cache=False, progress=progress)
    return features.x["logits"], features.seconds


def _rows(features: Features, split: str, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of a split; none where the task has no such pictures."""
    rows = features.split == split
    return features.x[layer][rows], features.y[rows]


def _pass_memory(backbone: Backbone, model: nn.Module, tables: int = 0) -> Callable[[], int]:
    """Return what counts the bytes of a pass of one batch, or of weights and tables if more."""
    shape, batch, twin = backbone.preprocess.shape, fast_batch_size(backbone), meta_copy(model)

    def count() -> int:
        from tlcourse.networks.account import forward_account

        needed = forward_account(twin, shape, batch).bytes
        return max(needed.total, needed.parameters + tables)

    return count


def _head_logits(network: Network, features: Features, split: str) -> np.ndarray:
    """Return a head's logits of a split's pictures, from the features of a frozen body."""
    values, _ = _rows(features, split, network.layer)
    parts = [np.zeros((0, network.n_classes), dtype=np.float32)]
    for start in range(0, len(values), _AT_ONCE):
        rows = torch.from_numpy(np.array(values[start : start + _AT_ONCE]))
        with torch.no_grad():
            parts.append(network.head(rows.to(network.backbone.device)).cpu().numpy())
    return np.concatenate(parts)
