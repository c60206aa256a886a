"""Make the seeds of the readers of saved things again: `python -m tools.fuzz.saved_seeds`."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow.parquet import ParquetWriter, write_table

import tlcourse as tl
from tlcourse.course import progress_file
from tlcourse.networks.grouped import grouped
from tools.fuzz.reader import SEEDS
from tools.fuzz.saved import _FITS, header_of, tiny_network


def main() -> None:
    """Write them into tools/fuzz/seeds."""
    for name, files in _made().items():
        folder = SEEDS / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (folder / file).write_bytes(content)


def _made() -> dict[str, dict[str, bytes]]:
    backbone = tiny_network()
    task = tl.load_task("digits").few_of_each(train=2, val=1, test=1)
    options: dict[str, Any] = {"progress": False}
    plain = tl.patterns.standalone_extractor(backbone, task, **options)
    options |= {"epochs": 1, "live": False}
    network = tl.finetune.add_lora(tl.Network(backbone, 3), 1)
    added = tl.finetune.add_adapter(tl.Network(backbone, 10), 2, where="0")
    moved = {
        "linear": plain,
        "heard": replace(plain, holds="sounds"),
        "lora": tl.patterns.fine_tune(backbone, task, move="lora", rank=1, **options),
        "added": replace(plain, made=added.as_backbone(task.classes)),
        "conv": tl.patterns.frozen_extractor(
            backbone, task, layer="stage1", head="conv", **options
        ),
        "groups": replace(
            plain, made=grouped(backbone, ("ant", "bee"), [[0], [1, 2]]), classes=("ant", "bee")
        ),
    }
    results = {}
    for name, result in moved.items():
        place = result.save(name)
        about = json.loads((place / "model.json").read_text("utf-8")) | {"sha256": _FITS}
        header = header_of((place / "model.safetensors").read_bytes())
        results[name] = _text([about, header])
    about = json.loads(Path("own/network.json").read_text("utf-8")) | {"sha256": _FITS}
    networks = {"own": _text([about, header_of(Path("own/weights.safetensors").read_bytes())])}
    adapters = {}
    for name, small in {
        "lora": network,
        "adapter": tl.finetune.add_adapter(tl.Network(backbone, 3), 2, where="0"),
        "norms": tl.finetune.move_norms(tl.Network(backbone, 3)),
    }.items():
        header = header_of(tl.finetune.save_adapter(small, f"{name}.safetensors").read_bytes())
        said = header.pop("__metadata__") | {"fingerprint": _FITS, "sha256": _FITS}
        adapters[name] = _text([said | {"added": json.loads(said["added"])}, header])
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 2), }".ljust(117) + "\n"
    manifest = {"about": {"layer": "x"}, "rows": 6, "seconds": 1.5, "sha256": _FITS}
    features = {
        "whole": _text([manifest, head, 48]),
        "begun": _text([manifest | {"rows": 2}, head, 16]),
    }
    lines = [
        {"id": "03.1", "tries": 2, "hints": 1, "solved": progress_file.now()},
        {"id": "06.A", "guess": "block5", "right": True},
        {"id": "16.final", "answers": "0" * 2000, "solved": progress_file.now(), "tries": 3},
    ]
    progress = {"some": b"\n".join(map(_text, lines))}
    wave = [["content-type", "image/png"], ["host", "127.0.0.1:8000"]]
    requests = {
        "page": _text(["GET", "/", wave, []]),
        "health": _text(["GET", "/health?a=b", [*wave, ["origin", "http://127.0.0.1:8000"]], []]),
        "picture": _text(["POST", "/predict", [*wave, ["content-length", "200"]], [_png()]]),
        "parts": _text(["POST", "/predict", [*wave, ["expect", "100-continue"]], [_png(), "more"]]),
    }
    return {
        "results": results,
        "networks": networks,
        "adapters": adapters,
        "features": features,
        "progress": progress,
        "requests": requests,
        "tars": _tars(),
        "parquets": _parquets(),
        "extracted": _extracted(),
    }


def _text(said: Any) -> bytes:
    return json.dumps(said).encode()


def _png() -> str:
    stream = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(stream, "PNG")
    return stream.getvalue().decode("latin-1")


def _tars() -> dict[str, bytes]:
    made = {}
    for name, form in {
        "ustar": tarfile.USTAR_FORMAT,
        "gnu": tarfile.GNU_FORMAT,
        "pax": tarfile.PAX_FORMAT,
    }.items():
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
            files = {
                "a.jpg": b"picture",
                "a.json": b'{"label": "\\ud800"}',
                "b.png": b"x",
                "b.cls": b"3",
            }
            if form != tarfile.USTAR_FORMAT:
                files["ä" * 120 + ".jpg"] = b"long"
            for path, content in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        made[name] = stream.getvalue().rstrip(b"\0") + bytes(
            1024 + -len(stream.getvalue().rstrip(b"\0")) % 512
        )
    return made


def _parquets() -> dict[str, bytes]:
    names = pa.array(["a", "b", "c"])
    pictures = pa.array([b"one", b"two", None], pa.binary())
    info = {"info": {"features": {"label": {"names": ["ant", "bee"], "_type": "ClassLabel"}}}}
    both = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = [{"bytes": b"one", "path": "a.png"}, {"bytes": None, "path": "b.png"}, None]
    tables = {
        "plain": pa.table({"name": names, "label": names, "image": pictures}),
        "hub": pa.table(
            {"image": pa.array(rows, both), "label": pa.array([0, 1, None])}
        ).replace_schema_metadata({"huggingface": json.dumps(info)}),
    }
    made = {}
    for name, table in tables.items():
        for packed in ("none", "snappy"):
            stream = io.BytesIO()
            write_table(table, stream, compression=packed, store_schema=False)
            made[f"{name}_{packed}"] = stream.getvalue()
    return made


def _extracted() -> dict[str, bytes]:
    made = {}
    about = {"tlcourse": json.dumps({"fingerprint": "0" * 16, "digest": "0" * 16})}
    for checked in (False, True):
        schema = pa.schema(
            {"name": pa.string(), "label": pa.string(), "x": pa.list_(pa.float16(), 2)}, about
        )
        x = np.arange(24, dtype=np.float16)
        columns = {
            "name": [str(i) for i in range(12)],
            "label": ["a", "b"] * 6,
            "x": pa.FixedSizeListArray.from_arrays(x, 2),
        }
        stream = io.BytesIO()
        with ParquetWriter(stream, schema, write_page_checksum=checked) as writer:
            writer.write_table(pa.table(columns, schema=schema))
            writer.add_key_value_metadata({"left_out": json.dumps([["a", "it is no picture"]])})
        made["checked" if checked else "plain"] = stream.getvalue()
    return made


if __name__ == "__main__":
    main()
