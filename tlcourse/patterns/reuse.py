"""The four patterns of reusing a network, and training from scratch to compare them with.

All take a backbone and a task, leave the backbone as it is, and return a `Result`:

    classifier              the network as it is; its own classes answer (notebook 02)
    standalone_extractor    features once, then a linear probe (notebook 03)
    frozen_extractor        a new head on a frozen body (notebook 04)
    fine_tune               the weights as a starting point (notebook 05)
    from_scratch            the same architecture with random weights

The last three train, so they take all options of `tlcourse.fit`, each with defaults of its own.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tlcourse import metrics
from tlcourse.errors import CourseError
from tlcourse.features.features import Features, extract_features
from tlcourse.features.probe import Probe, fit_probe
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_batch_size
from tlcourse.networks.network import HeadPool, Network
from tlcourse.networks.trace import meta_copy
from tlcourse.patterns.result import Result
from tlcourse.tasks.split import Split
from tlcourse.tasks.task import Task, check_task
from tlcourse.training.settings import Settings, show_options

if TYPE_CHECKING:
    from tlcourse.training.history import History

CHEAP = ("classifier", "standalone_extractor", "frozen_extractor")
PATTERNS = (*CHEAP, "fine_tune", "from_scratch")

_FROZEN = Settings(epochs=10, learning_rate=3e-3, augment=True)
_FINE_TUNING = Settings(epochs=6, body_rate=1e-4, layer_decay=0.8)
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
            added. Without it, names are compared: "ants" finds "ant". Where a class of the task
            finds none, the pattern is not applicable; nothing is guessed.
        progress: Show progress bars.

    Raises:
        UnknownNameError: The mapping names a class that the task or the network does not have.
        CourseError: A class is missing in the mapping, or two share a class of the network.
    """
    from tlcourse.networks.grouped import grouped, matching_classes

    check_task(task)
    groups, missing = matching_classes(backbone, task, mapping)
    if missing:
        return Result(
            "classifier",
            task.name,
            task.classes,
            "logits",
            applicable=False,
            note=f"The network has no class called {', '.join(missing)}. "
            "Pass mapping={...} if some of its classes mean the same.",
        )
    made = grouped(backbone, task.classes, groups)
    val, seconds = predict_split(made, task.val, progress=progress)
    test, _ = predict_split(made, task.test, progress=progress)
    return score(
        "classifier",
        task,
        "logits",
        {"val": val, "test": test},
        made=made,
        seconds=seconds,
        memory=pass_memory(backbone, backbone.model),
    )


def standalone_extractor(
    backbone: Backbone,
    task: Task,
    *,
    layer: str = "embedding",
    pool: HeadPool = "mean",
    progress: bool = True,
) -> Result:
    """Pattern 2: extract features once, then fit logistic regression to them.

    The strength of its regularisation is the one with the lowest log loss on the validation split.

    Args:
        backbone: The network.
        task: Labelled pictures.
        layer: Where the backbone is cut.
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
    return score(
        "standalone_extractor",
        task,
        layer,
        {
            "val": probe.logits(rows_of(features, "val", layer)[0]),
            "test": probe.logits(rows_of(features, "test", layer)[0]),
        },
        made=network.as_backbone(task.classes),
        seconds=seconds,
        memory=pass_memory(backbone, network, tables=tables),
        trainable_parameters=probe.weight.size + probe.bias.size,
    )


@partial(show_options, _FROZEN)
def frozen_extractor(
    backbone: Backbone,
    task: Task,
    *,
    layer: str = "embedding",
    pool: HeadPool = "mean",
    **options: Any,
) -> Result:
    """Pattern 3: a new head on a frozen body, trained as one network.

    With augmentation the frozen body has to see every new crop. Without it, its output is computed
    once per picture, which makes it as fast as pattern 2.

    Args:
        backbone: The network.
        task: Labelled pictures.
        layer: Where the backbone is cut; all of it is frozen.
        pool: How a map becomes a vector.
        options: Those of `tlcourse.fit`, here with `epochs=10`, `learning_rate=3e-3` and
            `augment=True`. `seed` decides the head's first weights too.

    Raises:
        UnknownNameError: There is no such layer.
        CourseError: A task or an option that nothing can be trained with.
    """
    check_task(task)
    settings = _FROZEN.changed(**options)
    network = Network(backbone, len(task.classes), layer=layer, pool=pool, seed=settings.seed)
    network.freeze_body()
    return _trained("frozen_extractor", network, task, settings)


@partial(show_options, _FINE_TUNING)
def fine_tune(
    backbone: Backbone,
    task: Task,
    *,
    layer: str = "embedding",
    pool: HeadPool = "mean",
    freeze_until: str | None = None,
    head_first: bool = True,
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
        learning_rate: Highest rate of the head; by default the body's for a fitted head, ten times
            that for a random one.
        options: Those of `tlcourse.fit`, here with `epochs=6`, `body_rate=1e-4` and
            `layer_decay=0.8`. For pictures very unlike those of the pre-training, a `body_rate`
            three to ten times as high may be better. `seed` decides a random head's weights too.

    Raises:
        UnknownNameError: There is no such layer.
        CourseError: A task or an option that nothing can be trained with.
    """
    from tlcourse.training.finetune import freeze

    check_task(task)
    settings = _FINE_TUNING.changed(**{"start_counts": head_first} | options)
    if learning_rate is None and settings.body_rate is not None:
        learning_rate = settings.body_rate * (1 if head_first else 10)
    settings = settings.changed(learning_rate=learning_rate)
    head, seconds = None, 0.0
    if head_first:
        _, probe, seconds = _fitted(backbone, task, layer, pool, settings.progress)
        head = probe.as_head()
    network = Network(
        backbone, len(task.classes), layer=layer, pool=pool, head=head, seed=settings.seed
    )
    freeze(network, freeze_until)
    return _trained("fine_tune", network, task, settings, seconds=seconds)


