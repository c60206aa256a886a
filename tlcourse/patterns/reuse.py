"""The four patterns of reusing a network, and training from scratch to compare them with.

All take a backbone and a task, leave the backbone as it is, and return a `Result`:

    classifier              the network as it is; its own classes answer (notebook 02)
    standalone_extractor    features once, then a linear probe (notebook 03)
    frozen_extractor        a new head on a frozen body (notebook 04)
    fine_tune               the weights as a starting point (notebook 05)
    from_scratch            the same architecture with random weights
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tlcourse.errors import CourseError
from tlcourse.features.features import Features, extract_features
from tlcourse.features.probe import Probe, fit_probe
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.grouped import grouped, matching_classes
from tlcourse.networks.network import HeadPool, Network
from tlcourse.patterns.evaluate import (
    counted,
    forward_bytes,
    look,
    rows_of,
    standalone_bytes,
    trained,
)
from tlcourse.patterns.result import Result, describe
from tlcourse.tasks.task import Task, check_task
from tlcourse.training.finetune import freeze
from tlcourse.training.fit import fit


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
    network = grouped(backbone, task.classes, groups)
    about = describe(backbone, layer="logits", groups=groups)
    logits, seconds = look(network, task, progress=progress)
    return counted(
        "classifier",
        task,
        "logits",
        logits,
        seconds=seconds["val"],
        peak_bytes=forward_bytes(backbone, backbone.model),
        network=network,
        about=about,
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
    found, probe, seconds = _fitted(backbone, task, layer, pool, progress)
    network = Network(backbone, len(task.classes), layer=layer, pool=pool, head=probe.as_head())
    freeze(network, layer)
    logits = {name: probe.logits(rows_of(found, name, layer)[0]) for name in ("val", "test")}
    return counted(
        "standalone_extractor",
        task,
        layer,
        logits,
        seconds=seconds,
        peak_bytes=standalone_bytes(backbone, network, found, layer),
        trainable_parameters=probe.weight.size + probe.bias.size,
        network=network.as_backbone(task.classes),
        about=describe(backbone, layer=layer, pool=pool),
    )


def frozen_extractor(
    backbone: Backbone,
    task: Task,
    *,
    layer: str = "embedding",
    pool: HeadPool = "mean",
    epochs: int = 10,
    learning_rate: float = 3e-3,
    augment: bool = True,
    seed: int = 0,
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
        epochs: Passes over the training pictures.
        learning_rate: Highest rate of the head.
        augment: Show random crops and mirror images.
        seed: Decides the head's first weights, the order of the pictures, the augmentation.
        options: Passed to `tlcourse.fit`.

    Raises:
        UnknownNameError: There is no such layer.
        CourseError: A task or an option that nothing can be trained with.
    """
    check_task(task)
    network = Network(backbone, len(task.classes), layer=layer, pool=pool, seed=seed)
    freeze(network, layer)
    history = fit(
        network,
        task,
        epochs=epochs,
        learning_rate=learning_rate,
        augment=augment,
        seed=seed,
        **options,
    )
    return trained("frozen_extractor", network, task, backbone, history)


def fine_tune(
    backbone: Backbone,
    task: Task,
    *,
    layer: str = "embedding",
    pool: HeadPool = "mean",
    freeze_until: str | None = None,
    head_first: bool = True,
    epochs: int = 6,
    learning_rate: float | None = None,
    body_rate: float = 1e-4,
    layer_decay: float = 0.8,
    augment: bool = False,
    seed: int = 0,
    progress: bool = True,
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
        epochs: Passes over the training pictures.
        learning_rate: Highest rate of the head; by default the body's for a fitted head, ten times
            that for a random one.
        body_rate: Highest rate of the body's deepest stage. For pictures very unlike those of the
            pre-training, three to ten times as much may be better.
        layer_decay: Rate of a stage, as a share of the next deeper one's.
        augment: Show random crops and mirror images.
        seed: Decides the head's first weights, the order of the pictures, the augmentation.
        progress: Show progress bars.
        options: Passed to `tlcourse.fit`.

    Raises:
        UnknownNameError: There is no such layer.
        CourseError: A task or an option that nothing can be trained with.
    """
    check_task(task)
    head, seconds = None, 0.0
    if head_first:
        _, probe, seconds = _fitted(backbone, task, layer, pool, progress)
        head = probe.as_head()
    network = Network(backbone, len(task.classes), layer=layer, pool=pool, head=head, seed=seed)
    freeze(network, freeze_until)
    if learning_rate is None:
        learning_rate = body_rate * (1 if head_first else 10)
    history = fit(
        network,
        task,
        epochs=epochs,
        learning_rate=learning_rate,
        body_rate=body_rate,
        layer_decay=layer_decay,
        start_counts=head_first,
        augment=augment,
        seed=seed,
        progress=progress,
        **options,
    )
    return trained("fine_tune", network, task, backbone, history, seconds=seconds)


def from_scratch(
    backbone: Backbone,
    task: Task,
    *,
    layer: str = "embedding",
    pool: HeadPool = "mean",
    epochs: int = 10,
    learning_rate: float = 3e-3,
    augment: bool = False,
    seed: int = 0,
    **options: Any,
) -> Result:
    """Train the same architecture from random weights: what reuse is compared with.

    Args:
        backbone: Its architecture is taken, not its weights.
        task: Labelled pictures.
        layer: Where the architecture is cut before the head.
        pool: How a map becomes a vector.
        epochs: Passes over the training pictures.
        learning_rate: Highest rate, the same for all weights.
        augment: Show random crops and mirror images.
        seed: Decides the first weights, the order of the pictures, the augmentation.
        options: Passed to `tlcourse.fit`.

    Raises:
        UnknownNameError: There is no such layer.
        CourseError: A task or an option that nothing can be trained with.
    """
    check_task(task)
    network = Network(
        backbone, len(task.classes), layer=layer, pool=pool, seed=seed, random_weights=True
    )
    options = {"body_rate": learning_rate} | options
    history = fit(
        network,
        task,
        epochs=epochs,
        learning_rate=learning_rate,
        augment=augment,
        seed=seed,
        **options,
    )
    return trained("from_scratch", network, task, backbone, history)


def _fitted(
    backbone: Backbone, task: Task, layer: str, pool: HeadPool, progress: bool
) -> tuple[Features, Probe, float]:
    """Extract features and fit a probe to them; the seconds leave out the test pictures."""
    if layer == "logits":
        raise CourseError(
            'A new head takes the place of the logits, so cut before them: layer="embedding".'
        )
    found = extract_features(backbone, task, layer, pool=pool, progress=progress)
    started = time.perf_counter()
    probe = fit_probe(*found.of("train", layer), *rows_of(found, "val", layer))
    fitting = time.perf_counter() - started
    return found, probe, found.seconds * (1 - len(task.test) / len(found.y)) + fitting


CHEAP = ("classifier", "standalone_extractor", "frozen_extractor")


PATTERNS = (*CHEAP, "fine_tune", "from_scratch")
