"""A task of a few coloured pictures, and networks that learn it in a second."""

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import nn

import tlcourse as tl
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Layer
from tlcourse.networks.preprocess import Preprocess
from tlcourse.tasks.split import Split
from tlcourse.tasks.task import Task

CLASSES = ("ants", "bees", "goldfishes")  # ImageNet has an "ant", a "bee" and a "goldfish"
COUNTS = {"train": (6, 6, 6), "val": (2, 2, 2), "test": (4, 2, 3)}
COLOURS = np.array([[150, 110, 90], [110, 150, 90], [90, 110, 150]])
FAMILIES = ("efficientnet", "resnet", "vit")


def picture(label, seed, size=(48, 40)):
    """A noisy picture in the colour of its class, one in a few in that of the next one."""
    random = np.random.default_rng([seed, label])
    colour = COLOURS[(label + (random.random() < 0.15)) % 3]
    values = colour + random.normal(0, 25, (size[1], size[0], 3)) + random.normal(0, 15, 3)
    return values.clip(0, 255).astype(np.uint8)


def split(counts, first, shift=0):
    """A split with `counts[i]` pictures of class i; `shift` makes its labels wrong."""
    pairs = [(label, first + i) for label, count in enumerate(counts) for i in range(count)]
    return Split(
        [picture(label, seed) for label, seed in pairs],
        [(label + shift) % len(counts) for label, _ in pairs],
        [f"{CLASSES[label]}/{seed}.png" for label, seed in pairs],
        Image.fromarray,
    )


def make_task(classes=CLASSES, counts=COUNTS, wrong_val=False):
    """A task in memory. With `wrong_val` the better a network learns, the worse it validates."""
    splits = {
        name: split(counts[name], 100 * i, shift=1 if wrong_val and name == "val" else 0)
        for i, name in enumerate(("train", "val", "test"))
    }
    return Task("tiny", "coloured noise", classes, **splits, skipped=(), source="", licence="")


def without(task, *names):
    """The same task with empty splits."""
    return replace(task, **{name: task.train.take([]) for name in names})


@cache
def tiny_backbone(family="efficientnet"):
    """A network of timm's own tests; its random weights give BatchNorm something to remember."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4321)  # not one that a test uses
        backbone = tl.load_backbone(f"timm/test_{family}", pretrained=False, device="cpu")
        if family != "vit":  # which takes one size only
            backbone = backbone.at_size(64)
        for parameter in backbone.model.parameters():
            if parameter.ndim == 1:
                parameter.data.add_(0.1 * torch.randn_like(parameter))
        backbone.model.train()
        size = backbone.preprocess.crop_size
        with torch.no_grad():
            for _ in range(20):
                backbone.model(torch.randn(4, 3, size, size))
        backbone.model.eval()
    return backbone


class Made(nn.Module):
    """What networks of timm and torchvision have, small enough to count by hand."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 4, 1, 1))
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.deep = nn.Conv2d(4, 5, 3)
        self.unused = nn.Linear(4, 4)
        self.last = nn.Conv2d(5, 2, 1)  # takes maps, as SqueezeNet's classifier does

    def forward(self, x):
        x = self.act(self.norm(self.conv(x)) + self.token)
        return self.last(self.deep(x)).mean(dim=(2, 3))


def made_backbone():
    """A new backbone made of `Made`, for pictures of 8 x 8."""

    def transform(image):
        values = torch.from_numpy(np.array(image.resize((8, 8)))).permute(2, 0, 1)
        return values / 255 - 0.5

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Made().eval()
    preprocess = Preprocess(8, 8, (0.5,) * 3, (1.0,) * 3, "bilinear", transform)
    layers = (
        Layer("stem", "norm"),
        Layer("stage1", "deep"),
        Layer("embedding", "last", "input"),
        Layer("logits", ""),
    )
    return Backbone(
        "made",
        model,
        preprocess,
        transform,
        ("a", "b"),
        "made",
        "none",
        torch.device("cpu"),
        layers,
    )


def batch_of(backbone, n=2):
    """Preprocessed noise."""
    size = backbone.preprocess.crop_size
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(5))


def tensors(backbone, pictures):
    """All pictures of a split as one batch, and their labels."""
    return torch.stack([backbone.preprocess(p) for p, _ in pictures]), torch.from_numpy(
        pictures.labels
    )


def state(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def moved(before, model):
    """Names of the parameters and buffers that are not what they were."""
    now = model.state_dict()
    assert list(now) == list(before)
    return {name for name, tensor in before.items() if not torch.equal(tensor, now[name])}


def traces(model):
    """What else a network can be left with: modes, hooks, gradients, what may learn."""
    return [
        (
            module.training,
            list(module._forward_hooks.values()),
            list(module._forward_pre_hooks.values()),
            [(p.requires_grad, p.grad is None) for p in module.parameters(recurse=False)],
        )
        for module in model.modules()
    ]
