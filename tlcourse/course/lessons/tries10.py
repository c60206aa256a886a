"""What tries the answers to the exercises of notebook 10, and wrong answers to try it with."""

import copy
from dataclasses import dataclass
from typing import Any

from tlcourse.course.exercise import number

N_DIGITS = 7  # outputs that the function is asked for; of no example in the text


# Exercise 10.1


@dataclass(frozen=True)
class Named:
    """Stands for a backbone."""

    name: str


@dataclass(frozen=True)
class Reader:
    """Stands for a `tl.Result` on digits."""

    test_accuracy: float
    backbone: Named = Named("my_letters/")
    task: str = "digits"


def read_with_own(answer: Any) -> float:
    """Test accuracy of a result on digits that was made with the learner's own network."""
    if answer.task != "digits":
        raise TypeError("another task")
    return float(answer.test_accuracy) if own(answer) else -1.0


def own(answer: Any) -> bool:
    """Whether a result's backbone came from a folder, not from a name of the list."""
    return str(answer.backbone.name).endswith("/")


# Exercise 10.3


def letters_net() -> Any:
    """A small network that ends as the notebook's does."""
    from torch import nn

    stage = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
    return nn.Sequential(stage, nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 5))


def begun(answer: Any) -> str:
    """What the learner's function makes of a small network: "right", or which mistake."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        source = letters_net()
        before = copy.deepcopy(source.state_dict())
        made = answer(source, N_DIGITS)
        if made is None:
            return "nothing"
        x = torch.randn(3, 3, 16, 16)
        try:
            given = tuple(made.eval()(x).shape)
        except RuntimeError:
            return "does not fit"
        wanted, found = source.eval()[:-1](x), list(made.children())
        if given != (3, N_DIGITS):
            return "outputs"
        if len(source) != 4 or any(
            not torch.equal(before[name], t) for name, t in source.state_dict().items()
        ):
            return "changed"
        if {id(p) for p in source.parameters()} & {id(p) for p in made.parameters()}:
            return "shared"
        last = found[-1]
        if getattr(last, "in_features", 0) == 5:
            return "on the scores"
        if not torch.allclose(torch.nn.Sequential(*found[:-1])(x), wanted):
            return "other weights"
        return "right"


def right_start(own: Any, n_classes: int) -> Any:
    from torch import nn

    body = copy.deepcopy(own[:-1])
    return nn.Sequential(*body, nn.Linear(own[-1].in_features, n_classes))


def start_shared(own: Any, n_classes: int) -> Any:
    from torch import nn

    return nn.Sequential(*own[:-1], nn.Linear(own[-1].in_features, n_classes))


def start_on_scores(own: Any, n_classes: int) -> Any:
    from torch import nn

    return nn.Sequential(*copy.deepcopy(own), nn.Linear(own[-1].out_features, n_classes))


def start_unfit(own: Any, n_classes: int) -> Any:
    from torch import nn

    return nn.Sequential(*copy.deepcopy(own[:-1]), nn.Linear(own[-1].out_features, n_classes))


def start_afresh(own: Any, n_classes: int) -> Any:
    from torch import nn

    body = letters_net()[:-1]
    return nn.Sequential(*body, nn.Linear(own[-1].in_features, n_classes))


def start_in_place(own: Any, n_classes: int) -> Any:
    from torch import nn

    own[-1] = nn.Linear(own[-1].in_features, n_classes)
    return copy.deepcopy(own)


def start_silently(own: Any, n_classes: int) -> None:
    right_start(own, n_classes)


def start_letters(own: Any, n_classes: int) -> Any:
    return copy.deepcopy(own)


# Two accuracies, exercises 10.4 and 10.5


def two_shares(answer: Any) -> tuple[float, float]:
    """A pair of accuracies from 0 to 1; an error for anything else."""
    if len(answer) != 2 or not all(0 <= number(part) <= 1 for part in answer):
        raise TypeError("not two accuracies")
    return number(answer[0]), number(answer[1])
