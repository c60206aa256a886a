"""How much faster is `extract_features` than a plain loop, and does it give the same?

    python benchmarks/extraction.py [--rounds 3]

The plain loop: pictures in batches of 64, as PyTorch lays them out, through the default network
without its last layer. Both open and prepare the same drawings, and write nothing to disk. Printed
are the pictures per second of each round, the median ratio, and the largest difference.
"""

import argparse
import copy
import statistics
import time

import numpy as np
import torch

import tlcourse as tl


def plain(backbone: tl.Backbone, split: object, batch: int = 64) -> np.ndarray:
    """Run pictures through the network in the way that one writes first."""
    body = copy.deepcopy(backbone.model)
    body.classifier = torch.nn.Identity()
    rows = []
    with torch.no_grad():
        for start in range(0, len(split), batch):
            places = range(start, min(start + batch, len(split)))
            pictures = torch.stack([backbone.preprocess(split[i][0]) for i in places])
            rows.append(body(pictures.to(backbone.device)).cpu().numpy())
    return np.concatenate(rows)


def main() -> None:
    """Measure both in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    backbone, split = tl.load_backbone(), tl.load_task("emoji").train
    ratios = []
    for _ in range(rounds):
        started = time.perf_counter()
        expected = plain(backbone, split)
        middle = time.perf_counter()
        found = tl.extract_features(backbone, split, cache=False, progress=False).x["embedding"]
        slow, fast = middle - started, time.perf_counter() - middle
        ratios.append(slow / fast)
        print(
            f"plain {len(split) / slow:5.1f}, tlcourse {len(split) / fast:5.1f} pictures/s, "
            f"x {slow / fast:.2f}"
        )
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"median x {statistics.median(ratios):.2f}, largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
