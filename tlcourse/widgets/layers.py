"""Move through a network by hand: one picture, each layer, each channel (notebook 01)."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL.Image import Image

from tlcourse.explain.excitation import (
    Excitation,
    check_found,
    check_maps,
    excitations,
    only_picture,
)
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import activations
from tlcourse.plots.figure import Figure, draw_picture, drawing, new_figure, where
from tlcourse.plots.layers import map_layers
from tlcourse.widgets.controls import PictureChoice, Steps, check_pictures
from tlcourse.widgets.explorer import Explorer, Stale, on_change, panel
from tlcourse.widgets.tiles import map_uri, photo_uri, row, tile

_STRONGEST = 8  # maps in the overview
_PATCHES = 6
_BY_STRENGTH, _BY_NUMBER = "strongest first", "by number"


@dataclass(frozen=True)
class _Seen:
    """What the network gives for one picture.

    Attributes:
        picture: The picture.
        uri: It, as it goes into the network.
        maps: Layer -> float32 (C, h, w).
        order: Layer -> channels, the one that stands out most first.
    """

    picture: Image
    uri: str
    maps: dict[str, np.ndarray]
    order: dict[str, np.ndarray]


class LayerExplorer(Explorer):
    """Move through a network: a picture, a layer, a channel; its map, and what excites it most.

    The activations of all layers are computed once for each picture.

    Args:
        backbone: The network.
        pictures: Name -> picture to choose from; one of your own can be uploaded.
        reference: Pictures, or (picture, label) pairs such as a `Split`. Those that excite a
            channel most are looked for among them.
        found: What `tl.excitations` gave for them, to save time; its layers are those that can be
            chosen. By default all layers that give maps.

    Raises:
        CourseError: There is no picture, or a layer gives no maps.
    """

    def __init__(
        self,
        backbone: Backbone,
        pictures: Mapping[str, Image],
        reference: Sequence[Any],
        *,
        found: Mapping[str, Excitation] | None = None,
    ) -> None:
        check_pictures(pictures)
        if found is None:
            found = excitations(backbone, reference, map_layers(backbone))
        check_found(backbone, reference, found)
        # A copy: the thread must not meet hooks that the notebook sets on its network.
        self.backbone = replace(backbone, model=copy.deepcopy(backbone.model))
        self.layers = list(found)
        self._found, self._reference = dict(found), reference
        self._as_seen = lru_cache(64)(self._look_at_reference)
        self._seen: _Seen | None = None
        self._first: _Seen | None = None  # what the static figure shows; never an upload
        self.choice = PictureChoice(pictures, self.ask, self.show_problem)
        self.depth = Steps("Layer", self.layers, len(self.layers) // 2)
        self.order = widgets.Dropdown(
            options=[_BY_STRENGTH, _BY_NUMBER],
            description="Channels",
            style={"description_width": "8em"},
            layout={"width": "24em", "max_width": "100%"},
        )
        self.channel = Steps("Channel", self._channel_labels())
        self.detail, self.patches, self.overview = panel(), panel(), panel()
        parts = [self.choice, self.depth, self.order, self.channel]
        panels = [self.detail, self.patches, self.overview]
        super().__init__([*parts, *panels], "Layer explorer", at=len(parts))
        self.depth.observe(self._other_layer, names="value")
        on_change(self.ask, self.order, self.channel)
        self.answer_now()
        self._first = self._seen

    def close(self) -> None:
        """Forget the picture and what was computed for it, too."""
        self._seen = self._first = self.backbone = None
        self._reference, self._found = (), {}
        self._as_seen.cache_clear()
        super().close()

    def _other_layer(self, _: Any) -> None:
        with self.channel.hold_trait_notifications():
            self.channel.labels = self._channel_labels()
            self.channel.value = 0
        self.ask()

    def _channel_labels(self) -> list[str]:
        count = self._found[self.depth.label].strongest.shape[1]
        return [f"{i} of {count}" for i in range(1, count + 1)]

    def _request(self) -> tuple[Image, str, int, bool]:
        by_strength = self.order.value == _BY_STRENGTH
        return self.choice.picture, self.depth.label, self.channel.value, by_strength

    def _answer(self, request: tuple[Image, str, int, bool], stale: Stale) -> None:
        picture, layer, position, by_strength = request
        seen = self._seen
        if seen is None or seen.picture is not picture:
            self._seen = seen = self._look_at(picture)
        rank = seen.order[layer].tolist()
        channel = rank[position] if by_strength else position
        self._tell(f"{layer}, channel {channel}.")
        self.detail.value = self._detail(seen, layer, channel, rank.index(channel) + 1)
        self.patches.value = self._best_patches(layer, channel)
        maps = seen.maps[layer]
        self.overview.value = row(
            [
                tile(
                    map_uri(maps[c], side=56),
                    _says(layer, c, maps[c]),
                    f"{c}",
                    width=5.5,
                    squares=True,
                )
                for c in rank[:_STRONGEST]
            ],
            f"The channels of {layer} that stand out most in this picture",
        )

    def _look_at(self, picture: Image) -> _Seen:
        batch = self.backbone.preprocess(picture)[None].to(self.backbone.device)
        maps, order = {}, {}
        for layer, values in activations(self.backbone, batch, self.layers).items():
            check_maps(self.backbone, layer, values)
            maps[layer] = values[0].float().cpu().numpy()
            order[layer] = self._found[layer].standing_out(maps[layer].max(axis=(1, 2)))
        inside = self.backbone.preprocess.undo(batch)[0].permute(1, 2, 0).cpu().numpy()
        return _Seen(picture, photo_uri(inside), maps, order)

    def _detail(self, seen: _Seen, layer: str, channel: int, rank: int) -> str:
        values = seen.maps[layer][channel]
        usual = float(np.median(self._found[layer].strongest[:, channel]))
        size = " x ".join(map(str, seen.maps[layer].shape))
        said = (
            f"Map of **channel {channel}** of **{layer}** ({size}). "
            f"Largest value {values.max():.2f}; in a typical reference picture {usual:.2f}. "
            f"By how far it stands out it is number {rank} of {len(seen.maps[layer])}."
        )
        over = map_uri(values, clear=True)
        said_over = f"Yellow covers the places where channel {channel} is strong."
        return row(
            [
                tile(seen.uri, "The picture as it goes into the network", "The network's input"),
                tile(map_uri(values), _says(layer, channel, values), said, squares=True),
                tile(
                    seen.uri,
                    f"The picture with that map over it. {said_over}",
                    said_over,
                    over=over,
                ),
            ]
        )

    def _best_patches(self, layer: str, channel: int) -> str:
        found = self._found[layer]
        tiles = []
        for index in found.top(channel, _PATCHES):
            whole = self._as_seen(int(index))
            patch = whole[found.box(index, channel, whole.shape)]
            value = f"{found.strongest[index, channel]:.2f}"
            said = f"Patch of a reference picture that gives channel {channel} the value {value}"
            tiles.append(tile(photo_uri(patch, 96), said, value, width=5.5))
        side = found.patch
        return row(
            tiles,
            f"What excites channel {channel} most: patches of {side} x {side} pixels, "
            f"from {len(found.strongest)} reference pictures",
        )

    def _look_at_reference(self, index: int) -> np.ndarray:
        seen = self.backbone.preprocess(only_picture(self._reference[index]))
        values = self.backbone.preprocess.undo(seen).permute(1, 2, 0).numpy()
        return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)

    def _static(self) -> Figure | None:
        if self._first is None:
            return None
        places = np.linspace(0, len(self.layers) - 1, min(4, len(self.layers))).round().astype(int)
        shown = [self.layers[i] for i in places]
        return self._draw(shown, [int(self._first.order[layer][0]) for layer in shown])

    @drawing
    def _draw(self, layers: Sequence[str], channels: Sequence[int]) -> Figure:
        inside = self.backbone.preprocess.undo(self.backbone.preprocess(self._first.picture))
        inside = inside.permute(1, 2, 0).numpy()
        n = _PATCHES - 1
        figure = new_figure(
            1.3 * len(layers) + 0.7,
            title="In each layer, the channel that stands out most in this picture,\n"
            "and the patches of other pictures that excite it most",
        )
        grid = figure.add_gridspec(len(layers), n + 4, width_ratios=[1, 1, 1, 0.1, *[1] * n])
        for line, (layer, channel) in enumerate(zip(layers, channels, strict=True)):
            found, values = self._found[layer], self._first.maps[layer][channel]
            label = figure.add_subplot(grid[line, 0])
            label.set_axis_off()
            label.text(0.95, 0.5, f"{layer}\n", ha="right", va="center", weight="bold")
            label.text(0.95, 0.5, f"\nchannel {channel}", ha="right", va="center", size=10)
            there = min(n, len(found.strongest))
            axes = [figure.add_subplot(grid[line, i]) for i in (1, 2, *range(4, there + 4))]
            draw_picture(axes[0], values, cmap="viridis")
            draw_picture(axes[1], inside)
            height, width = inside.shape[:2]
            share = (values - values.min()) / ((values.max() - values.min()) or 1.0)
            edges = (-0.5, width - 0.5, height - 0.5, -0.5)
            axes[1].imshow(values, cmap="viridis", alpha=0.8 * share, extent=edges)
            for one, index in zip(axes[2:], found.top(channel, there), strict=True):
                whole = self._as_seen(int(index))
                draw_picture(one, whole[found.box(index, channel, whole.shape)], frame=True)
            if line == 0:
                axes[0].set_title("its map", size=10)
                axes[1].set_title("over the picture", size=10)
                axes[2].set_title("patches", size=10, loc="left")
        figure.alt = (
            f"One picture in {len(layers)} layers: the map of the channel that stands out most, the map over "
            "the picture, and the patches of other pictures that excite this channel most. "
            + " ".join(
                f"{layer}, channel {channel}: strongest "
                f"{where(self._first.maps[layer][channel])}; patches of {self._found[layer].patch} pixels."
                for layer, channel in zip(layers, channels, strict=True)
            )
        )
        return figure


def _says(layer: str, channel: int, values: np.ndarray) -> str:
    size = f"{values.shape[0]} x {values.shape[1]}"
    return f"Map of channel {channel} of {layer}, {size}, strongest {where(values)}"
