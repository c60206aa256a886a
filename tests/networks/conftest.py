"""A small network that is difficult to listen to."""

import pytest
import torch
from torch import nn

from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Layer
from tlcourse.networks.preprocess import Preprocess


class Tiny(nn.Module):
    """Every trap of a tap in one small network."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.split = Split()
        self.pair = Pair()
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)
        self.deep_calls = 0

    def forward(self, x):
        x = self.act(self.norm(self.conv(x)))
        x = self.act(x)  # a second time
        x, _ = self.split(x)
        x = self.pair(x)[0]
        self.deep_calls += 1
        return self.head(self.drop(x.mean(dim=(2, 3))))


class Split(nn.Module):
    def forward(self, x):
        return x * 2, None


class Pair(nn.Module):
    def forward(self, x):
        return x, x + 1


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    model = Tiny().eval()
    model.norm.running_mean.add_(0.1)
    preprocess = Preprocess(
        8, 8, (0.0,) * 3, (1.0,) * 3, "bilinear", lambda p: torch.zeros(3, 8, 8)
    )
    layers = (Layer("stem", "norm"), Layer("embedding", "head", "input"), Layer("logits", ""))
    return Backbone(
        "tiny",
        model,
        preprocess,
        preprocess,
        ("a", "b"),
        "made",
        "none",
        torch.device("cpu"),
        layers,
    )
