"""Move through a network by hand: one picture, each layer, each channel (notebook 01)."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL.Image import Image

from tlcourse.base.html import render
from tlcourse.explain.excitation import Excitation, check_found, excitations, only_picture
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import activations
from tlcourse.plots.figure import Figure, draw_picture, drawing, new_figure, where
from tlcourse.plots.layers import map_layers
from tlcourse.widgets.controls import PictureChoice, Steps, dropdown
from tlcourse.widgets.explorer import Explorer, Stale, on_change, panel
from tlcourse.widgets.tiles import map_uri, photo_uri, row, tile, to_bytes

if TYPE_CHECKING:
    from markupsafe import Markup

_PATCHES = 6
_BY_STRENGTH, _BY_NUMBER = "strongest first", "by number"
_Request = tuple[Image, str, int, bool]


@dataclass(frozen=True, eq=False)
class _Seen:
    picture: Image
    pixels: np.ndarray  # as it goes into the network, (H, W, 3) from 0 to 1
    maps: dict[str, np.ndarray]  # layer -> float32 (C, h, w)
    order: dict[str, list[int]]  # layer -> channels, the one that stands out most first


class _Held:
    """What the explorer holds on to until it is closed."""

    def __init__(
        self,
        backbone: Backbone,
        reference: Sequence[Any],
        excitation: Mapping[str, Excitation],
        picture: Image,
    ) -> None:
        # A copy: the thread must not meet hooks that the notebook sets on its network.
        self.backbone = backbone.with_model(copy.deepcopy(backbone.model))
        self.reference, self.excitation = reference, dict(excitation)
        self.reference_pixels = lru_cache(64)(self._reference_pixels)
        self.seen = self.see(picture)
        self.first = self.seen  # what the static figure shows; never an upload

    def see(self, picture: Image) -> _Seen:
        """Compute the maps of all layers."""
        preprocess = self.backbone.preprocess
        batch = preprocess(picture)[None].to(self.backbone.device)
        maps, order = {}, {}
        for layer, values in activations(self.backbone, batch, list(self.excitation)).items():
            maps[layer] = values[0].float().cpu().numpy()
            strongest = maps[layer].max(axis=(1, 2))
            order[layer] = self.excitation[layer].standing_out(strongest).tolist()
        return _Seen(picture, preprocess.to_array(batch[0]), maps, order)

    def patch(self, layer: str, channel: int, index: int) -> np.ndarray:
        """Cut the patch that excites a channel out of a reference picture."""
        pixels = self.reference_pixels(index)
        return pixels[self.excitation[layer].box(index, channel, pixels.shape)]

    def _reference_pixels(self, index: int) -> np.ndarray:
        preprocess = self.backbone.preprocess
        return to_bytes(preprocess.to_array(preprocess(only_picture(self.reference[index]))))


class LayerExplorer(Explorer):
    """Move through a network: a picture, a layer, a channel; its map, and what excites it most.

    The activations of all layers are computed once for each picture.

    Args:
        backbone: The network.
        pictures: Name -> picture to choose from; one of your own can be uploaded.
        reference: Pictures, or (picture, label) pairs such as a `Split`, among which those are
            looked for that excite a channel most.
        found: What `tl.excitations` gave for them, to save time; its layers can be chosen. By
            default all layers that give maps.

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
        self.choice = PictureChoice(pictures, self.ask, self.show_problem)
        if found is None:
            found = excitations(backbone, reference, map_layers(backbone))
        check_found(backbone, reference, found)
        self._held: _Held | None = _Held(backbone, reference, found, self.choice.picture)
        self._n_channels = {layer: e.strongest.shape[1] for layer, e in found.items()}
        self.depth = Steps("Layer", list(found), len(found) // 2)
        self.order = dropdown("Channels", [_BY_STRENGTH, _BY_NUMBER])
        self.channel = Steps("Channel", [])
        self.channel.count_to(self._n_channels[self.depth.label])
        self.detail, self.patches, self.overview = panels = panel(), panel(), panel()
        parts = [self.choice, self.depth, self.order, self.channel]
        super().__init__([*parts, *panels], "Layer explorer", at=len(parts))
        self.depth.observe(self._change_layer, names="value")
        on_change(self.ask, self.order, self.channel)
        self.answer_now()

    def _change_layer(self, _: Any) -> None:
        self.channel.count_to(self._n_channels[self.depth.label])
        self.ask()

    def _request(self) -> _Request:
        by_strength = self.order.value == _BY_STRENGTH
        return self.choice.picture, self.depth.label, self.channel.value, by_strength

    def _answer(self, request: _Request, stale: Stale) -> None:
        held = self._held
        if held is None:
            return
        picture, layer, position, by_strength = request
        if held.seen.picture is not picture:
            held.seen = held.see(picture)
        channel = held.seen.order[layer][position] if by_strength else position
        self._tell(f"{layer}, channel {channel}.")
        self.detail.value = _detail(held, layer, channel)
        self.patches.value = _patches(held, layer, channel)
        self.overview.value = _overview(held.seen, layer)

    def _static(self) -> Figure | None:
        return _draw(self._held) if self._held else None


def _detail(held: _Held, layer: str, channel: int) -> "Markup":
    """Show the picture, the map of a channel, and the map over the picture."""
    maps, uri = held.seen.maps[layer], photo_uri(held.seen.pixels)
    values = maps[channel]
    usual = np.median(held.excitation[layer].strongest[:, channel])
    caption = render(
        "Map of <b>channel {{ channel }}</b> of <b>{{ layer }}</b> {{ more }}",
        channel=channel,
        layer=layer,
        more=f"({' x '.join(map(str, maps.shape))}). Largest value {values.max():.2f}; in a "
        f"typical reference picture {usual:.2f}. By how far it stands out, it is number "
        f"{held.seen.order[layer].index(channel) + 1} of {len(maps)}.",
    )
    strong = f"Yellow covers the places where channel {channel} is strong."
    over_it = f"The picture with that map over it. {strong}"
    tiles = [
        tile(uri, "The picture as it goes into the network", "The network's input"),
        tile(map_uri(values), _describe(layer, channel, values), caption, squares=True),
        tile(uri, over_it, strong, over=map_uri(values, clear=True)),
    ]
    return row(tiles)


def _patches(held: _Held, layer: str, channel: int) -> "Markup":
    excitation, tiles = held.excitation[layer], []
    for index in excitation.top(channel, _PATCHES).tolist():
        value = f"{excitation.strongest[index, channel]:.2f}"
        alt = f"Patch of a reference picture that gives channel {channel} the value {value}"
        tiles.append(tile(photo_uri(held.patch(layer, channel, index), 96), alt, value, width=5.5))
    size = f"{excitation.patch} x {excitation.patch} pixels"
    among = f"patches of {size}, from {len(held.reference)} reference pictures"
    return row(tiles, f"What excites channel {channel} most: {among}")


def _overview(seen: _Seen, layer: str) -> "Markup":
    tiles = []
    for channel in seen.order[layer][:8]:
        values = seen.maps[layer][channel]
        uri, alt = map_uri(values, side=56), _describe(layer, channel, values)
        tiles.append(tile(uri, alt, f"{channel}", width=5.5, squares=True))
    return row(tiles, f"The channels of {layer} that stand out most in this picture")


def _describe(layer: str, channel: int, values: np.ndarray) -> str:
    size = f"{values.shape[0]} x {values.shape[1]}"
    return f"Map of channel {channel} of {layer}, {size}, strongest {where(values)}"


@drawing
def _draw(held: _Held) -> Figure:
    """Draw, for some layers, the channel that stands out most and the patches that excite it."""
    seen, every = held.first, list(held.excitation)
    layers = [every[round(i)] for i in np.linspace(0, len(every) - 1, min(4, len(every)))]
    n_patches = min(_PATCHES - 1, len(held.reference))
    figure = new_figure(
        1.3 * len(layers) + 0.7,
        title="In each layer, the channel that stands out most in this picture,\n"
        "and the patches of other pictures that excite it most",
    )
    grid = figure.subplots(len(layers), 2 + n_patches, squeeze=False)
    height, width = seen.pixels.shape[:2]
    edges = (-0.5, width - 0.5, height - 0.5, -0.5)
    texts = []
    for (beside, over, *others), layer in zip(grid, layers, strict=True):
        channel, excitation = seen.order[layer][0], held.excitation[layer]
        values = seen.maps[layer][channel]
        draw_picture(beside, values, cmap="viridis")
        beside.set_ylabel(f"{layer}\nchannel {channel}", rotation=0, ha="right", va="center")
        draw_picture(over, seen.pixels)
        share = (values - values.min()) / (np.ptp(values) or 1.0)
        over.imshow(values, cmap="viridis", alpha=0.8 * share, extent=edges)
        for axes, index in zip(others, excitation.top(channel, n_patches).tolist(), strict=True):
            draw_picture(axes, held.patch(layer, channel, index), frame=True)
        patches = f"patches of {excitation.patch} pixels"
        texts.append(f"{layer}, channel {channel}: strongest {where(values)}; {patches}.")
    for axes, title in zip(grid[0], ("its map", "over the picture", "patches"), strict=False):
        axes.set_title(title, size=10)
    figure.alt = (
        f"One picture in {len(layers)} layers: the map of the channel that stands out most, the "
        "map over the picture, and the patches of other pictures that excite this channel most. "
        + " ".join(texts)
    )
    return figure
