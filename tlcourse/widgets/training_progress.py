"""How far a training is, and how long it will take, for whoever waits."""

import html
import time
from dataclasses import dataclass

from tlcourse.base.durations import in_words
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_batch_size
from tlcourse.networks.trace import up_to
from tlcourse.tasks.task import Task
from tlcourse.training.data import WORTH_KEEPING, shuffled


@dataclass(frozen=True)
class Setting:
    """What can be set.

    Attributes:
        until: Last frozen layer.
        rate: Learning rate of the head.
        epochs: How many.
        per_class: Training pictures of each class; None for all.
        pretrained: Whether it begins with the pre-trained weights.
    """

    until: str | None
    rate: float
    epochs: int
    per_class: int | None
    pretrained: bool

    @property
    def body_rate(self) -> float:
        """A tenth of the head's; random weights have nothing to lose and learn at the same rate."""
        return self.rate / 10 if self.pretrained else self.rate


# Seen on processors: seconds of each, as multiples of a look at one picture.
_LEARN, _STEP, _PREPARE = 5.0, 0.05, 0.8
_EACH = 0.6  # seconds that every training takes beside its batches
_TELLING = 3.0  # seconds after which a training tells how fast the machine is


@dataclass(frozen=True)
class Work:
    """What a training has to do; the unit is a look of the whole network at one picture.

    Attributes:
        n_prepare: Pictures whose output of the frozen part is computed beforehand.
        n_train: Training pictures.
        n_val: Validation pictures.
        steps: Of an epoch.
        epochs: How many.
        at_once: Pictures in a batch of the preparation, of the training, of the validation.
        each: What one picture takes in them.
    """

    n_prepare: int
    n_train: int
    n_val: int
    steps: int
    epochs: int
    at_once: tuple[int, int, int]
    each: tuple[float, float, float]

    @property
    def total(self) -> float:
        """All of it."""
        prepare, learn, look = self.each
        epoch = self.n_train * learn + self.n_val * look
        return self.n_prepare * prepare + self.epochs * epoch

    def seconds(self, look: float) -> float:
        """How long it will take where a look at a picture takes so long."""
        return _EACH + self.total * look


@dataclass(frozen=True)
class Foresight:
    """What a setting means.

    Attributes:
        sentence: In words, without the time.
        work: What there is to do.
    """

    sentence: str
    work: Work

    def html(self, look: float) -> str:
        """Write it, with the time that it takes where a look at a picture takes so long."""
        took = roughly(self.work.seconds(look))
        return f'<div style="line-height:1.4">{self.sentence} About {took}.</div>'


def foresee(
    backbone: Backbone, task: Task, setting: Setting, batch_size: int, *, cut: str
) -> Foresight:
    """Say what a setting means.

    Args:
        backbone: The network to start from.
        task: Its pictures, already as few as set.
        setting: What is set.
        batch_size: Pictures per step.
        cut: The layer in front of the head; frozen up to it, only the head learns.
    """
    work = work_of(backbone, task, setting, batch_size)
    if setting.until == cut:
        rates = "Only the head learns."
    elif setting.pretrained:
        rates = f"The body learns at a tenth of the head's rate: {setting.body_rate:g}."
    else:
        rates = f"Random weights: the body learns at the head's rate, {setting.body_rate:g}."
    steps = f"{work.steps} step{'s' * (work.steps != 1)}"
    pictures = f"{len(task.train)} training pictures"
    return Foresight(f"{rates} {pictures}, {steps} in each epoch.", work)


