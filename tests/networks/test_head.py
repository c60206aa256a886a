"""A head on maps is a small convolutional network, and reads a layer that has maps left."""

import pytest
import torch
from tiny_tasks import batch_of, made_backbone, tiny_backbone
from torch import nn

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.networks.head import ConvHead, map_layer


@pytest.mark.parametrize("side", [1, 2, 5, 14])
def test_the_head_computes_what_its_layers_say(side):
    torch.manual_seed(0)
    head, maps = ConvHead(7, 3, width=4), torch.randn(5, 7, side, side)
    head.train()
    first, second = (m for m in head if isinstance(m, nn.Conv2d))
    last = head[-1]

    def normed(x):  # BatchNorm in training mode, at its start
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        return ((x - mean) / (var + 1e-5).sqrt()).relu()

    x = normed(nn.functional.conv2d(maps, first.weight, padding=1))
    # Positions beyond the edge do not count.
    x = nn.functional.max_pool2d(nn.functional.pad(x, (0, side % 2) * 2, value=-torch.inf), 2)
    x = normed(nn.functional.conv2d(x, second.weight, padding=1)).mean((2, 3))
    torch.testing.assert_close(head(maps), x @ last.weight.T + last.bias)


@pytest.mark.parametrize("wrong", [{"channels": 0}, {"n_classes": 1.5}, {"width": -3}])
def test_a_head_of_no_size_is_refused(wrong):
    with pytest.raises(CourseError, match=f"{next(iter(wrong))} is .* whole number"):
        ConvHead(**{"channels": 4, "n_classes": 3} | wrong)


def test_in_a_network_it_reads_the_maps_of_the_layer():
    backbone = tiny_backbone()
    network = tl.Network(backbone, 3, layer="stage3", head="conv", seed=2)
    batch = batch_of(backbone)
    maps = tl.activations(backbone, batch, "stage3")["stage3"]
    with torch.no_grad():
        torch.testing.assert_close(network(batch), network.head(maps))
    same = tl.Network(backbone, 3, layer="stage3", head="conv", seed=2).head.state_dict()
    assert all(torch.equal(same[name], t) for name, t in network.head.state_dict().items())
    view = network.as_backbone(("a", "b", "c"))
    found = tl.activations(view, batch, ["stage3", "embedding", "logits"])
    assert found["embedding"].shape == (2, 128)
    torch.testing.assert_close(network.head[-1](found["embedding"]), found["logits"])


def test_an_embedding_that_is_a_map_is_averaged_for_every_head():
    with pytest.raises(CourseError, match=r"layer 'embedding' gives \(5,\)"):
        tl.Network(made_backbone(), 3, head="conv")


@pytest.mark.parametrize(
    ("name", "size", "layer", "stride"),
    [
        ("timm/tf_efficientnet_lite0", 224, "stage5", 16),
        ("timm/tf_efficientnet_lite0", 96, "stage5", 16),
        ("resnet18", 224, "stage3", 16),
        ("resnet18", 96, "stage3", 16),
        ("squeezenet1_1", 224, "stage8", 16),  # ends at stride 16, without padding
        ("squeezenet1_1", 96, "stage8", 16),
        ("vgg11", 224, "stage4", 16),
        ("densenet121", 224, "stage3", 16),
        ("mobilenet_v2", 128, "block13", 16),
    ],
)
def test_the_layer_is_the_deepest_of_stride_16(name, size, layer, stride):
    backbone = tl.load_backbone(name, pretrained=False, device="cpu").at_size(size)
    found = map_layer(backbone)
    assert found == layer
    side = backbone.trace[backbone.layer(found).path].output_shape[-1]
    assert round(size / side / stride) == 1


@pytest.mark.parametrize("name", ["vit_b_16", "timm/test_vit"])
def test_patches_are_no_maps(name):
    with pytest.raises(CourseError, match="has no maps"):
        map_layer(tl.load_backbone(name, pretrained=False, device="cpu"))
