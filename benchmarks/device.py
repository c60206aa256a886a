"""Record what training steps cost on this machine's GPU, for readers who have none.

    python benchmarks/device.py [--device cuda] [--out tlcourse/data/recorded_device.json]

Steps with nothing frozen, partly frozen, all frozen, and all frozen from stored features are timed
in turn, in batches of several sizes. The card, its driver, the versions and the day are kept with
them. `tl.cost.recorded()` reads the file; it appears whole or not at all.
"""

import argparse
import datetime
import shutil
import subprocess
from pathlib import Path

import torch

import tlcourse as tl
from tlcourse.cost import recorded

SETTINGS = {
    "unfrozen": {},
    "partly frozen": {"freeze_until": "stage5"},
    "frozen": {"freeze_until": "embedding"},
    "cached": {"freeze_until": "embedding", "cached": True},
}


def driver(device: torch.device) -> str:
    """Version of the GPU's driver; "none" for a CPU."""
    if device.type == "cpu":
        return "none"
    program = shutil.which("nvidia-smi") if device.type == "cuda" else None
    if program is None:
        return "of the system"
    asked = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    return said[device.index or 0]


def main(arguments: list[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="by default the GPU that the course would choose")
    parser.add_argument("--out", type=Path, default=recorded.SHIPPED)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--random-weights", action="store_true", help="no download for a trial")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 16, 64])
    parser.add_argument("--freeze", default="stage5", help="last frozen layer of the partly frozen")
    parser.add_argument("--repeats", type=int, default=20)
    given = parser.parse_args(arguments)
    device = tl.resolve_device(given.device)
    if device.type == "cpu" and given.out == recorded.SHIPPED:
        parser.error("there is no GPU here, and a CPU's times are not shipped; see --out")
    backbone = tl.load_backbone(given.backbone, pretrained=not given.random_weights, device=device)
    chosen = SETTINGS | {"partly frozen": {"freeze_until": given.freeze}}
    found = []
    for batch in given.batch:
        options = {"batch": batch, "size": given.size}
        settings = {name: {**setting, **options} for name, setting in chosen.items()}
        side = tl.cost.side_by_side(backbone, settings, repeats=given.repeats)
        print(side)
        found += [
            recorded.Recorded(
                setting=name,
                cost=cost,
                card=cost.device_name,
                driver=driver(device),
                torch=torch.__version__,
                date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            )
            for name, cost in side.costs.items()
        ]
    recorded.write(given.out, found)
    print(f"wrote {len(found)} measurements to {given.out.name}")


if __name__ == "__main__":
    main()
