"""What a forward pass, a training step and an epoch cost: seconds, operations, bytes by owner.

Notebook 07 shows where they go. `account` counts without running; the others measure, with a
warm-up, and wait for the device before the clock is stopped. Bytes are always counted, never read
off the process, which would show what came before as well.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from tlcourse.base.machine import accelerators
from tlcourse.cost.passes import check_options, forward_bench, measured, own_numbers, step_bench
from tlcourse.cost.records import Cost, SideBySide
from tlcourse.errors import CourseError
from tlcourse.networks.account import Account, forward_account, training_account
from tlcourse.networks.backbone import Backbone


def account(
    module: nn.Module, shape: tuple[int, ...], batch: int = 1, *, training: bool = True
) -> Account:
    """Count the bytes and operations of one pass of any network, without running it.

    Nothing is computed and next to no memory is taken, so the pass need not fit this machine. What
    may move follows from `requires_grad`, and each module's present mode is used.

    Args:
        module: Takes a batch as its only argument; for a training step it gives logits (B, classes).
        shape: Of one input, without the batch axis, such as (3, 224, 224).
        batch: Number of inputs.
        training: A training step with AdamW, or else a forward pass without gradients.

    Raises:
        CourseError: Nothing may move, or the network cannot run on such a shape or without numbers.

    Example:
        >>> a = account(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (3, 2, 2), batch=5)
        >>> a.bytes.parameters, a.bytes.gradients, a.operations
        (104, 104, 480)
    """
    if not isinstance(module, nn.Module):
        raise CourseError(
            f"account() needs a PyTorch module, got {type(module).__name__}. Of a backbone, pass "
            "`backbone.model` or tl.Network(backbone, n_classes)."
        )
    return (training_account if training else forward_account)(module, shape, batch)


def forward(
    backbone: Backbone,
    *,
    batch: int = 16,
    size: int | None = None,
    layer: str = "logits",
    device: str | None = None,
    repeats: int = 5,
) -> Cost:
    """Measure a forward pass in evaluation mode, without gradients, on random pictures.

    Args:
        backbone: The network; it stays as it is.
        batch: Pictures at once.
        size: Side of a picture in pixels; by default the backbone's.
        layer: Where the pass ends.
        device: By default the backbone's; another one gets a copy.
        repeats: Measurements after the warm-up.

    Raises:
        CourseError: An option that nothing can be measured with, or not enough memory.
    """
    with own_numbers():
        benches = {"": forward_bench(backbone, batch=batch, size=size, layer=layer, device=device)}
        return measured(benches, repeats)[""]


def training_step(
    backbone: Backbone,
    *,
    batch: int = 16,
    size: int | None = 128,
    layer: str = "embedding",
    freeze_until: str | None = None,
    cached: bool = False,
    n_classes: int = 10,
    device: str | None = None,
    repeats: int = 5,
) -> Cost:
    """Measure the training step that `tlcourse.fit` makes, on random pictures.

    Frozen parts are in evaluation mode, and BatchNorm is as in `Network.train`. To open and prepare
    pictures is not part of a step.

    Args:
        backbone: The network; it stays as it is, since a copy is trained.
        batch: Pictures at once.
        size: Side of a picture in pixels; None for the backbone's own.
        layer: Where the backbone is cut and the new head begins.
        freeze_until: Last frozen layer; None trains everything.
        cached: Begin from the stored output of the frozen part.
        n_classes: Outputs of the new head.
        device: By default the backbone's; another one gets a copy.
        repeats: Measurements after the warm-up.

    Raises:
        CourseError: An option that nothing can be measured with, or not enough memory.
    """
    with own_numbers():
        benches = {
            "": step_bench(
                backbone,
                batch=batch,
                size=size,
                layer=layer,
                freeze_until=freeze_until,
                cached=cached,
                n_classes=n_classes,
                device=device,
            )
        }
        return measured(benches, repeats)[""]


def side_by_side(
    backbone: Backbone, settings: Mapping[str, Mapping[str, Any]], *, repeats: int = 5
) -> SideBySide:
    """Measure training steps in several settings in turn, A B C A B C, and compare them.

    Args:
        backbone: The network; it stays as it is.
        settings: Name -> options of `training_step`.
        repeats: Rounds after the warm-up.

    Raises:
        CourseError: There is no setting, or one that nothing can be measured with.

    Example:
        >>> settings = {"all": {}, "head": {"freeze_until": "embedding"}}
        >>> both = side_by_side(backbone, settings)  # doctest: +SKIP
        >>> both.ratio("all", "head", of="seconds")  # doctest: +SKIP
    """
    if not settings:
        raise CourseError("There is nothing to compare. Pass at least one name and its options.")
    for name, options in settings.items():
        check_options(name, options)
    with own_numbers():
        benches = {name: step_bench(backbone, **options) for name, options in settings.items()}
        return SideBySide(measured(benches, repeats))


def devices() -> tuple[str, ...]:
    """Name the devices of this machine: "cpu", then each CUDA GPU, then an Apple GPU."""
    return ("cpu", *accelerators())


def on_every_device(backbone: Backbone, *, repeats: int = 5, **options: Any) -> SideBySide:
    """Measure one training step on every device there is, in turn.

    Args:
        backbone: The network; it stays as it is.
        repeats: Rounds after the warm-up.
        options: Those of `training_step`, but `device`.
    """
    check_options("on_every_device", options)
    if "device" in options:
        raise CourseError("on_every_device() chooses the devices itself; leave `device` out.")
    return side_by_side(
        backbone, {name: {**options, "device": name} for name in devices()}, repeats=repeats
    )
