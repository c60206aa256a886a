"""The suspects of notebook 09, and an exercise that asks which of them it is."""

from collections.abc import Callable
from typing import Any

from tlcourse.course.exercise import Exercise, Misconception, same_text

# The table of suspects at the start of the notebook, with other ways to write each one.
SUSPECTS = {
    "augmented test": ("augmentation", "augmented tests", "augmentation on the test set"),
    "batchnorm": ("batch norm", "batch-norm", "batch normalisation", "batch normalization"),
    "label order": ("labels", "order of the labels", "label-order", "class order"),
    "leak": ("leakage", "data leak", "the same picture in training and test"),
    "learning rate": ("rate", "learning-rate", "lr", "learning_rate"),
    "normalisation": ("normalization", "wrong normalisation", "wrong normalization"),
    "old head": (
        "the old head",
        "old-head",
        "frozen head",
        "the frozen head",
        "optimiser",
        "optimizer",
    ),
    "one seed": ("seed", "a single seed", "only one seed", "one training"),
    "outputs": ("output", "number of outputs"),
    "too few epochs": ("few epochs", "epochs"),
    "too few pictures": ("few pictures", "pictures"),
    "training mode": ("train mode", "training-mode", "evaluation in training mode"),
}


def names(suspect: str) -> Callable[[Any], bool]:
    return lambda answer: same_text(answer, suspect, *SUSPECTS[suspect])


def case(
    number_of_case: int, suspect: str, praise: str, hints: tuple[str, ...], **clear: str
) -> Exercise:
    """Ask for a suspect; `clear` says, with _ for a space, what speaks against the others."""
    against = {name.replace("_", " "): says for name, says in clear.items()}
    others = [name for name in SUSPECTS if name != suspect and name not in against]
    in_the_table = Misconception(
        "in the table",
        lambda answer: any(names(name)(answer) for name in others),
        "That is in the table, but it does not explain these symptoms. "
        "Which of them would look different?",
        others[0],
    )
    return Exercise(
        id=f"09.{number_of_case}",
        question=f"Which mistake is it in case {number_of_case}?",
        right=names(suspect),
        praise=praise,
        misconceptions=(
            *(Misconception(name, names(name), says, name) for name, says in against.items()),
            in_the_table,
        ),
        hints=hints,
        otherwise=(
            "Take a short name out of the table of suspects. For each one, ask which of the "
            f"symptoms of case {number_of_case} it cannot explain."
        ),
        expects="a short name out of the table of suspects, as a text",
    )