@partial(show_options, _FROM_SCRATCH)
def from_scratch(
    backbone: Backbone,
    task: Task,
    *,
    layer: str = "embedding",
    pool: HeadPool = "mean",
    **options: Any,
) -> Result:
    """Train the same architecture from random weights: what reuse is compared with.

    Args:
        backbone: Its architecture is taken, not its weights.
        task: Labelled pictures.
        layer: Where the architecture is cut before the head.
        pool: How a map becomes a vector.
        options: Those of `tlcourse.fit`, here with `epochs=10` and `learning_rate=3e-3`, which is
            also the `body_rate`. `seed` decides the first weights too.

    Raises:
        UnknownNameError: There is no such layer.
        CourseError: A task or an option that nothing can be trained with.
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
    from tlcourse.training.finetune import trainable
    from tlcourse.training.fit import train  # which a pattern without training does not load

    history, features = train(network, task, settings)
    made = network.as_backbone(task.classes)
    if network.frozen_until == network.layer:  # only the head is new, and the features are stored
        features = features or extract_features(
            network.backbone, task, network.layer, pool=network.pool, progress=False
        )
        val, test = (_head_logits(network, features, name) for name in ("val", "test"))
    else:
        val, _ = predict_split(made, task.val, progress=False)
        test, _ = predict_split(made, task.test, progress=False)
    return score(
        pattern,
        task,
        network.layer,
        {"val": val, "test": test},
        made=made,
        seconds=history.seconds + seconds,
        trainable_parameters=trainable(network),
        history=history,
    )


def _fitted(
    backbone: Backbone, task: Task, layer: str, pool: HeadPool, progress: bool
) -> tuple[Features, Probe, float]:
    """Extract features and fit a probe to them; the seconds leave out the test pictures."""
    if layer == "logits":
        raise CourseError(
            'A new head takes the place of the logits, so cut before them: layer="embedding".'
        )
    features = extract_features(backbone, task, layer, pool=pool, progress=progress)
    started = time.perf_counter()
    probe = fit_probe(*features.of("train", layer), *rows_of(features, "val", layer))
    fitting = time.perf_counter() - started
    return features, probe, features.seconds * (1 - len(task.test) / len(features.y)) + fitting


def score(
    pattern: str,
    task: Task,
    layer: str,
    logits: Mapping[str, np.ndarray],
    *,
    made: Backbone | None,
    seconds: float,
    memory: Callable[[], int] | None = None,
    trainable_parameters: int = 0,
    history: "History | None" = None,
) -> Result:
    """Count what is right in the logits of the pictures, "val" and "test" -> (N, classes)."""
    predicted = {"val": logits["val"].argmax(axis=1), "test": logits["test"].argmax(axis=1)}
    last = "test" if len(task.test) else "val"
    labels = getattr(task, last).labels
    confusion = metrics.confusion_matrix(predicted[last], labels, len(task.classes))
    return Result(
        pattern=pattern,
        task=task.name,
        classes=task.classes,
        layer=layer,
        note=history.stopped if history else "",
        val_accuracy=metrics.accuracy(predicted["val"], task.val.labels),
        test_accuracy=metrics.accuracy(predicted["test"], task.test.labels),
        interval=metrics.wilson_interval(int((predicted[last] == labels).sum()), len(labels)),
        balanced_accuracy=metrics.balanced_accuracy(confusion),
        confusion=confusion,
        predicted=predicted,
        seconds=seconds,
        memory=memory,
        trainable_parameters=trainable_parameters,
        history=history,
        made=made,
    )


def predict_split(backbone: Backbone, split: Split, *, progress: bool) -> tuple[np.ndarray, float]:
    """Return a network's logits (N, classes) of a split's pictures, and the seconds it took."""
    if not len(split):
        return np.zeros((0, len(backbone.classes))), 0.0
    features = extract_features(backbone, split, "logits", cache=False, progress=progress)
    return features.x["logits"], features.seconds


def rows_of(features: Features, split: str, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of a split; none where the task has no such pictures."""
    rows = features.split == split
    return features.x[layer][rows], features.y[rows]


def pass_memory(backbone: Backbone, model: nn.Module, *, tables: int = 0) -> Callable[[], int]:
    """Return what counts the bytes of a pass of one batch, or of weights and tables if more."""
    size, batch = backbone.preprocess.crop_size, fast_batch_size(backbone)
    return partial(_pass_bytes, meta_copy(model), size, batch, tables)


def _pass_bytes(model: nn.Module, size: int, batch: int, tables: int) -> int:
    from tlcourse.networks.account import forward_account

    needed = forward_account(model, (3, size, size), batch).bytes
    return max(needed.total, needed.parameters + tables)


def _head_logits(network: Network, features: Features, split: str) -> np.ndarray:
    """Return a head's logits of a split's pictures, from the features of a frozen body."""
    values, _ = rows_of(features, split, network.layer)
    with torch.no_grad():
        return network.head(torch.from_numpy(values).to(network.backbone.device)).cpu().numpy()
