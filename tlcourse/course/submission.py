"""The capstone: your answers to pictures whose labels you do not have, scored and ranked.

What is kept of the last score are your answers, so it can be counted again on another machine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse.base.html import BLUE, GREEN, VIOLET, box
from tlcourse.course import progress_file
from tlcourse.course.recorded import recorded_runs
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.metrics import Paired, compare_paired, confusion_matrix, wilson_interval
from tlcourse.tasks import capstone
from tlcourse.tasks.capstone import Part
from tlcourse.tasks.fashion import CLASSES
from tlcourse.tasks.load import capstone_part

if TYPE_CHECKING:
    from PIL import Image

QUESTION = "16.final"  # what it is called in the progress file
RUNS = "capstone_baselines"
TO_BEAT = "probe at the best layer"
_MANY = 10  # tries after which a learner is told what they cost

Predict = Callable[[list["Image.Image"]], Sequence[Any]]


@dataclass(frozen=True, repr=False)
class Submission:
    """How many pictures you put into their class; a notebook shows it as a marked box.

    Attributes:
        part: "tries", or "private" for the score that counts.
        right: How many pictures were put into their class.
        n: How many pictures there are.
        baselines: Name -> accuracy on the same pictures, worst first.
        paired: You against the probe at the best layer, picture by picture.
        mistakes: The class that was missed most often, what was answered instead most often, and
            how often. None for the private part, and where nothing is wrong.
        tries: How many scores on the part for tries there were, this one included.
        when: When the score that counts was taken; None for a try.
        again: The private part was scored before, and this is that score.
    """

    part: Part
    right: int
    n: int
    baselines: dict[str, float]
    paired: Paired
    mistakes: tuple[str, str, int] | None = None
    tries: int = 0
    when: datetime | None = None
    again: bool = False

    @property
    def accuracy(self) -> float:
        """Share of the pictures that are right."""
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson_interval(self.right, self.n)

    @property
    def rank(self) -> int:
        """Your place among the baselines: 1 if you are above all of them, 5 if below all."""
        return 1 + sum(value >= self.accuracy for value in self.baselines.values())

    @property
    def text(self) -> str:
        """All of it in a few sentences."""
        low, high = self.interval
        where = "part for tries" if self.part == "tries" else "private part"
        name, value = next(reversed(self.baselines.items()))
        place = f"Rank {self.rank} of {len(self.baselines) + 1}; the best baseline is the {name}"
        said = [
            f"{self.right} of {self.n} pictures of the {where} are right: "
            f"{self.accuracy:.3f} (95 % interval {low:.3f} to {high:.3f}).",
            f"{place} with {value:.3f}.",
            self._against_the_probe,
        ]
        if self.mistakes:
            true, answered, times = self.mistakes
            said.append(f"Look at {true!r} next: {times} of them are called {answered!r}.")
        if self.part == "tries" and self.tries >= _MANY:
            said.append(
                f"This is your try {self.tries}. The more often you choose by this number, the "
                "more it flatters you. Choose by the validation pictures."
            )
        if self.again:
            said.insert(0, "The private part is scored once. This is your score from before.")
        if self.when:
            said.append(
                f"Taken on {self.when:%Y-%m-%d at %H:%M} UTC and kept with your progress. For your "
                "teacher: `tlcourse progress --csv progress.csv` counts your answers again."
            )
        return " ".join(said)

    @property
    def _against_the_probe(self) -> str:
        if self.paired.difference == 0:
            return f"You are level with the {TO_BEAT}."
        points, side = 100 * abs(self.paired.difference), ("above", "below")
        return (
            f"You are {points:.1f} points {side[self.paired.difference < 0]} the {TO_BEAT}. "
            f"The difference {self.paired.verdict}."
        )

    @property
    def heading(self) -> str:
        """The first words."""
        return "A try." if self.part == "tries" else "Your final score."

    def __repr__(self) -> str:
        return f"{self.heading} {self.text}".replace("`", "")

    def _repr_html_(self) -> str:
        colour = GREEN if self.rank == 1 else VIOLET if self.part == "tries" else BLUE
        return box("★", self.heading, colour, self.text)


def submit(predict: Predict | Any, *, final: bool = False) -> Submission:
    """Score your answers to the capstone's pictures, whose labels you do not have.

    Args:
        predict: A function that takes a list of PIL pictures, of the kind that
            `load_task("capstone")` gives, and returns for each the name of its class, or its label.
            Also a `Result`, or a backbone with the classes of the task: then the network predicts.
        final: Score the private part. That can be done once: the answers are kept with your
            progress, and a later call gives the first score again. By default the part for tries
            is scored, as often as you like.

    Returns:
        Score, 95 % interval and rank among four baselines: pixels, pattern 1, a probe at the last
        layer and one at the best layer (`benchmarks/capstone.py`). It shows itself as a sentence.

    Raises:
        CourseError: `predict` stopped with an error, or gave something else than one class for each
            picture. Then nothing was scored, and the final score is still to come.

    Example:
        >>> submit(lambda pictures: ["bag"] * len(pictures)).accuracy
        0.1
    """
    if not final:
        labels = _answers(predict, "tries")
        progress_file.change(QUESTION, lambda entry: entry | {"tries": entry.get("tries", 0) + 1})
        return _scored("tries", labels, tries=progress_file.entry(QUESTION).get("tries", 0))
    kept = kept_answers(progress_file.entry(QUESTION))
    if kept is None:
        new = "".join(map(str, _answers(predict, "private")))
        added = {"answers": new, "solved": progress_file.now()}
        progress_file.change(QUESTION, lambda e: e if kept_answers(e) is not None else e | added)
    entry = progress_file.entry(QUESTION)
    when = datetime.fromisoformat(entry["solved"]).astimezone(UTC)
    labels = np.array(list(map(int, entry["answers"])))
    return _scored("private", labels, when=when, again=kept is not None)


def kept_answers(entry: progress_file.Entry) -> np.ndarray | None:
    """The answers to the private part that a progress file holds, (N,); None if it holds none."""
    kept = str(entry.get("answers", ""))
    if "solved" not in entry or len(kept) != capstone.SIZES["private"]:
        return None
    return np.array(list(map(int, kept))) if kept.isascii() and kept.isdigit() else None


def kept_accuracy(entry: progress_file.Entry) -> float | None:
    """The final score of a progress file, counted again from the answers; None if it has none."""
    answers = kept_answers(entry)
    return None if answers is None else float((answers == capstone.labels("private")).mean())


def _scored(part: Part, answers: np.ndarray, **about: Any) -> Submission:
    """Compare the answers with the labels and with the baselines."""
    labels = capstone.labels(part)
    right = answers == labels
    runs = recorded_runs(RUNS)
    runs = runs[runs["part"] == part].sort_values("right", kind="stable")
    baselines = dict(zip(runs["baseline"], runs["right"] / runs["n"], strict=True))
    best = runs.set_index("baseline").loc[TO_BEAT, "answers"]
    best_right = np.array(list(map(int, best))) == labels
    return Submission(
        part,
        int(right.sum()),
        len(labels),
        baselines,
        compare_paired(right, best_right, ("yours", TO_BEAT)),
        mistakes=_mistakes(answers, labels) if part == "tries" else None,
        **about,
    )


def _mistakes(answers: np.ndarray, labels: np.ndarray) -> tuple[str, str, int] | None:
    """The class that is missed most often, and what it is taken for most often."""
    wrong = confusion_matrix(answers, labels, len(CLASSES))
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return None
    true = int(wrong.sum(axis=1).argmax())
    answered = int(wrong[true].argmax())
    return CLASSES[true], CLASSES[answered], int(wrong[true, answered])


def _answers(predict: Any, part: Part) -> np.ndarray:
    """Let `predict` answer, and return its answers as labels (N,)."""
    from torch import nn

    from tlcourse.networks.backbone import Backbone

    # That of a `Result`; a `Network` has one, too, but that is the body without the head.
    network = predict if isinstance(predict, nn.Module) else getattr(predict, "backbone", predict)
    pictures = capstone_part(part)
    if isinstance(network, Backbone):
        from tlcourse.features.features import extract_features

        found = extract_features(network, pictures, "logits", cache=False, progress=False)
        return _as_labels([network.classes[i] for i in found.x["logits"].argmax(axis=1)], part)
    if not callable(predict):
        raise CourseError(
            f"predict is {type(predict).__name__}, but must be a function that takes a list of "
            "pictures and returns a class for each, or a result that a pattern returned."
        )
    try:
        answers = predict([picture for picture, _ in pictures])
    except Exception as error:
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise CourseError(
            f"Nothing was scored, because predict stopped with {said}. Try it on some pictures of "
            "load_task('capstone').val first."
        ) from error
    return _as_labels(answers, part)


def _as_labels(answers: Any, part: Part) -> np.ndarray:
    """Check answers of any kind, one name or label for each picture."""
    if answers is None:
        raise CourseError(
            "Nothing was scored, because predict returned None. Does it end with a return?"
        )
    try:
        values = np.asarray(answers.tolist() if hasattr(answers, "tolist") else list(answers))
    except (TypeError, ValueError, RuntimeError) as error:
        raise CourseError(
            f"Nothing was scored, because predict returned {type(answers).__name__}. It must return "
            f"a list with one class for each of the {capstone.SIZES[part]} pictures."
        ) from error
    if values.shape != (capstone.SIZES[part],):
        hint = " Take the class with the highest score of each." if values.ndim == 2 else ""
        raise CourseError(
            f"Nothing was scored, because predict returned values of shape {values.shape} instead "
            f"of one class for each of the {capstone.SIZES[part]} pictures.{hint}"
        )
    if values.dtype.kind in "iu":
        if values.min() < 0 or values.max() >= len(CLASSES):
            wrong = values[(values < 0) | (values >= len(CLASSES))][0]
            raise CourseError(
                f"Nothing was scored, because predict returned the label {wrong}. Labels are from "
                f"0 to {len(CLASSES) - 1}."
            )
        return values.astype(np.int64)
    if values.dtype.kind != "U":
        place = next((i for i, v in enumerate(values.tolist()) if not _may_be_a_class(v)), 0)
        where = "the first picture" if place == 0 else f"picture {place + 1}"
        raise CourseError(
            f"Nothing was scored, because predict returned {values.tolist()[place]!r} for {where}. "
            f"It must return names of classes, or whole numbers from 0 to {len(CLASSES) - 1}."
        )
    for name in values.tolist():
        if name not in CLASSES:
            raise UnknownNameError("class", name, CLASSES, "Nothing was scored.")
    return np.array([CLASSES.index(name) for name in values.tolist()])


def _may_be_a_class(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
