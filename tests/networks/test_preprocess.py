"""A network for pictures of another size: the same weights, and its preprocessing made smaller."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_features import TinyNet, as_backbone, noise
from torchvision.models import ResNet18_Weights

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.networks.preprocess import Preprocess, make_augment


@pytest.fixture
def tiny():
    return as_backbone(TinyNet())


def by_hand(picture, resize_size, crop_size, resample, mean, std):
    width, height = picture.size
    shorter = min(width, height)
    size = (int(resize_size * width / shorter), int(resize_size * height / shorter))
    picture = picture.resize(size, resample)
    left, top = (round((side - crop_size) / 2) for side in size)
    values = np.asarray(picture.crop((left, top, left + crop_size, top + crop_size)), np.float32)
    return (torch.from_numpy(values).permute(2, 0, 1) / 255 - mean) / std


@pytest.mark.parametrize(("size", "resize_size"), [(32, 37), (64, 73), (224, 256), (300, 343)])
@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_preprocessing_at_another_size_is_that_of_the_weights_made_smaller(
    library, size, resize_size
):
    if library == "timm":
        preprocess = tl.load_backbone(device="cpu").preprocess  # 256 and 224 pixels, bicubic
        mean, std, resample = torch.full((3, 1, 1), 0.5), 0.5, Image.Resampling.BICUBIC
    else:
        preprocess = Preprocess.from_torchvision(ResNet18_Weights.DEFAULT.transforms())
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std, resample = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), Image.Resampling.BILINEAR
    other = preprocess.at_size(size)
    assert (other.resize_size, other.crop_size) == (resize_size, size)
    for shape in ((400, 352), (70, 90)):
        picture = noise(3, shape)
        expected = by_hand(picture, resize_size, size, resample, mean, std)
        torch.testing.assert_close(other(picture), expected, rtol=0, atol=1e-5)
    assert preprocess.crop_size == 224  # the one that was there is as it was
    assert preprocess(noise(3, (300, 260))).shape == (3, 224, 224)


@pytest.mark.parametrize("size", [227, 96])
def test_preprocessing_of_caffe_is_blue_green_red_from_0_to_255_less_the_mean(size):
    preprocess = Preprocess.from_caffe(227).at_size(size)
    picture = noise(3, (300, 260))
    mean = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    rgb = 255 * by_hand(picture, size, size, Image.Resampling.BILINEAR, 0.0, 1.0)
    tensor = preprocess(picture)
    torch.testing.assert_close(tensor, rgb[[2, 1, 0]] - mean, rtol=0, atol=1e-3)
    # What is shown is the picture again, in a batch and with gradients too.
    torch.testing.assert_close(preprocess.undo(tensor), rgb / 255, rtol=0, atol=1e-5)
    batch = tensor[None].clone().requires_grad_(True)
    array = preprocess.to_array(batch[0])
    np.testing.assert_allclose(array, (rgb / 255).permute(1, 2, 0), rtol=0, atol=1e-5)
    assert preprocess.undo(batch).shape == (1, 3, size, size)


def test_training_pictures_of_caffe_are_prepared_like_all_others():
    preprocess = Preprocess.from_caffe(227).at_size(64)
    orange = Image.new("RGB", (80, 90), (250, 120, 10))  # each crop of it is the same
    torch.testing.assert_close(make_augment(preprocess)(orange), preprocess(orange))


def test_a_preprocessing_says_how_it_differs_from_the_usual_one():
    usual = Preprocess.from_torchvision(ResNet18_Weights.DEFAULT.transforms())
    assert (usual.channels, usual.scale) == ("RGB", 1.0)
    assert "channels" not in repr(usual)  # stored features keep their keys
    assert "channels='BGR', scale=255.0" in repr(Preprocess.from_caffe(227))
    assert repr(replace(usual, channels="BGR")) != repr(usual)
    assert replace(usual, channels="BGR") != usual


def test_a_network_at_another_size_is_the_same_network():
    backbone = tl.load_backbone("timm/test_resnet", pretrained=False, device="cpu")
    small = backbone.at_size(64)
    assert small.model is backbone.model
    assert (small.layers, small.classes) == (backbone.layers, backbone.classes)
    assert small.preprocess.crop_size == small.augment(noise(0, (90, 90))).shape[-1] == 64
    assert tl.activations(small, noise(0), "logits")["logits"].shape == (1, 1000)
    assert small.operations < backbone.operations / 4
    assert backbone.at_size(160) is backbone
    assert backbone.preprocess.crop_size == 160


@pytest.mark.parametrize("size", [0, 15, -32, 64.0, "64", None])
def test_sizes_that_make_no_sense_are_refused(tiny, size):
    with pytest.raises(CourseError, match="must be a whole number, 16 or larger"):
        tiny.at_size(size)


def test_a_network_that_takes_one_size_only_says_so(tiny):
    fixed = tl.load_backbone("timm/swin_tiny_patch4_window7_224", pretrained=False, device="cpu")
    with pytest.raises(CourseError, match=r"cannot take pictures of 64 pixels.*made for 224"):
        fixed.at_size(64)
    assert fixed.at_size(224) is fixed
    own = replace(tiny, preprocess=replace(tiny.preprocess, make=None))
    with pytest.raises(CourseError, match="has one size only"):
        own.at_size(64)
