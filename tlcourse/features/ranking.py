"""Which of several networks suits a task, before anything is trained (notebook 12)."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch

from tlcourse.base.machine import synchronize
from tlcourse.engines.pytorch import fast_batch_size, fast_copy
from tlcourse.errors import CourseError, check_choice
from tlcourse.features.features import extract_features
from tlcourse.features.layerwise import STRENGTHS, check_folds, cross_validate, draw_folds
from tlcourse.features.transferability import h_score, logme
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.load import load_backbone
from tlcourse.networks.tap import activations
from tlcourse.networks.trace import up_to
from tlcourse.tasks.task import Task, check_task

if TYPE_CHECKING:
    import pandas as pd

Score = Literal["logme", "h_score", "probe"]
_FOLDS = 5
_PASSES = 5  # of which the fastest counts


def rank_backbones(
    task: Task,
    backbones: Mapping[str, Backbone | str] | Sequence[Backbone | str],
    by: Score = "logme",
    *,
    layer: str | None = "embedding",
    seed: int = 0,
    progress: bool = True,
) -> "pd.DataFrame":
    """Order networks by how well their features suit a task. Nothing is fine-tuned.

    Only training pictures are looked at; validation and test pictures stay closed.

    Args:
        task: Labelled pictures.
        backbones: At least two networks, or names for `load_backbone`. A dict names them; without
            one their own names must differ.
        by: "logme" for the log evidence, "h_score" for the H-score (`tlcourse.features.
            transferability`), "probe" for the accuracy of a linear probe, by cross-validation.
        layer: Where the features are taken. None tries every layer and keeps each network's best.
        seed: Decides the folds of the probe.
        progress: Show progress bars.

    Returns:
        A row per network, best first. Columns: `score`; `layer`; `pixels`, the side of the pictures (of
        sounds, the length in frames of 10 milliseconds);
        `milliseconds` per picture, measured here, up to the layer; `megabytes` of its weights in
        32 bits and `parameters`, both up to the layer.

    Raises:
        UnknownNameError: There is no such score, network or layer.
        CourseError: Fewer than two networks, two of the same name, or a task with too few pictures.

    Reference: LogME: You et al. (2021), arXiv:2102.11005.
    """
    import pandas as pd

    check_task(task)
    check_choice("score", by, get_args(Score))
    networks = _named(backbones)
    labels = task.train.labels
    if by == "probe":
        check_folds(labels, _FOLDS, STRENGTHS)
    rows = {}
    for name, backbone in networks.items():
        layers = (
            [layer] if layer is not None else [name for name in backbone.layers if name != "logits"]
        )
        features = extract_features(backbone, task.train, layers, progress=progress)
        scores = {one: _score(by, x, labels, seed) for one, x in features.x.items()}
        best = max(scores, key=lambda one: scores[one])
        where = backbone.layer(best)
        after = where.side == "output"
        n_parameters, _ = up_to(backbone.trace, where.path, inclusive=after)
        rows[name] = {
            "score": scores[best],
            "layer": best,
            "pixels": backbone.preprocess.size,
            "milliseconds": milliseconds(backbone, best),
            "megabytes": 4 * n_parameters / 1e6,
            "parameters": n_parameters,
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")
    return table.sort_values("score", ascending=False, kind="stable")


def milliseconds(backbone: Backbone, layer: str = "embedding") -> float:
    """Measure the time per picture, in milliseconds, of a forward pass up to a layer.

    The network runs as `extract_features` runs it: a faster copy, in batches, without opening
    files. It is the fastest of five passes, after one that is not counted: whatever else the machine
    does only adds to it.
    """
    network = fast_copy(backbone, [layer])
    shape, batch = backbone.preprocess.shape, fast_batch_size(backbone)
    pictures = torch.zeros(batch, *shape, device=backbone.device)
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    seconds = []
    for _ in range(1 + _PASSES):
        synchronize(backbone.device)
        started = time.perf_counter()
        activations(network, pictures, layer)
        synchronize(backbone.device)
        seconds.append(time.perf_counter() - started)
    return 1e3 * min(seconds[1:]) / batch


def _named(
    backbones: Mapping[str, Backbone | str] | Sequence[Backbone | str],
) -> dict[str, Backbone]:
    """Load what is only named, and give each network a name of its own."""
    several = isinstance(backbones, Mapping | list | tuple)
    if not several or len(backbones) < 2:
        n = len(backbones) if several else 1
        raise CourseError(f"A ranking needs at least two networks to compare, but got {n}.")
    if isinstance(backbones, Mapping):
        return {name: _loaded(one) for name, one in backbones.items()}
    networks: dict[str, Backbone] = {}
    for one in backbones:
        backbone = _loaded(one)
        if backbone.name in networks:
            raise CourseError(
                f"Two networks are called {backbone.name!r}. Name them: "
                '{"trained": first, "random": second}.'
            )
        networks[backbone.name] = backbone
    return networks


def _loaded(one: Backbone | str) -> Backbone:
    if isinstance(one, str):
        return load_backbone(one)
    if not isinstance(one, Backbone):
        raise CourseError(f"A backbone or its name is needed, not {type(one).__name__}.")
    return one


def _score(by: str, x: np.ndarray, y: np.ndarray, seed: int) -> float:
    if by == "logme":
        return logme(x, y)
    if by == "h_score":
        return h_score(x, y)
    predicted, _ = cross_validate(x, y, draw_folds(y, _FOLDS, seed), STRENGTHS)
    return float((predicted == y).mean())