def work_of(backbone: Backbone, task: Task, setting: Setting, batch_size: int) -> Work:
    """Foresee what `tlcourse.fit` does, from the operations before and behind the frozen part."""
    frozen, whole = 0.0, False
    if setting.until is not None:
        layer = backbone.layer(setting.until)
        operations = up_to(backbone.trace, layer.path, inclusive=layer.side == "output")[1]
        frozen, whole = operations / max(backbone.operations, 1), layer.side == "input"
    kept = whole or frozen >= WORTH_KEEPING
    n_train, n_val = len(task.train), len(task.val)
    pictures = n_train + n_val + (len(task.test) if whole else 0)
    moving = 1 - frozen
    again = 0.0 if kept else frozen
    return Work(
        n_prepare=pictures if kept else 0,
        n_train=n_train,
        n_val=n_val,
        steps=len(shuffled(n_train, batch_size, 0, 0)),
        epochs=setting.epochs,
        at_once=(fast_batch_size(backbone), batch_size, 2 * batch_size),
        each=(_PREPARE * frozen, _LEARN * moving + again + _STEP, moving + again),
    )


class Progress:
    """Counts the batches of a training that runs.

    Args:
        work: What there is to do.
        look: Seconds of a look at one picture, as far as known.
    """

    def __init__(self, work: Work, look: float) -> None:
        self.work, self._look = work, look
        self._began = time.monotonic()
        self._prepared = self._steps = self._looks = 0
        self._training = False

    def count(self, training: bool) -> None:
        """Note that a batch is done, one of a training step or another one."""
        self._training = training
        if training:
            self._steps += 1
        elif self._steps:
            self._looks += 1
        else:
            self._prepared += 1

    @property
    def share(self) -> float:
        """What is done of all work, from 0 to 1."""
        work, (prepare, learn, look) = self.work, self.work.each
        prepared = min(self._prepared * work.at_once[0], work.n_prepare)
        learned = min(self._steps / work.steps, work.epochs) * work.n_train * learn
        looked = min(self._looks * work.at_once[2], work.epochs * work.n_val) * look
        return min((prepared * prepare + learned + looked) / self._all, 1.0)

    @property
    def _all(self) -> float:
        """All work, less what was on the disk already."""
        work = self.work
        if not self._steps:
            return work.total
        missed = work.n_prepare - min(self._prepared * work.at_once[0], work.n_prepare)
        return work.total - missed * work.each[0]

    @property
    def epoch(self) -> int:
        """The epoch that is on its way, from 1 on; 0 before the first step."""
        return min(-(-self._steps // self.work.steps), self.work.epochs)

    @property
    def sentence(self) -> str:
        """What is being done, and how long it will still take."""
        work = self.work
        if not self._steps:
            seen = min(self._prepared * work.at_once[0], work.n_prepare)
            said = f"The frozen part sees each picture once: {seen} of {work.n_prepare}"
            if not work.n_prepare or not self._prepared:
                said = "Getting ready"
        elif self._training:
            step = self._steps - (self.epoch - 1) * work.steps
            said = f"Epoch {self.epoch} of {work.epochs}, step {step} of {work.steps}"
        else:
            said = f"Epoch {self.epoch} of {work.epochs}, validation pictures"
        share, gone = self.share, time.monotonic() - self._began
        guess = max(work.seconds(self._look) - gone, 0.0)
        left = gone * (1 - share) / share if share > 0.1 else guess
        return f"{said}; about {roughly(left)} left"

    @property
    def pace(self) -> float:
        """Seconds of a look at one picture, as it went so far; as known where it went too short."""
        gone, share = time.monotonic() - self._began, self.share
        if gone < _TELLING or share < 0.1:
            return self._look
        return (gone - _EACH) / (share * self._all)

    def html(self, name: str) -> str:
        """Write it as a bar and a sentence."""
        return bar(name, self.share, self.sentence)


def bar(name: str, share: float, sentence: str) -> str:
    """A progress bar and what is said beside it."""
    return (
        f'<progress max="100" value="{100 * share:.0f}" aria-label="{html.escape(name)}" '
        'style="width:14em;max-width:100%;vertical-align:middle;'
        'accent-color:var(--jp-brand-color1, #0072B2)"></progress> '
        f"{html.escape(sentence)}"
    )


def roughly(seconds: float) -> str:
    """Write a duration that is not known well."""
    whole = max(round(seconds), 1)
    return f"{whole} s" if whole < 10 else in_words(whole)
