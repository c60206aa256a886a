"""Make the features of the ants and bees photographs that come with the course.

    TLCOURSE_DATA=folder/that/holds/hymenoptera_data python -m tools.hymenoptera_features

Writes `tlcourse/data/hymenoptera_*.safetensors`: for the ImageNet weights and for three random
initialisations the features of every layer, averaged over positions, and once the labels, splits
and the network's 1000 outputs. All of it in 16-bit floats. The photographs are read with the
default backbone's own preprocessing. Takes about two minutes on 2 slow cores.

And the pixels as features, 32 x 32: centred, and rotated at random to as few numbers as there are
pictures. `--parts pixels` makes this file only.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from scipy.stats import ortho_group
from tqdm.auto import tqdm

import tlcourse as tl
from tlcourse.base.files import whole_file

SPLITS = ("train", "val", "test")
PARTS = ("layers", "pixels")


def pooled(backbone: tl.Backbone, batches: list[torch.Tensor]) -> dict[str, np.ndarray]:
    """Features of every layer, (N, C), in 16-bit floats."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name in backbone.layers}
    for batch in tqdm(batches, desc=backbone.source):
        for name, value in tl.activations(backbone, batch, backbone.layers).items():
            found[name].append(value.mean(dim=(2, 3)) if value.ndim == 4 else value)
    return {name: torch.cat(values).cpu().numpy() for name, values in found.items()}


def to_half(name: str, values: np.ndarray) -> np.ndarray:
    """Round to 16 bits, refusing values that do not fit."""
    half = values.astype(np.float16)
    # Relative to the layer's own spread: small values of a random network would vanish otherwise.
    error = np.abs(half.astype(np.float32) - values).max() / values.std()
    if not np.isfinite(half).all() or error > 0.02:
        raise SystemExit(f"{name} does not fit into 16 bits (error {error:.3f} of its spread).")
    return half


def turned(x: np.ndarray, seed: int | None = None) -> np.ndarray:
    """Centre vectors and give their coordinates in axes that are drawn at random.

    Distances and angles between the vectors, seen from their mean, stay as they are. Without the
    axes, the mean and the seed, none of which is kept, the vectors cannot be found again.

    Args:
        x: (N, D), N at most D.
        seed: For tests. Without it the axes are drawn anew each time, by the system's own chance.

    Returns:
        float64 (N, N - 1).
    """
    left, lengths, _ = np.linalg.svd(x - x.mean(axis=0, dtype=np.float64), full_matrices=False)
    coordinates = (left * lengths)[:, : len(x) - 1]  # centred, so the last length is 0
    axes = ortho_group.rvs(coordinates.shape[1], random_state=np.random.default_rng(seed))
    return coordinates @ axes


def save(folder: Path, stem: str, tensors: dict[str, np.ndarray], notes: dict[str, str]) -> None:
    """Write one file, whole or not at all."""
    path = folder / f"{stem}.safetensors"
    with whole_file(path) as part:
        save_file(tensors, part, metadata={"tensors": ",".join(tensors)} | notes)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {', '.join(tensors)}")


def save_layers(folder: Path, task: tl.Task) -> None:
    """Run each network over the pictures, and save labels and features."""
    backbone = tl.load_backbone(device="cpu")
    splits = [(i, getattr(task, name)) for i, name in enumerate(SPLITS)]
    tensors = [backbone.preprocess(split[i][0]) for _, split in splits for i in range(len(split))]
    batches = list(torch.stack(tensors).split(16))
    features = pooled(backbone, batches)
    logits = features.pop("logits")
    about = {
        "classes": ",".join(task.classes),
        "names": "\n".join(name for _, split in splits for name in split.names),
    }
    labels = {
        "y": np.concatenate([split.labels for _, split in splits]).astype(np.uint8),
        "split": np.concatenate([np.full(len(split), i, np.uint8) for i, split in splits]),
        "logits": to_half("logits", logits),
    }
    save(folder, f"{task.name}_labels", labels, about)
    source = f"efficientnet_lite0, average-pooled, 224 px, 16-bit; weights: {backbone.source}"
    halves = {name: to_half(name, x) for name, x in features.items()}
    save(folder, f"{task.name}_imagenet", halves, {"source": source})
    for seed in range(3):
        tl.seed_everything(seed)
        untrained = tl.load_backbone(pretrained=False, device="cpu")
        features = pooled(untrained, batches)
        del features["logits"]
        source = f"efficientnet_lite0, average-pooled, 224 px, 16-bit; random weights, seed {seed}"
        halves = {name: to_half(name, x) for name, x in features.items()}
        save(folder, f"{task.name}_random{seed}", halves, {"source": source})


def save_pixels(folder: Path, task: tl.Task, side: int = 32) -> None:
    """Save the pictures' pixels as features, turned at random."""
    pixels = tl.raw_pixels(task, side=side).x["pixels"]
    source = (
        f"raw pixels, {side} x {side} x 3, from 0 to 1, bicubic; centred, rotated by a principal "
        f"component analysis to {len(pixels) - 1} numbers and then at random (axes not kept), "
        "16-bit"
    )
    save(
        folder,
        f"{task.name}_pixels",
        {"pixels": to_half("pixels", turned(pixels))},
        {"source": source},
    )


def main() -> None:
    """Make the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("tlcourse/data"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    task = tl.load_task("hymenoptera")
    print(task)
    if "layers" in options.parts:
        save_layers(options.out, task)
    if "pixels" in options.parts:
        save_pixels(options.out, task)


if __name__ == "__main__":
    main()
