"""Readers of what the course itself wrote, and others hand over.

Random bytes would die at a check sum or at the first bracket. So most inputs are JSON texts, of
which values are changed, and the reader makes the files of them, with the check sums that fit.
"""

import asyncio
import copy
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from torch import nn

import tlcourse as tl
from tlcourse.base.messages import notes_to
from tlcourse.cli.server import make_app
from tlcourse.cluster.extract import Plan, finished
from tlcourse.cluster.shards import Shard, read_shard
from tlcourse.course import progress_file
from tlcourse.course.progress import progress, progress_files, progress_table
from tlcourse.errors import CourseError
from tlcourse.features import store
from tlcourse.features.streamed_probe import fit_streamed_probe
from tlcourse.training import adapter_file
from tools.fuzz.reader import Reader

_FITS = "fits"  # stands for a check sum that is right
_VALUES = (
    *(None, True, 0, -1, 1, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e308, float("nan")),
    *(float("inf"), "", "a", "\ud800", "../x", "/etc/hostname", "x" * 300, "\x1b[2J", "0001-01-01"),
    *([], {}, [[]], [1, 2, 3], {"a": 1}, "timm/vit_giant_patch14_dinov2", "cpu", "head.weight"),
)


def _changed_json(data: bytes, random: Random, mutate: Callable[[bytes], bytes]) -> bytes:
    """Change values of a JSON text, now and then also its bytes."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return mutate(data)
    if random.random() < 0.05:
        return mutate(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        places = list(_places(said))
        if not places:
            break
        holder, key = random.choice(places)
        way = random.randrange(8)
        if way == 0:
            del holder[key]
        elif way == 1:
            other, place = random.choice(places)
            if isinstance(other, dict) or place < len(other):
                holder[key] = copy.deepcopy(other[place])
        elif way == 2 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif way == 3 and isinstance(holder[key], int | float):
            holder[key] = random.choice((holder[key] + 1, holder[key] * 1000, -holder[key]))
        elif way == 4:
            holder[key] = [holder[key]]
        else:
            holder[key] = copy.deepcopy(random.choice(_VALUES))
    return json.dumps(said).encode()


def _places(said: Any) -> Any:
    """Each value in a JSON text, as what holds it and its key there."""
    waiting = [said]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])


def _parts(data: bytes, n: int) -> list[Any]:
    """The parts of an input, a JSON list; anything else is no input."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CourseError("no input") from error
    if not isinstance(said, list) or len(said) != n:
        raise CourseError("no input")
    return said


def _safetensors(header: Any, fill: int = 0) -> bytes:
    """A file with such a header, and as many bytes as it asks for, up to 1 MiB."""
    text = json.dumps(header).encode()
    tensors = header.values() if isinstance(header, dict) else ()
    places = [t.get("data_offsets") for t in tensors if isinstance(t, dict)]
    ends = [place[-1] for place in places if isinstance(place, list) and place]
    n = max([e for e in ends if isinstance(e, int) and 0 <= e <= 2**20], default=0)
    return len(text).to_bytes(8, "little") + text + bytes([fill]) * n


def header_of(content: bytes) -> Any:
    """The header of a safetensors file."""
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


@cache
def _scratch() -> Path:
    """An empty folder of this process, which is also where it works."""
    place = Path(mkdtemp())
    os.chdir(place)
    os.environ["TLCOURSE_PROGRESS"] = str(place / "progress.jsonl")
    os.environ["TLCOURSE_CACHE"] = str(place / "cache")
    return place


@cache
def tiny_network() -> tl.Backbone:
    """A saved network of a few hundred weights, called "own/"."""
    _scratch()
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2)),
        nn.Flatten(),
        nn.Linear(24, 3),
    )
    tl.save_backbone("own", made.eval(), classes=("a", "b", "c"), size=16)
    return tl.load_backbone("own/", device="cpu")


def _write(folder: Path, **files: bytes) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def _described(data: bytes) -> tuple[bytes, bytes]:
    """A description as JSON, and the weights whose digest it names where it shall fit."""
    about, header = _parts(data, 2)
    weights = _safetensors(header)
    if isinstance(about, dict) and about.get("sha256") == _FITS:
        about["sha256"] = hashlib.sha256(weights).hexdigest()
    return json.dumps(about).encode(), weights


