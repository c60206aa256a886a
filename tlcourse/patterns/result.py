"""What a pattern brought and cost, and the network that it made, to use and to keep."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tlcourse.base.files import read_json, save_files, sha256_of
from tlcourse.base.messages import printable
from tlcourse.errors import CourseError, check_choice, check_whole
from tlcourse.explain.predictions import top_k
from tlcourse.metrics import Paired, compare_paired, fit_temperature, probabilities
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.load import load_backbone, n_parameters
from tlcourse.networks.network import Network
from tlcourse.networks.trace import meta_copy
from tlcourse.tasks.folder import open_either
from tlcourse.tasks.split import Split

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from tlcourse.tasks.sound import Sound
    from tlcourse.training.history import History

# What `model.json` holds of the result, beside how the network is built again.
_TEXTS = ("pattern", "task", "layer")
_NUMBERS = ("val_accuracy", "test_accuracy", "seconds")
_FIGURES = (*_TEXTS, "classes", *_NUMBERS, "interval", "trainable_parameters")
_FORMAT = 1
# A network that is made whole, to be cut, may have so many numbers for each one in the file.
_CUT, _SMALL = 16, 150_000_000
KINDS = ("pictures", "sounds")
_ABOUT, _WEIGHTS, _CARD = "model.json", "model.safetensors", "README.md"


@dataclass(frozen=True, eq=False)
class Result:
    """One pattern on one task.

    Attributes:
        classes: Those of the task; label i means `classes[i]`.
        layer: Where the backbone was cut.
        applicable: False if the pattern cannot solve this task; then there is no accuracy.
        note: Why not; or what else there is to say.
        val_accuracy: On the validation split, which also chose (epoch, strength).
        test_accuracy: On the test split, which chose nothing.
        interval: Wilson's 95 % interval of it (of `val_accuracy` where there is no test picture).
        balanced_accuracy: Mean over the classes of the share that is right, on the same pictures.
        confusion: Counts (classes, classes) on the same pictures; a row for each true class.
        logits: "val" and "test" -> the network's scores of each picture, float32 (N, classes). A
            loaded result has none.
        pictures: "val" and "test" -> the pictures that were scored.
        saved_temperature: The `temperature` of a loaded result.
        seconds: From the pictures, without those of the test split, to the finished network; stored
            features count as if they had been computed. For "classifier": to predict the validation
            pictures.
        trainable_parameters: How many parameters were learned.
        history: The epochs, where there were any.
        holds: What the task holds: "pictures" or "sounds".
        facts: Gives what the model card says of the data, the training and the backbone; see
            `tlcourse.patterns.card`. A loaded result gives what was saved.
    """

    pattern: str
    task: str
    classes: tuple[str, ...]
    layer: str
    applicable: bool = True
    note: str = ""
    val_accuracy: float = math.nan
    test_accuracy: float = math.nan
    interval: tuple[float, float] = (0.0, 1.0)
    balanced_accuracy: float = math.nan
    confusion: np.ndarray | None = None
    logits: Mapping[str, np.ndarray] = field(default_factory=dict)
    pictures: Mapping[str, Split] = field(default_factory=dict)
    saved_temperature: float | None = None
    seconds: float = 0.0
    memory: Callable[[], int] | None = None  # counts `peak_bytes`
    trainable_parameters: int = 0
    history: "History | None" = None
    made: Backbone | None = None  # the `backbone`, where it is kept
    holds: str = "pictures"
    facts: Callable[[], Mapping[str, Any]] = dict

    @property
    def backbone(self) -> Backbone:
        """The finished network as a backbone: tap it, explain it, let it predict.

        Raises:
            CourseError: The pattern was not applicable, so there is none.
        """
        if self.made is None:
            raise CourseError(f"Pattern {self.pattern!r} made no network: {self.note}")
        return self.made

    @cached_property
    def predicted(self) -> dict[str, np.ndarray]:
        """For "val" and "test", the label that it gives to each picture, (N,)."""
        return {part: logits.argmax(axis=1) for part, logits in self.logits.items()}

    @cached_property
    def temperature(self) -> float:
        """Fitted to the validation logits; it makes the probabilities honest.

        See `tlcourse.metrics.fit_temperature`. 1 where there are no validation pictures.
        """
        if self.saved_temperature is not None:
            return self.saved_temperature
        logits = self.logits.get("val", ())
        return fit_temperature(logits, self.pictures["val"].labels) if len(logits) else 1.0

    @property
    def right(self) -> np.ndarray:
        """Whether it is right, for each test picture, or validation picture if there is no test.

        Raises:
            CourseError: The result was loaded, or not applicable, so it holds no answers.
        """
        last = self.last_split
        return np.asarray(self.predicted[last] == self.pictures[last].labels)

    @property
    def last_split(self) -> str:
        """The split that decides: "test", or "val" where there is no test picture."""
        if not self.logits:
            why = "was loaded" if self.applicable else "is not applicable"
            raise CourseError(
                f"The result of {self.pattern!r} {why}, so it holds no answers to pictures. "
                "Use the result that the pattern returned."
            )
        return "test" if len(self.logits["test"]) else "val"

    @cached_property
    def peak_bytes(self) -> int:
        """Memory that its largest step needs, the sum over all owners (`tlcourse.cost`).

        It is counted when you ask for it, whatever else the process holds; 0 for a loaded result.
        """
        if self.memory is not None:
            return self.memory()
        return self.history.peak_bytes if self.history is not None else 0

    def predict(
        self, picture: "Image | Sound | str | Path | torch.Tensor", *, calibrated: bool = False
    ) -> "pd.DataFrame":
        """Classify one picture, or one sound.

        Args:
            picture: A PIL image, a `Sound`, the path of a file, or a preprocessed tensor (3, H, W).
                A file whose name ends like a sound's is opened as one.
            calibrated: Divide the logits by `temperature` first. No answer changes, but of those
                with 80 % about 80 % are right, for pictures like the validation pictures.

        Returns:
            One row per class: `class` and `probability`, most probable first.
        """
        if isinstance(picture, str | Path):
            picture = open_either(picture)
        table = top_k(self.backbone, picture, len(self.classes))
        if calibrated:
            found = [table["probability"]]
            table["probability"] = probabilities(found, temperature=self.temperature)[0]
        return table

    def save(
        self,
        folder: str | Path,
        *,
        purpose: str | None = None,
        groups: "Sequence[Any] | np.ndarray | None" = None,
    ) -> Path:
        """Write the network and its model card into a folder, whole or not at all.

        `model.safetensors` holds the weights, `model.json` how the network is built again, and
        `README.md` says on one page what it is for, what it was made of, and how well it does. A
        folder that holds an earlier result is replaced; any other one is left alone.

        Args:
            folder: Where to write.
            purpose: What it is for, in your words, for the card.
            groups: What each test picture belongs to, such as its camera or its writer, (N,) names:
                the card then shows the accuracy of each group (`tl.metrics.by_group`).

        Raises:
            CourseError: The folder holds something else, or cannot be written to; or there is not
                one group for each test picture.
        """
        from safetensors.torch import save

        from tlcourse.patterns.card import made_facts, score_facts, write_card

        target = Path(folder).expanduser()
        model = self.backbone.model
        weights = save({name: t.cpu().contiguous() for name, t in model.state_dict().items()})
        figures = {name: getattr(self, name) for name in _FIGURES}
        added: Any = getattr(model, "added", None)
        about = {
            "format": _FORMAT,
            "sha256": hashlib.sha256(weights).hexdigest(),
            "tlcourse": version("tlcourse"),
            "backbone": self.backbone.name,
            "holds": self.holds,
            "pool": getattr(model, "pool", "mean"),
            "head": _kind_of(getattr(model, "head", None)),
            "groups": getattr(model, "groups", []),
            "added": None if added is None else asdict(added),
            "preprocess": described(self.backbone),
            "temperature": self.temperature,
        } | {name: None if value != value else value for name, value in figures.items()}
        if groups is not None and not self.logits:
            self.last_split  # noqa: B018  says why there are no answers
        facts: dict[str, Any] = {"made": made_facts()} | dict(self.facts())
        facts |= {"scores": found} if (found := score_facts(self, groups)) else {}
        facts |= {} if purpose is None else {"purpose": purpose}
        text = json.dumps(about | {"facts": facts}, indent=2) + "\n"
        try:
            card = write_card(self, facts)
        except Exception as error:  # what a template raises of facts that a file made up
            raise CourseError(
                f"The model card cannot be written, because {target.name} would be saved with "
                f"facts that are damaged ({error}). Train it again, or load another file."
            ) from error
        files = {_WEIGHTS: weights, _ABOUT: text.encode(), _CARD: card.encode()}
        save_files(target, files, "result")
        return target

    def __repr__(self) -> str:
        if not self.applicable:
            return f"{self.pattern} on {self.task!r}: not applicable. {self.note}"
        low, high = self.interval
        on = "test" if not math.isnan(self.test_accuracy) else "validation"
        value = self.test_accuracy if on == "test" else self.val_accuracy
        return (
            f"{self.pattern} on {self.task!r}, cut at {self.layer!r}\n"
            f"  {on} accuracy {value:.3f} (95 % interval {low:.3f} to {high:.3f}), "
            f"validation accuracy {self.val_accuracy:.3f}\n"
            f"  {self.trainable_parameters:,} parameters learned, {self.seconds:.1f} s"
        )


def same_or_not(first: "Result | Any", second: "Result | Any") -> Paired:
    """Say in one line whether two results differ by more than chance, on the same pictures.

    Args:
        first: A result, or for each picture whether a method is right, bool (N,).
        second: The other one.

    Returns:
        It shows itself as a sentence; `significant` and `p_value` are those of the exact McNemar
        test (Dietterich 1998), on the test pictures, or on the validation pictures where there is
        no test picture.

    Raises:
        CourseError: They are not answers to the same pictures.
    """
    if isinstance(first, Result) and isinstance(second, Result):
        _check_same_pictures(first, second)
        return compare_paired(first.right, second.right, _names(first, second))
    return compare_paired(_right_or_not(first), _right_or_not(second))


def _check_same_pictures(first: Result, second: Result) -> None:
    """Refuse two results that were not tested with the same pictures."""
    one, other = first.pictures[first.last_split], second.pictures[second.last_split]
    same_classes = first.classes == second.classes and np.array_equal(one.labels, other.labels)
    if one is other or (same_classes and one.digests() == other.digests()):
        return
    raise CourseError(
        f"Only answers to the same pictures can be compared. These are {len(first.right)} pictures "
        f"of {first.task!r} and {len(second.right)} others of {second.task!r}."
    )


def _names(first: Result, second: Result) -> tuple[str, str]:
    """Return what the two are called: their patterns, with what makes them different."""
    if first.pattern != second.pattern:
        return first.pattern, second.pattern
    if first.layer != second.layer:
        return f"{first.pattern} at {first.layer}", f"{second.pattern} at {second.layer}"
    return f"first {first.pattern}", f"second {second.pattern}"


def _right_or_not(answers: Any) -> np.ndarray:
    if isinstance(answers, Result):
        return answers.right
    values = np.asarray(answers)
    if values.ndim != 1 or values.dtype.kind not in "biu" or not np.isin(values, (0, 1)).all():
        raise CourseError(
            "same_or_not() takes two results, or two arrays that say for each picture whether a "
            f"method is right, such as predicted == labels. It got {type(answers).__name__}."
        )
    return values.astype(bool)


def load_result(
    folder: str | Path, device: str | torch.device | None = None, *, head: nn.Module | None = None
) -> Result:
    """Load what `Result.save` wrote; it predicts as before.

    Args:
        folder: The folder.
        device: See `resolve_device`.
        head: Where the head was a module of your own, one that is built in the same way. It gets
            the saved weights.

    Raises:
        CourseError: There is no saved result, it is damaged, its weights are those of another
            network than it says, or a head of your own is missing.
    """
    from safetensors.torch import load_file

    place = Path(folder).expanduser()
    try:
        about = read_json(place / _ABOUT)
        _check_saved(place, about)
        figures = _figures(about)
        about["classes"] = list(figures["classes"])
        made = _network(about, place / _WEIGHTS, device, head)
        made.model.load_state_dict(load_file(place / _WEIGHTS))
    except FileNotFoundError as error:
        raise CourseError(
            f"{place} holds no saved result: it needs {_ABOUT} and {_WEIGHTS}. "
            "result.save(folder) writes them."
        ) from error
    except CourseError:
        raise
    except KeyError as error:
        raise CourseError(f"{place / _ABOUT} is damaged: it does not say {error}.") from error
    except RuntimeError as error:
        raise CourseError(
            f"The weights in {place} are not those of {printable(about['backbone'])}, cut at "
            f"{about['layer']!r}, with {len(about['classes'])} classes, as {_ABOUT} says. "
            "They belong to another network."
        ) from error
    except Exception as error:  # what networks raise that are made with impossible options
        said = str(error) or type(error).__name__
        raise CourseError(f"The saved result in {place} is damaged ({said[:200]}).") from error
    return Result(**figures, made=made)


def _figures(about: Mapping[str, Any]) -> dict[str, Any]:
    """Read what was measured, if each value is of its kind."""
    figures = {name: about[name] for name in _FIGURES}
    for name in _TEXTS:
        if not isinstance(figures[name], str):
            raise TypeError(f"{name} is no text")
    for name in _NUMBERS:
        figures[name] = math.nan if figures[name] is None else float(figures[name])
    if not isinstance(names := figures["classes"], list) or not all(
        isinstance(name, str) for name in names
    ):
        raise TypeError("classes is no list of names")
    low, high = figures["interval"]
    return figures | {
        "task": printable(figures["task"]),
        "classes": tuple(map(printable, names)),
        "interval": (float(low), float(high)),
        "trainable_parameters": check_whole(
            "trainable_parameters", figures["trainable_parameters"], least=0
        ),
        "saved_temperature": _temperature(about),
        "holds": check_choice("kind of data", about.get("holds", "pictures"), KINDS),
        "facts": partial(dict, about.get("facts", {}) | {}),  # version 1.0 had none
    }


def _temperature(about: Mapping[str, Any]) -> float:
    """Read the temperature that was saved; version 1.1 had none."""
    value = float(about.get("temperature", 1.0))
    if not 0 < value < math.inf:
        raise ValueError(f"temperature {value}")
    return value


def _check_saved(place: Path, about: Mapping[str, Any]) -> None:
    """See whether this version reads it, and whether the weights were saved with it."""
    if about["format"] != _FORMAT:
        raise CourseError(
            f"{place} was saved by another version of tlcourse (format {about['format']!r}, "
            f"this one reads {_FORMAT})."
        )
    if (place / _WEIGHTS).exists() and not (place / _WEIGHTS).is_file():
        raise ValueError(f"{_WEIGHTS} is not a file")  # to read a pipe could take for ever
    digest = sha256_of(place / _WEIGHTS)
    if about.get("sha256", digest) != digest:  # version 1.0 did not write it down
        raise CourseError(
            f"The saved result in {place} is damaged: {_WEIGHTS} is not the file that was saved "
            "(its SHA-256 differs). Copy or save it again."
        )


def _kind_of(head: nn.Module | None) -> str:
    """What `Network` can make this head again from: "linear", "conv" or "own"."""
    from tlcourse.networks.head import WIDTH, ConvHead

    if isinstance(head, ConvHead):
        return "conv" if head[0].out_channels == WIDTH else "own"
    return "linear" if head is None or isinstance(head, nn.Linear) else "own"


def _network(
    about: Mapping[str, Any],
    weights: Path,
    device: str | torch.device | None,
    head: nn.Module | None,
) -> Backbone:
    """Build the network, once it is known that the file holds weights of these shapes.

    So a small file from somebody else cannot ask for more memory than there is.
    """
    from safetensors import safe_open

    name, numbers = about["backbone"], weights.stat().st_size // 4
    if not isinstance(name, str):
        raise TypeError("backbone is no name")
    if (needed := n_parameters(name)) > max(_SMALL, _CUT * numbers):
        raise CourseError(
            f"The saved result in {weights.parent} holds {numbers:,} numbers, but says that they "
            f"are of {name}, which has {needed:,}. It was not loaded."
        )
    backbone = _prepared(about, load_backbone(name, pretrained=False, device=device))
    if about.get("head") != "own":
        with torch.device("meta"), safe_open(weights, "pt") as file:
            made = _build(about, backbone.with_model(meta_copy(backbone.model)), None)
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        if {key: list(t.shape) for key, t in made.model.state_dict().items()} != shapes:
            raise RuntimeError("other shapes")
    return _build(about, backbone, head)


def _prepared(about: Mapping[str, Any], backbone: Backbone) -> Backbone:
    """Give a backbone the size that was saved, if its preprocessing is then the same."""
    said = about["preprocess"]
    if "frames" not in said:  # a network for pictures, of which version 1 did not say all
        said = {"channels": "RGB", "scale": 1.0} | said
    size = said["frames"] if "frames" in said else said["crop_size"]
    backbone = backbone.at_size(size)
    if (here := described(backbone)) != said:
        raise CourseError(
            f"The saved network was trained with another preprocessing than {backbone.name} has "
            f"here: {said}, not {here}."
        )
    return backbone


def _build(about: Mapping[str, Any], backbone: Backbone, head: nn.Module | None) -> Backbone:
    classes = tuple(about["classes"])
    if about["groups"]:
        from tlcourse.networks.grouped import grouped

        return grouped(backbone, classes, _groups(about, len(backbone.classes)))
    kind = about.get("head", "linear")  # version 1.0 knew no other
    if kind == "own":
        if head is None:
            raise CourseError(
                "The head of this result is a module of your own, which a file cannot hold. No "
                "command can load it. In a program, pass one that is built in the same way: "
                "tl.load_result(folder, head=...)."
            )
        kind = head
    network = Network(backbone, len(classes), layer=about["layer"], pool=about["pool"], head=kind)
    if added := about.get("added"):  # bottleneck adapters; nothing else stays beside the weights
        from tlcourse.training.adapters import Added, put_on

        put_on(network, Added(**added | {"layers": tuple(added["layers"])}))
    return network.as_backbone(classes)


def _groups(about: Mapping[str, Any], n: int) -> list[list[int]]:
    """Read which of a network's `n` classes mean each class of the task."""
    groups = about["groups"]
    if not isinstance(groups, list) or len(groups) != len(about["classes"]):
        raise ValueError("groups is no list with a group for each class")
    for group in groups:
        numbers = isinstance(group, list) and [i for i in group if type(i) is int and 0 <= i < n]
        if not numbers or numbers != group:
            raise ValueError("groups does not hold the numbers of the network's classes")
    return groups


def described(backbone: Backbone) -> dict[str, Any]:
    """Say in words and numbers how a picture or a sound is preprocessed, as JSON holds it."""
    # As they are read back: JSON knows no tuples.
    return json.loads(json.dumps(backbone.preprocess.options))
