"""Ways from a folder of JPEGs to the features of a network, each in a process of its own.

Each way makes what it needs, such as the network, and returns a function: folder -> features
(N, 1280) in the order of the files' names. All use the default network with its own weights at 224
pixels. A package that is not installed raises ImportError.
"""

import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import tlcourse as tl
from tlcourse.engines.engine import EngineName
from tlcourse.engines.pytorch import fast_copy

NAME = "tf_efficientnet_lite0"
BATCH, WORKERS = 64, 2
Run = Callable[[Path], np.ndarray | tl.Features]


def files_of(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order of all features here."""
    return sorted(folder.glob("*/*.jpg"))


def lite0() -> nn.Module:
    """The default network without its last layer, as timm makes it."""
    import timm

    overlay = {"file": str(tl.weights_file())}
    made = timm.create_model(NAME, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0)
    return made.eval()


def transform(model: nn.Module) -> Callable[[Any], torch.Tensor]:
    """Preprocess a picture as timm does for this network."""
    from timm.data import create_transform, resolve_model_data_config

    return create_transform(**resolve_model_data_config(model), is_training=False)


def ours(engine: EngineName) -> Run:
    """`load_task` and `extract_features`, with the features on the disk at the end."""
    backbone = tl.load_backbone(device="cpu")

    def run(folder: Path) -> tl.Features:
        task = tl.load_task(folder, val_fraction=0, test_fraction=0)
        found = tl.extract_features(backbone, task, engine=engine, refresh=True, progress=False)
        assert list(found.names) == [f"{p.parent.name}/{p.name}" for p in files_of(folder)]
        return found

    return run


def data_loader(channels_last: bool) -> Run:
    """A DataLoader with two workers around a loop of plain PyTorch."""
    from torchvision.datasets import ImageFolder

    model = lite0()
    change = transform(model)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)

    def run(folder: Path) -> np.ndarray:
        loader = torch.utils.data.DataLoader(
            ImageFolder(folder, change), batch_size=BATCH, num_workers=WORKERS
        )
        rows = []
        with torch.inference_mode():
            for pictures, _ in loader:
                if channels_last:
                    pictures = pictures.contiguous(memory_format=torch.channels_last)
                rows.append(model(pictures).numpy())
        return np.concatenate(rows)

    return run


def timm_loader() -> Run:
    """The loop of timm's script inference.py: its data set, its loader, channels last."""
    from timm.data import create_dataset, create_loader, resolve_model_data_config

    model = lite0().to(memory_format=torch.channels_last)
    config = resolve_model_data_config(model)

    def run(folder: Path) -> np.ndarray:
        data = create_dataset("", root=str(folder))
        loader = create_loader(
            data, batch_size=BATCH, num_workers=WORKERS, device=torch.device("cpu"), **config
        )
        with torch.inference_mode():
            rows = [model(pictures).numpy() for pictures, _ in loader]
        names = data.filenames(basename=False)
        return np.concatenate(rows)[np.argsort(names)]

    return run


def fastai() -> Run:
    """Fastai's `Learner.get_preds`."""
    from fastai.vision import all as fast

    model = lite0()
    change = transform(model)

    def opened(path: Path) -> torch.Tensor:
        return change(fast.PILImage.create(path))

    def run(folder: Path) -> np.ndarray:
        data = fast.Datasets(files_of(folder), [[opened]], n_inp=1)
        loader = fast.DataLoader(data, bs=BATCH, num_workers=WORKERS)
        learner = fast.Learner(
            fast.DataLoaders(loader, loader), model, loss_func=fast.noop, path=tempfile.gettempdir()
        )
        with learner.no_bar(), learner.no_logging():
            return learner.get_preds(dl=loader, act=fast.noop)[0].numpy()

    return run


def lightning() -> Run:
    """Lightning's `Trainer.predict`."""
    import lightning as pl
    from torchvision.datasets import ImageFolder

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.body = lite0()

        def predict_step(self, batch: Any, _index: int) -> torch.Tensor:
            return self.body(batch[0])

    module = Module()
    change = transform(module.body)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    def run(folder: Path) -> np.ndarray:
        loader = torch.utils.data.DataLoader(
            ImageFolder(folder, change), batch_size=BATCH, num_workers=WORKERS
        )
        trainer = pl.Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        return torch.cat(trainer.predict(module, loader)).numpy()

    return run


def transformers() -> Run:
    """Hugging Face's pipeline "image-feature-extraction" with a network of timm."""
    import transformers as hf
    from safetensors.torch import save_file

    hf.logging.set_verbosity_error()
    model = lite0()
    place = Path(tempfile.mkdtemp())
    about = {
        "architecture": NAME,
        "num_classes": 0,
        "pretrained_cfg": {k: v for k, v in model.pretrained_cfg.items() if k != "file"},
    }
    (place / "config.json").write_text(json.dumps(about))
    save_file(model.state_dict(), place / "model.safetensors", {"format": "pt"})
    extractor = hf.pipeline("image-feature-extraction", model=str(place), device="cpu")

    def run(folder: Path) -> np.ndarray:
        paths = list(map(str, files_of(folder)))
        found = extractor(paths, batch_size=16, num_workers=WORKERS, pool=True, return_tensors=True)
        return torch.cat(found).reshape(len(paths), -1).numpy()

    return run


def imagededup() -> Run:
    """Imagededup's `CNN.encode_images` with a network of one's own."""
    from imagededup.methods import CNN
    from imagededup.utils import CustomModel

    model = lite0()
    encoder = CNN(verbose=False, model_config=CustomModel(NAME, model, transform(model)))

    def run(folder: Path) -> np.ndarray:
        found = encoder.encode_images(folder, recursive=True, num_enc_workers=WORKERS)
        return np.stack([found[name] for name in sorted(found)])

    return run


def fastembed(parallel: int | None) -> Run:
    """fastembed, ONNX Runtime, with a network of one's own; its rows have length 1."""
    from fastembed import ImageEmbedding

    place = Path(tempfile.mkdtemp())
    backbone = tl.load_backbone(device="cpu")
    export_onnx(backbone, place / "model.onnx")
    preprocess = backbone.of_pictures
    about = {
        "image_processor_type": "ConvNextFeatureExtractor",
        "do_resize": True,
        "size": {"shortest_edge": preprocess.crop_size},
        "crop_pct": preprocess.crop_size / preprocess.resize_size,
        "resample": int(Image.Resampling.BICUBIC),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": preprocess.mean,
        "image_std": preprocess.std,
    }
    (place / "preprocessor_config.json").write_text(json.dumps(about))
    made = ImageEmbedding("Qdrant/resnet50-onnx", specific_model_path=str(place))

    def run(folder: Path) -> np.ndarray:
        paths = list(map(str, files_of(folder)))
        return np.stack(list(made.embed(paths, batch_size=16, parallel=parallel)))

    return run


def export_onnx(backbone: tl.Backbone, path: Path) -> None:
    """Write the network without its last layer, its BatchNorms folded, for batches of any size."""
    model = straight(backbone)
    batch = torch.randn(2, *backbone.preprocess.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (batch,),
            path,
            input_names=["pictures"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def straight(backbone: tl.Backbone) -> nn.Module:
    """The faster copy, without its last layer: what `extract_features` computes on PyTorch."""
    model = fast_copy(backbone, ["embedding"]).model
    model.reset_classifier(0)
    return model.eval()


WAYS: dict[str, Callable[[], Run]] = {
    "ours, PyTorch": lambda: ours("pytorch"),
    "ours, auto": lambda: ours("auto"),
    "DataLoader": lambda: data_loader(False),
    "fastembed, 2 processes": lambda: fastembed(2),
    "DataLoader, channels last": lambda: data_loader(True),
    "timm inference.py": timm_loader,
    "fastai get_preds": fastai,
    "Lightning predict": lightning,
    "transformers pipeline": transformers,
    "imagededup encode_images": imagededup,
    "fastembed": lambda: fastembed(None),
}


class Competitor:
    """A way in a process of its own, which waits for the next folder between its turns."""

    def __init__(self, way: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(way, end))
        self._process.start()
        end.close()
        self._receive()

    def __call__(self, folder: Path) -> tuple[float, float, np.ndarray]:
        """Seconds of all, those of the extraction alone, and the features.

        Raises:
            MissingError: The way cannot run here.
        """
        self._pipe.send(folder)
        return self._receive()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()

    def _receive(self) -> Any:
        given = self._pipe.recv()
        if isinstance(given, str):
            self.close()
            raise MissingError(given)
        return given


class MissingError(Exception):
    """Why a way cannot run here."""


def _serve(way: str, pipe: Connection) -> None:
    """Run a way on each folder that comes, until the other end is closed."""
    warnings.simplefilter("ignore")
    if sys.platform == "linux":  # workers start as they do in a program of its own
        multiprocessing.set_start_method("fork", force=True)
    with tempfile.TemporaryDirectory() as place, suppress(EOFError):
        os.environ["TLCOURSE_CACHE"] = place
        tempfile.tempdir = place
        try:
            run = WAYS[way]()
            pipe.send(None)
            while folder := pipe.recv():
                started = time.perf_counter()
                found = run(folder)
                seconds = alone = time.perf_counter() - started
                if isinstance(found, tl.Features):
                    alone, found = found.seconds, found.x["embedding"]
                pipe.send((seconds, alone, np.array(found)))
        except EOFError:
            raise
        except ImportError as error:
            pipe.send(f"not installed: {error.name}")
        except Exception as error:  # others' packages raise nearly anything
            pipe.send(f"failed: {type(error).__name__}: {error}"[:100])
