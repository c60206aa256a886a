"""How fast this machine makes features of pictures, and what it could (docs/scale.md, notebook 15).

    python -m benchmarks.engines [--rounds 3] [--only engines_forward] [--save]

All in turns, round by round, on one machine; printed are medians, and medians of the ratios within a
round.

- `engines_forward`, 4 minutes: the forward pass alone, beside the largest product of matrices.
- `engines_folder`, 8 minutes: from 2,000 JPEGs of about 500 pixels to features on the disk, beside a
  DataLoader and public tools. Those that are slow read 200 of them, in the first round only. Some
  packages are optional: fastai, fastembed, imagededup, lightning, transformers.
- `engines_reading`, 2 minutes: decoding and preprocessing alone, of these and of 12 million pixels.
- `engines_scale`, 3 minutes: 20,000 and 60,000 pictures of `fashion_full` at 64 pixels.

Needs the extra `fast`, the photographs of ants and bees (`tl.download_task()`), and Debian's package
`dataset-fashion-mnist`.
"""

import atexit
import contextlib
import math
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image, ImageOps

import tlcourse as tl
from benchmarks import competitors
from benchmarks.recording import Row, record
from tlcourse.base.machine import MIB, peak_resident, usable_cores
from tlcourse.engines.engine import make_engine
from tlcourse.tasks.download import find_folder

PICTURES, FEW = 2000, 200
SIDE = 500  # pixels, the longer one
TELEPHONE = (4032, 3024)
SIZES = (512, 1024, 2048, 3072)  # of the square matrices
SECONDS = 2.5  # of each turn of a forward pass
SCALE = {"size": 64, "pictures": (20_000, 60_000)}

Rates = dict[str, list[float]]  # way -> pictures per second, round by round


def in_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> Rates:
    """Run each way once a round; each returns its rate."""
    rates: Rates = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            rates[way].append(run())
    return rates


def ratio(some: Sequence[float], others: Sequence[float]) -> float:
    """Median of the ratios within a round."""
    return statistics.median(a / b for a, b in zip(some, others, strict=False))


def spread(rates: Sequence[float]) -> Row:
    """Median, slowest and fastest round."""
    return {
        "per_second": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "rounds": len(rates),
    }


# ---- The pictures


@cache
def place() -> Path:
    """A temporary folder that goes when the program ends."""
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    return Path(made.name)


def sources() -> list[Path]:
    """The photographs of ants and bees."""
    folder = find_folder("hymenoptera_data")
    if folder is None:
        raise tl.CourseError(
            'The photographs are missing. tl.download_task("hymenoptera") gets them.'
        )
    return sorted(folder.glob("*/*/*.jpg"))