def _result(data: bytes) -> None:
    tiny_network()
    about, weights = _described(data)
    files = {"model__json": about, "model__safetensors": weights}
    place = _write(_scratch() / "result", **files)
    result = tl.load_result(place, device="cpu")
    repr(result).encode()
    size = result.backbone.preprocess.shape
    assert len(result.predict(torch.zeros(size), calibrated=True)) == len(result.classes)
    result.save(_scratch() / "again")


def _network(data: bytes) -> None:
    about, weights = _described(data)
    files = {"network__json": about, "weights__safetensors": weights}
    place = _write(_scratch() / "network", **files)
    backbone = tl.load_backbone(place, device="cpu")
    repr(backbone).encode()
    with torch.inference_mode():
        given = backbone.model(torch.zeros(1, *backbone.preprocess.shape))
    assert given.shape == (1, len(backbone.classes))


def _adapter(data: bytes) -> None:
    body = tl.Network(tiny_network(), 3)
    about, header = _parts(data, 2)
    weights = _safetensors(header)
    file = _scratch() / "adapter.safetensors"
    if isinstance(about, dict):
        about = {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}
        file.write_bytes(weights)
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "pt") as opened:
                moved = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        except SafetensorError:
            moved = {}
        if about.get("fingerprint") == _FITS:
            about["fingerprint"] = adapter_file._fingerprint(body, moved)
        if about.pop("sha256", "") == _FITS:
            about["sha256"] = adapter_file._digest(about, moved)
        header = {"__metadata__": about} | (header if isinstance(header, dict) else {})
    file.write_bytes(_safetensors(header))
    before = {name: p.clone() for name, p in body.state_dict().items()}
    try:
        network = tl.finetune.load_adapter(body, file)
    except CourseError:
        assert all(torch.equal(p, before[name]) for name, p in body.state_dict().items())
        assert body.added is None
        raise
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 16, 16)).shape == (1, network.n_classes)
    tl.finetune.load_adapter(tiny_network(), file)


def _features(data: bytes) -> None:
    manifest, head, n_bytes = _parts(data, 3)
    content = b"\x93NUMPY\x01\x00" + len(str(head)[:4000].encode("utf-8", "replace")).to_bytes(
        2, "little"
    )
    content += str(head)[:4000].encode("utf-8", "replace")
    content += bytes(n_bytes if isinstance(n_bytes, int) and 0 <= n_bytes < 2**16 else 0)
    if isinstance(manifest, dict) and manifest.get("sha256") == _FITS:
        manifest["sha256"] = hashlib.sha256(content).hexdigest()
    _scratch()
    entry = store.Entry("0123abcd", {"layer": "x"})
    place = store.store_folder() / entry.key
    for folder in (place, place.with_suffix(".part")):
        _write(folder, manifest__json=json.dumps(manifest).encode(), features__npy=content)
    store.entries()

    def compute(names: list[str], row: int) -> Any:
        yield {name: np.ones((6 - row, 2), np.float32) for name in names}, 0.1

    for refresh in (False, False, True):  # what is finished; what was begun; a new one
        rows, seconds = store.get_or_compute({"x": entry}, 6, compute, lock="x", refresh=refresh)[
            "x"
        ]
        assert len(np.array(rows)) == 6
        assert isinstance(seconds, float)
        shutil.rmtree(place, ignore_errors=True)


def _progress(data: bytes) -> None:
    folder = _write(_scratch() / "class", anna__jsonl=data)
    progress_table(progress_files([folder])).to_csv().encode()
    progress_file.progress_path().write_bytes(data)
    shown = progress()
    repr(shown).encode()
    shown._repr_html_().encode()
    known = progress_file.entries()
    progress_file.change("03.1", lambda entry: entry | {"tries": 1})
    assert {**known, "03.1": {**known.get("03.1", {}), "tries": 1}} == progress_file.entries()
    for path in _scratch().glob("progress.damaged*"):
        path.unlink()


def _changed_lines(data: bytes, random: Random, mutate: Callable[[bytes], bytes]) -> bytes:
    """Change one line as JSON, or put it there twice."""
    lines = data.splitlines() or [b"{}"]
    place = random.randrange(len(lines))
    if random.random() < 0.1:
        lines.insert(place, lines[place])
    lines[place] = _changed_json(lines[place], random, mutate)
    return b"\n".join(lines)


def _read_all(kind: str, data: bytes) -> None:
    file = _scratch() / f"shard.{kind}"
    file.write_bytes(data)
    for name, label, content in read_shard(Shard("shard", file, "")):
        name.encode()
        (label or "").encode()
        assert isinstance(content, bytes) or file.parent.resolve() in content.resolve().parents


