"""The options of a training: one record that checks itself."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from PIL.Image import Image

from tlcourse.errors import CourseError, UnknownNameError, check_share, check_whole
from tlcourse.tasks.sound import Sound

if TYPE_CHECKING:
    from tlcourse.training.history import Epoch

_Function = TypeVar("_Function", bound=Callable[..., Any])
# Makes a new view of a picture, or of a sound.
Augmentation: TypeAlias = Callable[[Image], Image] | Callable[[Sound], Sound]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a training goes, and who sees and hears of it. Each field is an option of `fit`.

    Attributes:
        epochs: Passes over the training pictures.
        learning_rate: Highest rate of the head.
        body_rate: Of the backbone's deepest stage; by default a tenth of the head's.
        layer_decay, weight_decay: See `parameter_groups`.
        batch_size: Pictures per step; by default what the memory allows, at most 16 on a
            CPU, and few enough for ten steps and more in an epoch.
        warmup: Share of all steps in which the rates rise.
        label_smoothing: Share of the label that is spread over all classes; 0 for none.
        patience: Stop after so many epochs without a better one; by default it never does.
        augment: Show each picture in a fresh view in every epoch: as the task's pictures vary
            (`task.change`), or else random crops and mirror images (`backbone.augment`). Or a
            function of your own, from PIL image to PIL image (or from `Sound` to `Sound`), that
            draws from PyTorch's generator.
        unfreeze: Epoch -> last frozen layer from then on; see `gradual_unfreezing`.
        cache_frozen: Compute the output of the frozen part once per picture, where that is possible.
        start_counts: Validate before the first epoch too, and keep its weights if none is better.
        seed: Decides the order of the pictures and the augmentation.
        live: Draw the curves while it runs; by default in a notebook. A function gets the finished
            epochs after each one instead.
        progress: Show a progress bar.
        on_step: Called after each step, and each batch of the preparation and of the validation. If
            it raises, the training ends with that error and the best weights so far.
    """

    epochs: int = 8
    learning_rate: float = 1e-3
    body_rate: float | None = None
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    batch_size: int | None = None
    warmup: float = 0.1
    label_smoothing: float = 0.1
    patience: int | None = None
    augment: bool | Augmentation = False
    unfreeze: Mapping[int, str | None] | None = None
    cache_frozen: bool = True
    start_counts: bool = False
    seed: int = 0
    live: "bool | Callable[[Sequence[Epoch]], None] | None" = None
    progress: bool = True
    on_step: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        body_rate = self.learning_rate if self.body_rate is None else self.body_rate
        check_rates(self.layer_decay, learning_rate=self.learning_rate, body_rate=body_rate)
        check_whole("epochs", self.epochs)
        check_whole("seed", self.seed, least=0)
        check_share("warmup", self.warmup)
        check_share("label_smoothing", self.label_smoothing)
        if not isinstance(self.augment, bool) and not callable(self.augment):
            raise CourseError(
                f"augment is {self.augment!r}, but must be True, False, or a function that changes "
                "a picture."
            )
        for name in ("batch_size", "patience"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name))

    def changed(self, **options: Any) -> "Settings":
        """Return these settings with some options changed; a wrong name is a `TypeError`."""
        known = [field.name for field in fields(self)]
        for name in options:
            if name not in known:
                raise TypeError(str(UnknownNameError("option of a training called", name, known)))
        return replace(self, **options)


def show_options(settings: Settings, function: _Function) -> _Function:
    """Let a function's signature list these settings in place of `**options`, for Tab and help."""
    signature, shown = inspect.signature(function), inspect.signature(Settings).parameters
    parameters = dict(signature.parameters)
    del parameters["options"]
    for name, value in vars(settings).items():
        parameters.setdefault(name, shown[name].replace(default=value))
    vars(function)["__signature__"] = signature.replace(parameters=list(parameters.values()))
    return function


def check_rates(layer_decay: float = 1.0, **rates: float) -> None:
    """Refuse learning rates, by name, that train nothing."""
    for name, rate in rates.items():
        if not isinstance(rate, int | float) or not 0 < rate < math.inf:
            raise CourseError(
                f"{name} is {rate!r}, but must be a positive number such as 0.001. "
                "tl.find_learning_rate(network, task) proposes one."
            )
    if not 0 < layer_decay <= 1:
        raise CourseError(f"layer_decay is {layer_decay!r}, but must be above 0 and at most 1.")