def varied(picture: Image.Image, variant: int) -> Image.Image:
    """Mirror a picture, or crop it at one of its corners, and scale its longer side to 500 pixels."""
    if variant % 2:
        picture = ImageOps.mirror(picture)
    if corner := variant // 2:
        share = 0.8
        width, height = (round(share * side) for side in picture.size)
        left = (corner % 2) * (picture.width - width)
        top = (corner // 2) * (picture.height - height)
        picture = picture.crop((left, top, left + width, top + height))
    scale = SIDE / max(picture.size)
    size = [max(1, round(scale * side)) for side in picture.size]
    return picture.resize((size[0], size[1]), Image.Resampling.BICUBIC)


@cache
def folder(n: int = PICTURES) -> Path:
    """A folder with `n` JPEGs of two classes; the number in a name is that of the photograph."""
    top, paths = place() / f"pictures_{n}", sources()

    def make(i: int) -> None:
        variant, number = divmod(i, len(paths))
        source = paths[number]
        target = top / source.parent.name / f"{number:03d}_{variant}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        varied(tl.open_picture(source), variant).save(target, "JPEG", quality=90)

    # Of a smaller number every so many, so that both classes and many photographs are there.
    step = max(1, PICTURES // n)
    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(make, range(0, n * step, step)))
    return top


@cache
def telephone(n: int = 16) -> list[Path]:
    """Photographs of 12 million pixels, enlarged from real ones, as a telephone would store them."""
    top, paths = place() / "telephone", sources()
    top.mkdir()

    def make(i: int) -> Path:
        target = top / f"{i:02d}.jpg"
        picture = ImageOps.fit(tl.open_picture(paths[i * len(paths) // n]), TELEPHONE)
        picture.save(target, "JPEG", quality=90)
        return target

    with ThreadPoolExecutor(usable_cores()) as pool:
        return list(pool.map(make, range(n)))


# ---- The forward pass alone


def peak(multiply: Callable[[int], Callable[[], object]]) -> float:
    """GFLOP per second of the fastest product of two square matrices, all cores."""
    best = 0.0
    for size in SIZES:
        product = multiply(size)
        product()
        started, times = time.perf_counter(), 0
        while time.perf_counter() - started < SECONDS / len(SIZES):
            product()
            times += 1
        seconds = time.perf_counter() - started
        best = max(best, times * 2e-9 * size**3 / seconds)
    return best


def of_numpy(size: int) -> Callable[[], object]:
    """A product of two float32 matrices with numpy."""
    a = np.random.default_rng(0).standard_normal((size, size), np.float32)
    return partial(np.matmul, a, a, out=np.empty_like(a))


def of_torch(size: int) -> Callable[[], object]:
    """The same with PyTorch."""
    a = torch.randn(size, size)
    return partial(torch.mm, a, a, out=torch.empty_like(a))


def repeated(run: Callable[[], int]) -> float:
    """Pictures per second of a pass that returns how many it took, over a few seconds."""
    run()
    started, n = time.perf_counter(), 0
    while (seconds := time.perf_counter() - started) < SECONDS:
        n += run()
    return n / seconds


def passes(backbone: tl.Backbone, pictures: Sequence[Image.Image]) -> dict[str, Callable[[], int]]:
    """Each way to run 64 prepared pictures through the network."""
    batch = torch.stack([backbone.preprocess(picture) for picture in pictures])
    array = batch.numpy()
    plain, fast = competitors.lite0(), competitors.straight(backbone)

    def torch_pass(model: torch.nn.Module, size: int, layout: torch.memory_format) -> int:
        with torch.inference_mode():
            for part in batch.split(size):
                model(part.contiguous(memory_format=layout)).numpy()
        return len(batch)

    ways = {"PyTorch, plain, 64": partial(torch_pass, plain, 64, torch.contiguous_format)}
    last = torch.channels_last
    ways["PyTorch, folded, channels last, 16"] = partial(torch_pass, fast, 16, last)
    ways["torch.compile, 16"] = partial(torch_pass, torch.compile(fast), 16, last)

    with contextlib.suppress(ImportError):
        import onnxruntime

        path = place() / "lite0.onnx"
        competitors.export_onnx(backbone, path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

        def onnx_pass(size: int) -> int:
            for i in range(0, len(array), size):
                session.run(None, {"pictures": array[i : i + size]})
            return len(array)

        ways |= {f"ONNX Runtime, {size}": partial(onnx_pass, size) for size in (1, 4, 16)}

    engine = make_engine(backbone, ["embedding"], engine="openvino")
    items = [engine.prepare(picture) for picture in pictures]
    parts = [items[i : i + engine.batch_size] for i in range(0, len(items), engine.batch_size)]
    pool = ThreadPoolExecutor(engine.at_once)

    def openvino_pass() -> int:  # eight times, since both streams wait for the last batch
        return sum(len(rows["embedding"]) for rows in pool.map(engine, parts * 8))

    ways[f"OpenVINO, {engine.batch_size} in {engine.at_once} threads"] = openvino_pass
    return ways


def forward(rounds: int) -> Iterator[Row]:
    """The forward pass of the default network at 224 pixels, beside products of matrices."""
    backbone = tl.load_backbone(device="cpu")
    pictures = [tl.open_picture(path) for path in competitors.files_of(folder(FEW))[::3][:64]]
    ways = passes(backbone, pictures)
    for way, run in list(ways.items()):  # what does not work here is left out
        try:
            run()
        except Exception as error:
            ways.pop(way)
            yield {"way": way, "note": f"does not work here: {str(error)[:60]}"}
    products = {"numpy": partial(peak, of_numpy), "torch": partial(peak, of_torch)}
    runs = {way: partial(repeated, run) for way, run in ways.items()}
    rates = in_turns(products | runs, rounds)
    giga = backbone.operations / 1e9
    best = [max(both) / giga for both in zip(rates["numpy"], rates["torch"], strict=True)]
    for name in products:
        as_pictures = [gflops / giga for gflops in rates.pop(name)]
        yield {"way": f"matrix product, {name}", "gflop_per_second": giga * max(as_pictures)} | (
            spread(as_pictures)
        )
    today = rates[next(way for way in rates if "folded" in way)]
    for way, found in rates.items():
        yield {
            "way": way,
            "gflop_per_second": giga * statistics.median(found),
            **spread(found),
            "share_of_peak": ratio(found, best),
            "times_today": ratio(found, today),
        }


# ---- From a folder to features

EVERY_ROUND = {  # way -> pictures
    "ours, PyTorch": PICTURES,
    "ours, auto": PICTURES,
    "DataLoader": FEW,
    "fastembed, 2 processes": PICTURES,
}


def accuracy(rows: np.ndarray, pictures: Path) -> float:
    """Share that a probe finds, fitted to two of three photographs and tested on the others."""
    paths = competitors.files_of(pictures)
    y = np.array([path.parent.name == "bees" for path in paths]).astype(np.int64)
    test = np.array([int(path.name[:3]) % 3 == 0 for path in paths])
    probe = tl.fit_probe(rows[~test], y[~test])
    return float((probe.logits(rows[test]).argmax(axis=1) == y[test]).mean())


def cosine(rows: np.ndarray, others: np.ndarray) -> float:
    """Smallest cosine between the same row of two sets."""
    along = (rows * others).sum(axis=1)
    return float((along / np.linalg.norm(rows, axis=1) / np.linalg.norm(others, axis=1)).min())


def from_folder(rounds: int) -> Iterator[Row]:
    """From JPEGs to features, ours and others'."""
    for n in (PICTURES, FEW):
        folder(n)
    found: dict[str, list[tuple[float, float, np.ndarray]]] = {}
    missing: dict[str, str] = {}

    def turn(way: str, run: competitors.Competitor) -> None:
        n = EVERY_ROUND.get(way, FEW)
        found.setdefault(way, []).append(run(folder(n)))
        print(f"    {way}: {n / found[way][-1][0]:.1f} pictures/s", flush=True)

    kept = {}
    for way in competitors.WAYS:
        try:
            run = competitors.Competitor(way)
            if way in EVERY_ROUND:
                run(folder(FEW))  # the first one prepares
                kept[way] = run
            turn(way, run)
        except competitors.MissingError as why:
            missing[way] = str(why)
            print(f"    {way}: {why}", flush=True)
            continue
        if way not in kept:
            run.close()
    for _ in range(1, rounds):
        for way, run in kept.items():
            turn(way, run)
    for run in kept.values():
        run.close()

    rates = {
        way: [EVERY_ROUND.get(way, FEW) / seconds for seconds, _, _ in runs]
        for way, runs in found.items()
    }
    reference = found["ours, PyTorch"][0][2]
    rows_few = [competitors.files_of(folder(PICTURES)).index(path) for path in few_in_many()]
    for way in competitors.WAYS:
        if way in missing:
            yield {"way": way, "note": missing[way]}
            continue
        n, rows = EVERY_ROUND.get(way, FEW), found[way][0][2]
        same = reference if n == PICTURES else reference[rows_few]
        yield {
            "way": way,
            "pictures": n,
            **spread(rates[way]),
            "alone": statistics.median(n / alone for _, alone, _ in found[way]),
            "times_today": ratio(rates[way], rates["ours, PyTorch"]),
            "auto_is_times": ratio(rates["ours, auto"], rates[way]),
            "accuracy": accuracy(rows, folder(n)),
            "accuracy_today": accuracy(same, folder(n)),  # of the same pictures
            "least_cosine": cosine(rows, same),
        }


def few_in_many() -> list[Path]:
    """The files of the smaller folder, as they are called in the larger one."""
    many = folder(PICTURES)
    return [many / p.parent.name / p.name for p in competitors.files_of(folder(FEW))]


# ---- Reading alone


def pillow(backbone: tl.Backbone, path: Path) -> torch.Tensor:
    """Decode all of a JPEG with Pillow, then preprocess it."""
    return backbone.preprocess(tl.open_picture(path))


def pillow_draft(backbone: tl.Backbone, factor: float, path: Path) -> torch.Tensor:
    """Let libjpeg decode at a reduced scale, at least `factor` times what is resized to."""
    with Image.open(path) as picture:
        wanted = factor * backbone.of_pictures.resize_size
        scale = wanted / min(picture.size)
        picture.draft("RGB", (math.ceil(scale * picture.width), math.ceil(scale * picture.height)))
        return backbone.preprocess(picture)


def torchvision_read(backbone: tl.Backbone, path: Path) -> torch.Tensor:
    """Decode and resize with torchvision."""
    from torchvision.io import ImageReadMode, decode_jpeg, read_file

    return resized(backbone, decode_jpeg(read_file(str(path)), mode=ImageReadMode.RGB))


def torchvision_resize(backbone: tl.Backbone, path: Path) -> torch.Tensor:
    """Decode with Pillow and resize with torchvision."""
    picture = np.array(tl.open_picture(path))
    return resized(backbone, torch.from_numpy(picture).permute(2, 0, 1))


def resized(backbone: tl.Backbone, picture: torch.Tensor) -> torch.Tensor:
    """Resize, cut and normalise a tensor (3, H, W) of 8 bits."""
    from torchvision.transforms import v2

    preprocess = backbone.of_pictures
    bicubic = v2.InterpolationMode.BICUBIC
    picture = v2.functional.resize(picture, [preprocess.resize_size], bicubic, antialias=True)
    picture = v2.functional.center_crop(picture, [preprocess.crop_size])
    values = v2.functional.to_dtype(picture, torch.float32, scale=True)
    return v2.functional.normalize(values, list(preprocess.mean), list(preprocess.std))


class Pictures(torch.utils.data.Dataset[torch.Tensor]):
    """Files, opened and preprocessed when they are asked for."""

    def __init__(self, read: Callable[[Path], torch.Tensor], paths: Sequence[Path]) -> None:
        self.read, self.paths = read, paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.read(self.paths[index])


def rate_of(read: Callable[[Path], object], threads: int, paths: Sequence[Path]) -> float:
    """Pictures per second that so many threads read."""
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(read, paths):
            pass
    return len(paths) / (time.perf_counter() - started)


def rate_of_loader(read: Callable[[Path], torch.Tensor], paths: Sequence[Path]) -> float:
    """Pictures per second that two workers of a DataLoader read."""
    started = time.perf_counter()
    data = Pictures(read, paths)
    for _ in torch.utils.data.DataLoader(data, batch_size=8, num_workers=competitors.WORKERS):
        pass
    return len(paths) / (time.perf_counter() - started)


def reading(rounds: int) -> Iterator[Row]:
    """Decoding and preprocessing, and what each way changes in the picture and its features."""
    backbone = tl.load_backbone(device="cpu")
    engine = make_engine(backbone, ["embedding"])
    whole = partial(pillow, backbone)
    reads: dict[str, Callable[[Path], Any]] = {
        "Pillow": whole,
        "Pillow, the engine's": lambda path: engine.prepare(tl.open_picture(path)),
        "Pillow, max_side=1024": lambda path: backbone.preprocess(
            tl.open_picture(path, max_side=1024)
        ),
        "Pillow, draft to the size": partial(pillow_draft, backbone, 1),
        "Pillow, draft to twice the size": partial(pillow_draft, backbone, 2),
        "Pillow, resized by torchvision": partial(torchvision_resize, backbone),
        "torchvision.io": partial(torchvision_read, backbone),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # each thread that reads does so by itself
    for kind, paths in {
        f"{SIDE} px": competitors.files_of(folder(FEW))[::2],
        f"{TELEPHONE[0]} x {TELEPHONE[1]}": telephone(),
    }.items():
        runs = {
            (way, f"{n} thread{'s'[: n > 1]}"): partial(rate_of, read, n, paths)
            for way, read in reads.items()
            for n in (1, 2)
        }
        runs["Pillow", "DataLoader, 2 workers"] = partial(rate_of_loader, whole, paths)
        rates = in_turns(runs, rounds)
        changes = {
            way: changed(backbone, engine, whole, read, paths[:24]) for way, read in reads.items()
        }
        for (way, by), found in rates.items():
            faster = ratio(found, rates["Pillow", "1 thread"])
            about = {"photographs": kind, "way": way, "by": by}
            yield about | spread(found) | {"times_pillow": faster} | changes[way]
    torch.set_num_threads(threads)


def changed(
    backbone: tl.Backbone,
    engine: Any,
    whole: Callable[[Path], torch.Tensor],
    read: Callable[[Path], Any],
    paths: Sequence[Path],
) -> Row:
    """How far preprocessed pictures, in grey levels, and embeddings are from full decoding."""
    model = competitors.straight(backbone)
    grey = 255 * torch.tensor(backbone.of_pictures.std).view(3, 1, 1)
    levels, distances = [], []
    for path in paths:
        expected, found = whole(path), read(path)
        if isinstance(found, torch.Tensor):
            levels.append(((found - expected) * grey).abs().flatten().numpy())
            with torch.inference_mode():
                x, y = model(torch.stack([found, expected])).numpy()
        else:  # what the engine takes, which only the engine knows
            x = engine([found])["embedding"][0]
            with torch.inference_mode():
                y = model(expected[None]).numpy()[0]
        distances.append(float(np.linalg.norm(x - y) / np.linalg.norm(y)))
    row = {"embedding_off": statistics.median(distances), "embedding_most_off": max(distances)}
    if levels:
        off = np.concatenate(levels)
        row |= {"grey_levels_off": float(off.mean()), "grey_999": float(np.quantile(off, 0.999))}
    return row


# ---- Many pictures


def extract_many(n: int, size: int, pipe: Connection) -> None:
    """Extract features of `n` pictures to the disk, in a process of its own, and tell its memory."""
    with tempfile.TemporaryDirectory() as cache_folder:
        os.environ["TLCOURSE_CACHE"] = cache_folder
        backbone = tl.load_backbone(device="cpu").at_size(size)
        task = tl.load_task("fashion_full")
        split = task.train.joined(task.val).take(range(n))
        del task
        me, resident, over = psutil.Process(), [], threading.Event()

        def watch() -> None:
            while not over.wait(0.5):
                resident.append(me.memory_info().rss)

        before = me.memory_info().rss
        threading.Thread(target=watch, daemon=True).start()
        started = time.perf_counter()
        found = tl.extract_features(backbone, split, progress=False)
        seconds = time.perf_counter() - started
        over.set()
        quarters = [statistics.median(part) for part in np.array_split(resident, 4)]
        pipe.send(
            {
                "engine": found.engine,
                "seconds": seconds,
                "per_second": n / seconds,
                "mib_before": before / MIB,
                **{f"mib_quarter_{i}": float(mean) / MIB for i, mean in enumerate(quarters, 1)},
                "mib_peak": peak_resident(me) / MIB,
            }
        )


def scale(rounds: int) -> Iterator[Row]:
    """Seconds and memory of 20,000 and of 60,000 pictures."""
    context = multiprocessing.get_context("spawn")
    for n in SCALE["pictures"]:
        pipe, end = context.Pipe()
        process = context.Process(target=extract_many, args=(n, SCALE["size"], end))
        process.start()
        end.close()
        yield {"pictures": n, "size": SCALE["size"], **pipe.recv()}
        process.join()


EXPERIMENTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "engines_forward": forward,
    "engines_folder": from_folder,
    "engines_reading": reading,
    "engines_scale": scale,
}

if __name__ == "__main__":
    packages = ("openvino", "onnxruntime", "pillow")
    record(
        "python -m benchmarks.engines",
        __doc__,
        EXPERIMENTS,
        dict.fromkeys(EXPERIMENTS, packages),
        rounds=3,
    )
