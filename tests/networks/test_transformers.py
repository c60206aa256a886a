"""Vision Transformers: blocks are layers, the class token and the patches are pooled apart."""

import pytest
import torch
from PIL import Image
from tiny_tasks import make_task, tiny_backbone

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.networks.tap import pool_positions

TINY = "timm/vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def vit():
    tl.seed_everything(0)
    return tl.load_backbone(TINY, pretrained=False, device="cpu")


def picture(size=224):
    return Image.effect_noise((size, size), 60).convert("RGB")


def test_blocks_are_layers_of_tokens(vit):
    assert vit.layers == ("stem", *(f"block{i}" for i in range(1, 13)), "embedding", "logits")
    values = tl.activations(vit, picture(), ["block1", "block12", "embedding"])
    assert values["block1"].shape == values["block12"].shape == (1, 1 + 14 * 14, 192)
    assert values["embedding"].shape == (1, 192)


def test_poolings_take_the_class_token_and_the_mean_of_the_patches(vit):
    task = make_task()
    tokens = tl.activations(vit, vit.preprocess(task.train[3][0]), "block5")["block5"][0]
    expected = {
        "class_token": tokens[0],
        "patch_mean": tokens[1:].mean(dim=0),
        "mean": tokens.mean(dim=0),
    }
    for pool, by_hand in expected.items():
        some = task.train.take([3])
        found = tl.extract_features(vit, some, "block5", pool=pool, progress=False)
        torch.testing.assert_close(
            torch.from_numpy(found.x["block5"][0].copy()), by_hand, rtol=1e-4, atol=1e-4
        )


def test_a_network_that_is_cut_pools_the_same_token(vit):
    network = tl.Network(vit, 3, layer="block2", pool="class_token")
    batch = vit.preprocess(picture())[None]
    value = network.value(batch)
    assert torch.equal(network.pooled(value), value[:, 0])
    assert network(batch).shape == (1, 3)
    result = tl.patterns.standalone_extractor(
        tiny_backbone("vit"), make_task(), layer="stage2", pool="patch_mean", progress=False
    )
    assert 0 <= result.test_accuracy <= 1


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("timm/deit_tiny_distilled_patch16_224", 2),
        ("timm/vit_small_patch16_dinov3", 5),
        ("vit_b_16", 1),
    ],
)
def test_tokens_that_are_no_patch_are_left_out_of_the_patches(name, tokens):
    with torch.device("meta"):
        from tlcourse.networks.tap import _leading_tokens

        if name.startswith("timm/"):
            import timm

            model = timm.create_model(name.removeprefix("timm/"))
        else:
            import torchvision

            model = torchvision.models.get_model(name)
    assert _leading_tokens(model) == tokens
    value = torch.randn(2, tokens + 4, 8)
    patches = pool_positions(value, "patch_mean", model)
    assert torch.equal(patches, value[:, tokens:].mean(dim=1))


@pytest.mark.parametrize("family", ["efficientnet", "resnet"])
@pytest.mark.parametrize("pool", ["class_token", "patch_mean"])
def test_a_network_without_a_class_token_says_so_in_one_sentence(family, pool):
    with pytest.raises(CourseError, match=f'pool="{pool}" is for the tokens of a Vision'):
        tl.extract_features(
            tiny_backbone(family), make_task(), "stage1", pool=pool, cache=False, progress=False
        )
    with pytest.raises(CourseError, match=f'pool="{pool}" is for the tokens of a Vision'):
        tl.Network(tiny_backbone(family), 3, layer="stage1", pool=pool)


def test_positions_are_resized_for_another_size_of_picture(vit):
    import timm
    from timm.layers import resample_abs_pos_embed

    small = vit.at_size(96)
    assert small.model is vit.model  # shared, so its own positions stay as they are
    assert small.trace["blocks.0"].output_shape == (1 + 6 * 6, 192)
    x = torch.randn(1, 3, 96, 96)
    plain = timm.create_model("vit_tiny_patch16_224", img_size=96).eval()
    state = dict(vit.model.state_dict())
    state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], [6, 6])
    plain.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(small.model(x), plain(x), rtol=1e-4, atol=1e-5)


def test_at_its_own_size_nothing_is_resized(vit):
    import timm

    plain = timm.create_model("vit_tiny_patch16_224").eval()
    plain.load_state_dict(vit.model.state_dict())
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(vit.model(x), plain(x))


def test_a_size_that_is_no_whole_number_of_patches_is_refused(vit):
    with pytest.raises(CourseError, match=r"cannot take pictures of 100 pixels.*made for 224"):
        vit.at_size(100)


def test_a_transformer_that_was_not_fetched_is_one_sentence(monkeypatch):
    import timm

    def refuse(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(tl.CourseError, match=r"could not be downloaded: no route.*need none") as no:
        tl.load_backbone(TINY)
    assert "\n" not in str(no.value)
