"""What does tapping a layer cost, beside running by hand just the modules up to it?

    python benchmarks/tapping.py [--rounds 25] [--batch 8] [--device cpu]

Each round times all ways once, in a random order, so that a slow moment of the machine hits all of
them alike; printed are the median seconds and the median ratio to running by hand in the same round.
The peers: timm's `forward_intermediates(stop_early=True)`, captum's `LayerActivation` (it runs the
whole network), and torchvision's `create_feature_extractor`, on resnet18, since it cannot trace
the default network.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
from captum.attr import LayerActivation
from torchvision.models.feature_extraction import create_feature_extractor

import tlcourse as tl
from tlcourse.base.machine import synchronize


def by_hand(backbone: tl.Backbone, layer: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Run the modules of the default network, or of resnet18, up to a layer, one by one."""
    net = backbone.model
    if backbone.name == "resnet18":
        parts = [net.conv1, net.bn1, net.relu, net.maxpool]
        stages = [net.layer1, net.layer2, net.layer3, net.layer4]
        end = [net.avgpool, torch.nn.Flatten()]
    else:
        parts = [net.conv_stem, net.bn1]
        stages = list(net.blocks)
        end = [net.conv_head, net.bn2, net.global_pool]
    if layer.startswith("stage"):
        parts += stages[: int(layer.removeprefix("stage"))]
    elif layer != "stem":
        parts += [*stages, *end]
    if layer == "logits":
        parts.append(backbone.model.get_classifier() if hasattr(net, "get_classifier") else net.fc)

    def run(batch: torch.Tensor) -> torch.Tensor:
        for part in parts:
            batch = part(batch)
        return batch

    return run


def ways(backbone: tl.Backbone, layer: str) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """All ways to get the output of one layer, by name; the first is the one to compare with."""
    place = backbone.layer(layer)
    path = place.path
    found = {
        "by hand": by_hand(backbone, layer),
        "tlcourse": lambda batch: tl.activations(backbone, batch, layer)[layer],
    }
    if layer.startswith("stage"):
        module = backbone.model.get_submodule(path)
        found["captum"] = LayerActivation(backbone.model, module).attribute
    if backbone.name == "resnet18" and path and place.side == "output":
        extractor = create_feature_extractor(backbone.model, {path: layer})
        found["torchvision"] = lambda batch: extractor(batch)[layer]
    elif layer.startswith("stage"):
        # timm can name only the stages after which the picture shrinks.
        modules = [info["module"] for info in backbone.model.feature_info]
        if path in modules:
            index = modules.index(path)
            found["timm"] = lambda batch: backbone.model.forward_intermediates(
                batch, indices=[index], stop_early=True, intermediates_only=True
            )[0]
    return found


def measure(backbone: tl.Backbone, layer: str, batch: torch.Tensor, rounds: int) -> None:
    """Print one line per way."""
    candidates = ways(backbone, layer)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    expected = candidates["by hand"](batch)
    for name, way in candidates.items():  # warm-up, and the proof that all give the same
        torch.testing.assert_close(way(batch), expected, msg=f"{name} differs at {layer}")
    for _ in range(rounds):
        # In a new order each round: what ran before leaves the caches and the memory as it likes.
        for name in random.sample(list(candidates), len(candidates)):
            way = candidates[name]
            synchronize(backbone.device)
            start = time.perf_counter()
            way(batch)
            synchronize(backbone.device)
            seconds[name].append(time.perf_counter() - start)
    for name, values in seconds.items():
        ratios = [a / b for a, b in zip(values, seconds["by hand"], strict=True)]
        print(
            f"{backbone.name:18} {layer:10} {name:12} "
            f"{statistics.median(values):8.4f} s   x {statistics.median(ratios):.3f}"
        )


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default=None)
    options = parser.parse_args()
    tl.seed_everything(0)
    layers = {
        "efficientnet_lite0": ["stem", "stage1", "stage3", "stage5", "embedding", "logits"],
        "resnet18": ["stem", "stage1", "stage3", "embedding", "logits"],
    }
    for name, names in layers.items():
        backbone = tl.load_backbone(name, pretrained=False, device=options.device)
        size = backbone.preprocess.crop_size
        batch = torch.randn(options.batch, 3, size, size, device=backbone.device)
        with torch.no_grad():
            for layer in names:
                measure(backbone, layer, batch, options.rounds)


if __name__ == "__main__":
    main()
