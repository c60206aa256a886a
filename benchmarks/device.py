"""Record what training steps cost on this machine's GPU, for readers who have none.

    python benchmarks/device.py [--device cuda] [--out tlcourse/data/recorded_device.json]

Steps with nothing frozen, partly frozen, all frozen, and all frozen from stored features are timed
in turn, in batches of several sizes. `tl.cost.recorded()` reads the file.
"""

import argparse
import datetime
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import torch

import tlcourse as tl
from tlcourse.base.files import whole_file
from tlcourse.cost.records import SHIPPED


def driver(device: torch.device) -> str:
    """Version of the driver of an NVIDIA GPU; other devices have none of their own."""
    if device.type != "cuda":
        return "none"
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]


def main(arguments: list[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="by default the GPU that the course would choose")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--random-weights", action="store_true", help="no download for a trial")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 16, 64])
    parser.add_argument("--freeze", default="stage5", help="last frozen layer of the partly frozen")
    parser.add_argument("--repeats", type=int, default=20)
    given = parser.parse_args(arguments)
    device = tl.resolve_device(given.device)
    if device.type == "cpu" and given.out == SHIPPED:
        parser.error("there is no GPU here, and a CPU's times are not shipped; see --out")
    backbone = tl.load_backbone(given.backbone, pretrained=not given.random_weights, device=device)
    settings = {
        "unfrozen": {},
        "partly frozen": {"freeze_until": given.freeze},
        "frozen": {"freeze_until": "embedding"},
        "cached": {"freeze_until": "embedding", "cached": True},
    }
    rows = []
    for batch in given.batch:
        sized = {name: {**s, "batch": batch, "size": given.size} for name, s in settings.items()}
        side = tl.cost.side_by_side(backbone, sized, repeats=given.repeats)
        print(side)
        rows += [{"setting": name, "cost": asdict(cost)} for name, cost in side.costs.items()]
    content = {
        "card": rows[0]["cost"]["device_name"],
        "driver": driver(device),
        "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rows": rows,
    }
    with whole_file(given.out) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {len(rows)} measurements to {given.out.name}")


if __name__ == "__main__":
    main()
