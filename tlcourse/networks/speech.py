"""Two small networks that were trained on speech, as modules with one name per layer.

Both take log-mel or mel spectrograms (B, 1, frames, bands), as `tlcourse.networks.mel` makes them.
"""

from itertools import pairwise

import torch
from torch import nn

from tlcourse.networks.layers import Layer
from tlcourse.networks.mel import MelPreprocess

KEYWORDS, SPEAKERS = "speech_embedding", "ge2e"
# What each was trained for, where its weights come from, their licence, and SHA-256 of the file.
ABOUT = {
    KEYWORDS: ("package pyopen-wakeword 1.1.0", "Apache-2.0"),
    SPEAKERS: ("package Resemblyzer 0.1.4, half precision", "Apache-2.0"),
}
_SLOPE, _LEAST = 0.2, -0.4


class BoundedLeakyReLU(nn.Module):
    """A leaky ReLU whose result is never below -0.4."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep what is positive, take a fifth of the rest, but no less than -0.4."""
        return nn.functional.leaky_relu(x, _SLOPE).clamp(min=_LEAST)


class KeywordNetwork(nn.Sequential):
    """Google's network for spoken keywords: 20 convolutions, 96 numbers per 0.76 seconds.

    It was trained to tell thousands of keywords apart, whoever says them (Lin et al., "Training
    Keyword Spotters with Limited and Synthesized Speech Data", arXiv 2002.01322). It is fully
    convolutional: each 8 frames more give one more vector of 96 numbers, (B, 96, 1, steps), and the
    embedding of a sound is their mean. Inside, maps are (B, C, bands, frames). BatchNorms were part
    of the convolutions before the weights were published.
    """

    def __init__(self) -> None:
        super().__init__()
        # Padding is in the bands only: time shrinks by two frames in each convolution over it.
        self.add_module("stem", nn.Sequential(*_convolution(1, 24, (3, 3))))
        stages = (
            (24, 2, (2, 2)),
            (48, 4, (2, 1)),
            (72, 4, (2, 2)),
            (96, 4, (2, 1)),
            (96, 4, (2, 2)),
        )
        before = 24
        for i, (channels, n, pool) in enumerate(stages, 1):
            widths = [before, *[channels] * n]
            rows = [
                part
                for k, (inputs, outputs) in enumerate(pairwise(widths))
                for part in _convolution(inputs, outputs, (1, 3) if k % 2 else (3, 1))
            ]
            self.add_module(f"stage{i}", nn.Sequential(*rows, nn.MaxPool2d(pool)))
            before = channels
        self.add_module("embedding", nn.Conv2d(before, 96, (1, 3)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE)
                module.bias.data.zero_()  # type: ignore[union-attr]

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """Turn log-mels (B, 1, frames, 32), 76 frames or more, into (B, 96, 1, steps)."""
        return super().forward(mels.transpose(2, 3))


def _convolution(inputs: int, outputs: int, kernel: tuple[int, int]) -> tuple[nn.Module, nn.Module]:
    """A convolution over (bands, frames) that keeps the number of bands, and what follows it."""
    return (
        nn.Conv2d(inputs, outputs, kernel, padding=(kernel[0] // 2, 0)),
        BoundedLeakyReLU(),
    )


class LSTMLayer(nn.LSTM):
    """One layer of an LSTM that gives one tensor: its output for each frame."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Turn (B, frames, inputs) into (B, frames, hidden)."""
        return super().forward(frames)[0]


class LastFrame(nn.Linear):
    """A linear layer on the last frame, then a ReLU, then a vector of length 1."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Turn (B, frames, hidden) into (B, outputs)."""
        return nn.functional.normalize(super().forward(frames[:, -1]).relu(), dim=1)


class SpeakerNetwork(nn.Sequential):
    """A network that tells speakers apart, whatever they say: three LSTMs, 256 numbers per sound.

    It was trained with the loss "generalized end-to-end" (Wan et al., arXiv 1710.10467) on 1.6
    seconds of each sound, by the authors of the package Resemblyzer. The embedding has no negative
    numbers, and its length is 1.
    """

    def __init__(self) -> None:
        super().__init__()
        for i, inputs in enumerate((40, 256, 256), 1):
            self.add_module(f"lstm{i}", LSTMLayer(inputs, 256, batch_first=True))
        self.add_module("embedding", LastFrame(256, 256))

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """Turn mels (B, 1, frames, 40) into embeddings (B, 256)."""
        return super().forward(mels.squeeze(1))


def speech_network(name: str) -> tuple[nn.Sequential, MelPreprocess, tuple[Layer, ...]]:
    """Make a network with random weights, its preprocessing and its layers."""
    model: nn.Sequential = KeywordNetwork() if name == KEYWORDS else SpeakerNetwork()
    preprocess = MelPreprocess.for_keywords() if name == KEYWORDS else MelPreprocess.for_speakers()
    return model, preprocess, tuple(Layer(path, path) for path, _ in model.named_children())