def _tar(data: bytes) -> None:
    _read_all("tar", data)


def _parquet(data: bytes) -> None:
    _read_all("parquet", data)


def _changed_tar(data: bytes, random: Random, mutate: Callable[[bytes], bytes]) -> bytes:
    """Change a block, and make the check sums of all headers right."""
    blocks = [bytearray(data[at : at + 512]) for at in range(0, len(data), 512)] or [bytearray(512)]
    place = random.randrange(len(blocks))
    block = blocks[place]
    fields = ((0, 100), (124, 12), (156, 1), (257, 8), (345, 155), (482, 1), (386, 97))
    way = random.randrange(5)
    if way == 0:
        blocks.insert(place, bytearray(random.choice(blocks)))
    elif way == 1 and len(block) == 512:
        start, n = random.choice(fields)
        values = (
            b"-1",
            b"\xff" * n,
            b"\x80" + b"\0" * (n - 2) + b"\x7f",
            b"77777777777",
            b"0",
            b"xgLKS5",
        )
        chosen = random.choice(values)
        block[start : start + n] = (
            chosen[:n] if n > 1 else bytes([random.choice(b"xgLKS012567")])
        ).ljust(n, b"\0")
    elif way == 2:
        del blocks[place]
    else:
        block[:] = mutate(bytes(block))[:512]
    for block in blocks:
        if len(block) == 512 and block[257:262] == b"ustar":
            block[148:156] = b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:]))
    return b"".join(map(bytes, blocks))


def _extracted(data: bytes) -> None:
    folder = _write(_scratch() / "extracted", one__parquet=data)
    for name in ("two", "three", "four"):
        shutil.copy(folder / "one.parquet", folder / f"{name}.parquet")
    finished(_Known(folder, ("x",)), Shard("one", folder, "0" * 16))
    fit_streamed_probe(folder, "x", strengths=(1.0,), progress=False)


class _Known(Plan):
    """A plan whose file is called "one.parquet"."""

    def target(self, name: str) -> Path:
        return self.out / f"{name}.parquet"


@cache
def _app() -> Any:
    backbone = tiny_network()
    task = tl.load_task("digits").few_of_each(train=2, val=1, test=1)
    result = tl.patterns.standalone_extractor(backbone, task, progress=False)
    return make_app(result, lambda: None)


def _request(data: bytes) -> None:
    """Ask the application itself; a status of 500 is a finding."""
    method, path, headers, parts = _parts(data, 4)
    pairs = [
        (str(h[0]).lower().encode("latin-1", "replace"), str(h[1]).encode("latin-1", "replace"))
        for h in (headers if isinstance(headers, list) else [])
        if isinstance(h, list) and len(h) == 2
    ]
    body = [str(p).encode("latin-1", "replace") for p in parts] if isinstance(parts, list) else []
    raw, _, query = str(path).encode("utf-8", "replace").partition(b"?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": str(method).encode("ascii", "replace").decode(),
        "path": raw.decode(),
        "raw_path": raw,
        "query_string": query,
        "headers": pairs,
    }
    messages = [{"type": "http.request", "body": p, "more_body": True} for p in body]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    told = io.StringIO()
    with redirect_stderr(told):
        asyncio.run(_app()(scope, receive, send))
    status = sent[0]["status"]
    assert status in (200, 400, 403, 404, 405, 408, 413, 422), told.getvalue()
    content = b"".join(message.get("body", b"") for message in sent)
    if status >= 400 and method != "HEAD":
        assert list(json.loads(content)) == ["error"]


def _quiet(read: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Say nothing of what is found damaged."""

    def quietly(data: bytes) -> None:
        with notes_to(lambda _: None):
            read(data)

    return quietly


READERS = {
    "results": Reader(_quiet(_result), _changed_json),
    "networks": Reader(_quiet(_network), _changed_json),
    "adapters": Reader(_quiet(_adapter), _changed_json),
    "features": Reader(_quiet(_features), _changed_json),
    "progress": Reader(_quiet(_progress), _changed_lines),
    "tars": Reader(_quiet(_tar), _changed_tar),
    "parquets": Reader(_quiet(_parquet)),
    "extracted": Reader(_quiet(_extracted)),
    "requests": Reader(_quiet(_request), _changed_json),
}
