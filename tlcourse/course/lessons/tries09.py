"""What tries the answers to the exercises of notebook 09, and wrong answers to try it with."""

from collections.abc import Callable
from functools import cache
from typing import Any

from tlcourse.course.exercise import same_text

# --- 09.4: a right preparation, tried on pictures of one colour and on a photograph ---

COLOURS = ((0, 0, 0), (255, 255, 255), (200, 100, 30))


@cache
def plain_pictures() -> tuple[Any, ...]:
    from PIL import Image

    return tuple(Image.new("RGB", (160, 160), colour) for colour in COLOURS)


def gives(prepare: Any, values: Callable[[Any], Any]) -> bool:
    """Whether pictures of one colour become `values(colour from 0 to 255, a tensor (3,))`."""
    import torch

    if not callable(prepare):
        raise TypeError("not a function")
    for colour, picture in zip(COLOURS, plain_pictures(), strict=True):
        wanted = values(torch.tensor(colour, dtype=torch.float32)).view(3, 1, 1)
        found = prepare(picture.copy())
        if not isinstance(found, torch.Tensor) or found.shape != (3, 96, 96):
            return False
        if (found.float() - wanted).abs().max() > 0.02:
            return False
    return True


@cache
def coffee() -> tuple[Any, Any]:
    """A photograph that is not square, and the tensor that the weights' own preprocessing gives."""
    from tlcourse.networks.load import load_backbone
    from tlcourse.tasks.photographs import photographs

    picture = photographs("coffee")["coffee"]
    return picture, load_backbone(device="cpu").at_size(96).preprocess(picture)


def photograph(prepare: Any) -> str:
    """What becomes of a photograph: "right", "random" or another "geometry"."""
    import torch

    picture, wanted = coffee()
    with torch.random.fork_rng(devices=[]):  # a random flip must show, and the same way each time
        torch.manual_seed(0)
        found = [prepare(picture.copy()).float() for _ in range(6)]
    if any(again.shape != wanted.shape for again in found):
        return "geometry"
    if any(not torch.equal(again, found[0]) for again in found):
        return "random"
    difference = (found[0] - wanted).abs()  # a resized tensor is rounded in another way
    return "right" if difference.mean() < 0.005 and difference.max() < 0.1 else "geometry"


def imagenet(colour: Any) -> Any:
    import torch

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (colour / 255 - mean) / std


def painter(values: Callable[[Any], Any], form: Callable[[Any], Any] | None = None) -> Any:
    """A `prepare` that turns a picture of one colour into `values(colour)`, then into a form."""

    def prepare(picture: Any) -> Any:
        import torch

        colour = torch.tensor(picture.getpixel((0, 0)), dtype=torch.float32)
        tensor = values(colour).view(3, 1, 1).expand(3, 96, 96)
        return tensor if form is None else form(tensor)

    return prepare


def recipe(cutting: str, scaled: bool = True, **settings: Any) -> Any:
    """A `prepare` of torchvision's steps, the first of which has this name."""
    import torch
    from torchvision.transforms import v2

    types = [v2.ToDtype(torch.float32, scale=True)] if scaled else []
    first = getattr(v2, cutting)(**settings)
    return v2.Compose([first, v2.PILToTensor(), *types, v2.Normalize([0.5] * 3, [0.5] * 3)])


def scaled_colour(colour: Any) -> Any:
    return colour / 127.5 - 1


def tried(prepare: Any) -> Any:
    return prepare(plain_pictures()[0].copy())


def normalises_integers(prepare: Any) -> bool:
    try:
        tried(prepare)
    except TypeError as error:
        return "float tensor" in str(error)
    return False


def is_array(found: Any) -> bool:
    import numpy as np

    return isinstance(found, np.ndarray)


def other_shape(found: Any) -> bool:
    import torch

    return isinstance(found, torch.Tensor) and found.shape not in ((3, 96, 96), (1, 3, 96, 96))


WHAT_LETTER = {
    "A": "Without a seed you could not repeat the symptoms. It makes no training bad.",
    "B": "A copy is what fine-tuning starts from. Look at how far this copy has gone afterwards.",
    "C": "The new head fits: 1280 numbers in, 7 scores out. The first loss is that of guessing.",
    "D": "That line keeps BatchNorm's averages where they were, which is right for small batches.",
    "E": "200 pictures are seen once, 8 at a time. That can be too little to learn much, but the "
    "loss would not climb above that of guessing.",
    "F": "Pictures and labels are taken at the same places, so they belong together.",
}


def letter_of(letter: str) -> Callable[[Any], bool]:
    return lambda answer: same_text(answer, letter, f"line {letter}")
