"""What tries the answers to the exercises of notebook 09, and wrong answers to try it with."""

from collections.abc import Callable
from functools import cache
from typing import Any

from tlcourse.course.exercise import same_text

# --- 09.4: a mended preparation, tried on pictures of one colour and on a photograph ---

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


# --- 09.10: a proof of their own, tried on networks of a few lines ---

# Name -> what a right proof says of it.
TRIED = {
    "evaluation": True,
    "training": False,
    "rounded": True,
    "near": False,
    "first": False,
    "last": False,
}


def networks(modes: list[bool] | None = None) -> dict[str, Any]:
    """Name -> a small network, made anew, so that nobody's calls move another's averages.

    The mode in which BatchNorm of the one in training mode really runs is appended to `modes`.
    """
    import torch
    from torch import nn

    def norm(training: bool) -> Any:
        module = nn.BatchNorm2d(3)
        module.running_mean = torch.tensor([0.5, -1.0, 2.0])
        if training and modes is not None:
            module.register_forward_pre_hook(lambda m, _: modes.append(m.training))
        return nn.Sequential(module, nn.Flatten()).train(training)

    class InCompany(nn.Module):
        """Scores are another in company: a factor, a shift, a shift of one place only."""

        def __init__(self, shift: float, factor: float = 1.0, place: Any = slice(None)) -> None:
            super().__init__()
            self.shift, self.factor, self.place = shift, factor, place
            self.eval()

        def forward(self, pictures: Any) -> Any:
            scores = pictures.flatten(1).clone()
            if len(pictures) > 1:
                half = scores.shape[1] // 2
                scores[self.place, :half] = scores[self.place, :half] * self.factor + self.shift
            return scores

    return {
        "evaluation": norm(False),
        "training": norm(True),
        "rounded": InCompany(5e-7, 1 + 5e-7),  # as if it added up in another order
        "near": InCompany(0.01),
        "first": InCompany(5.0, place=0),
        "last": InCompany(5.0, place=-1),
    }


def answers(proof: Any, modes: list[bool] | None = None) -> dict[str, Any]:
    """What a learner's function returns for each network."""
    import torch

    if not callable(proof):
        raise TypeError("not a function")
    pictures = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return {name: proof(network, pictures.clone()) for name, network in networks(modes).items()}


def several(answer: Any) -> bool:
    if isinstance(answer, list | tuple):
        return True
    return getattr(answer, "ndim", 0) > 0 and len(answer) > 1


def says_of(proof: Any, **wanted: bool | None) -> bool:
    """Whether a learner's function says this of the networks, one answer for each."""
    found = answers(proof)
    if any(several(answer) for answer in found.values()):
        return False
    said = {name: None if a is None else bool(a) for name, a in found.items()}
    return all(said[name] is answer for name, answer in wanted.items())


def switches(proof: Any) -> bool:
    """Whether the network that comes in training mode runs in evaluation mode."""
    modes: list[bool] = []
    answers(proof, modes)
    return not all(modes)


def alone_scores(network: Any, pictures: Any) -> Any:
    import torch

    with torch.no_grad():
        return torch.cat([network(one) for one in pictures.split(1)])


def proof_of(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A proof that compares what the network gives in company and alone."""

    def same_alone(network: Any, pictures: Any) -> Any:
        return compare(network(pictures), alone_scores(network, pictures))

    return same_alone


def mends_first(network: Any, pictures: Any) -> bool:
    import torch

    before = network.training
    network.eval()
    same = torch.allclose(network(pictures), alone_scores(network, pictures), atol=1e-4)
    network.train(before)
    return same


def differ(company: Any, alone: Any) -> bool:
    return bool((company - alone).abs().max() > 1e-4)


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
