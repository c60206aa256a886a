"""A proof passes what is right, and names the mistake in what is wrong."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tasks import batch_of, make_task, moved, state, tiny_backbone, traces
from torch import nn
from torchvision.transforms import v2

import tlcourse as tl
from tlcourse import proofs
from tlcourse.errors import CourseError
from tlcourse.proofs import ProofError
from tlcourse.tasks.split import Split
from tlcourse.training.finetune import freeze


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture
def network():
    return tl.Network(tiny_backbone(), 3)


@pytest.fixture
def frozen(network):
    freeze(network, "stage2")
    return network


def test_a_proof_says_what_was_checked_and_a_failed_one_is_the_courses_error():
    assert repr(proofs.Proof("all is well.")) == "Checked: all is well."
    assert issubclass(ProofError, CourseError)


# --- nothing moved ---


def test_a_snapshot_is_a_copy_of_parameters_and_buffers(network):
    taken = proofs.snapshot(network)
    assert list(taken) == list(network.state_dict())
    with torch.no_grad():
        network.head.bias.add_(1)
        network.body.bn1.running_mean.add_(1)
    assert moved(taken, network) == {"head.bias", "body.bn1.running_mean"}
    assert not any(tensor.requires_grad for tensor in taken.values())


def test_what_has_not_moved_passes(network):
    before = proofs.snapshot(network)
    network(batch_of(network.backbone))
    proof = proofs.unchanged(before, network)
    n_statistics = 3 * sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert f"{len(before)} tensors, {n_statistics} of them BatchNorm statistics" in proof.text
    backbone = tiny_backbone()
    assert proofs.unchanged(proofs.snapshot(backbone), backbone)


def test_the_last_bit_of_a_weight_counts(network):
    before = proofs.snapshot(network)
    weight = network.body.blocks[0][0].conv.weight
    with torch.no_grad():
        weight[0, 0, 0, 0] = torch.nextafter(weight[0, 0, 0, 0], torch.tensor(10.0))
    with pytest.raises(
        ProofError, match=r"1 of \d+ tensors of the network changed: body\.blocks\.0"
    ):
        proofs.unchanged(before, network)


def test_statistics_that_moved_are_named_with_the_reason(network):
    before = proofs.snapshot(network)
    network.body.bn1.train()
    network(batch_of(network.backbone))
    said = r"3 of \d+ tensors .*body\.bn1\.running_mean.* statistics: they move in training mode"
    with pytest.raises(ProofError, match=said):
        proofs.unchanged(before, network)


def test_a_snapshot_of_another_network_proves_nothing(network):
    with pytest.raises(ProofError, match="tensors of the network changed"):
        proofs.unchanged(proofs.snapshot(network), tl.Network(tiny_backbone(), 3, layer="stage2"))


def test_an_empty_snapshot_proves_nothing(network):
    with pytest.raises(ProofError):
        proofs.unchanged({}, network)


# --- the frozen part ---


def test_a_frozen_part_that_stayed_passes_while_the_rest_learns(frozen, task):
    frozen.updates_batchnorm = True
    before = proofs.snapshot(frozen)
    tl.fit(frozen, task, epochs=1, batch_size=6, progress=False)
    assert "body.bn2.running_mean" in moved(before, frozen)
    proof = proofs.frozen_part_unchanged(before, frozen)
    inside = ("body.conv_stem.", "body.bn1.", "body.blocks.0.", "body.blocks.1.")
    n = sum(name.startswith(inside) for name in before)
    assert f"the part up to 'stage2': {n} tensors" in proof.text


def test_statistics_of_the_frozen_part_that_moved_are_found(frozen):
    """The classic mistake: no gradient, but a pass in training mode."""
    before = proofs.snapshot(frozen)
    nn.Module.train(frozen, True)  # as for any other network
    for module in frozen.modules():
        module.training = True
    frozen(batch_of(frozen.backbone))
    with pytest.raises(
        ProofError, match=r"up to 'stage2' changed: .*running_mean.*evaluation mode"
    ):
        proofs.frozen_part_unchanged(before, frozen)


def test_a_frozen_weight_that_may_learn_or_has_learned_is_found(frozen):
    before = proofs.snapshot(frozen)
    weight = frozen.body.conv_stem.weight
    weight.requires_grad_(True)
    with pytest.raises(
        ProofError, match=r"body\.conv_stem\.weight should be frozen, but may still"
    ):
        proofs.frozen_part_unchanged(before, frozen)
    weight.requires_grad_(False)
    assert proofs.frozen_part_unchanged(before, frozen)
    weight.data.mul_(1.001)
    with pytest.raises(
        ProofError, match=r"1 of \d+ tensors .* changed: body\.conv_stem\.weight\.$"
    ):
        proofs.frozen_part_unchanged(before, frozen)


def test_a_moved_class_token_is_found():
    network = tl.Network(tiny_backbone("vit"), 3)
    freeze(network, "stage1")
    before = proofs.snapshot(network)
    assert proofs.frozen_part_unchanged(before, network)
    network.body.cls_token.data.add_(1)
    with pytest.raises(ProofError, match=r"body\.cls_token"):
        proofs.frozen_part_unchanged(before, network)


def test_where_nothing_is_frozen_nothing_is_proved(network):
    with pytest.raises(ProofError, match=r"Nothing is frozen\. tl\.finetune\.freeze"):
        proofs.frozen_part_unchanged(proofs.snapshot(network), network)


def test_a_snapshot_of_the_backbone_cannot_prove_it_for_the_network(frozen):
    before = proofs.snapshot(frozen.backbone)  # whose names begin otherwise
    frozen.body.bn1.running_mean.add_(1)
    with pytest.raises(ProofError):
        proofs.frozen_part_unchanged(before, frozen)


# --- the head ---


def test_a_head_that_fits_passes_with_the_number_of_what_may_learn(network, task):
    freeze(network, "embedding")
    network.train()
    found = traces(network), state(network)
    proof = proofs.head_fits(network, task, 256 * 3 + 3)
    assert proof.text == "3 outputs, one for each class; 771 numbers may learn."
    assert traces(network) == found[0]
    assert not moved(found[1], network)


def test_looking_at_the_head_moves_no_statistics_of_a_network_in_training_mode(network, task):
    network.updates_batchnorm = True
    network.train()
    before, found = state(network), traces(network)
    assert proofs.head_fits(network, task)
    assert not moved(before, network)
    assert traces(network) == found


def test_a_wrong_head_is_found(network, task):
    network.head = nn.Linear(256, 4)
    said = r"gives \(2, 4\), but the task has 3 classes, so it should give \(2, 3\)"
    with pytest.raises(ProofError, match=said):
        proofs.head_fits(network, task)
    network.head = nn.Sequential(nn.Linear(256, 3), nn.Unflatten(1, (3, 1)))
    with pytest.raises(ProofError, match=r"gives \(2, 3, 1\)"):
        proofs.head_fits(network, task)


def test_another_number_that_may_learn_than_expected_is_found(network, task):
    everything = sum(p.numel() for p in network.parameters())
    said = f"{everything:,} numbers may be learned, you expected 771. Look at `requires_grad`"
    with pytest.raises(ProofError, match=said):
        proofs.head_fits(network, task, 771)
    assert proofs.head_fits(network, task, everything)


# --- the preprocessing ---


@pytest.fixture(scope="module")
def picture():
    rows, columns = np.indices((90, 120))
    values = np.stack([columns * 2, rows * 2, (rows + columns) % 256], axis=2).astype(np.uint8)
    return Image.fromarray(values)


RESNET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def own(resize=67, crop=64, swap=False, **options):
    """Prepare a picture as the weights want it, but for one mistake."""
    norm = RESNET | {k: options[k] for k in ("mean", "std") if k in options}

    def prepare(image):
        image = image.resize((resize, resize)) if options.get("squeeze") else image
        steps = [v2.Resize(resize, v2.InterpolationMode.BICUBIC), v2.CenterCrop(crop)]
        values = v2.functional.pil_to_tensor(v2.Compose(steps)(image))
        values = values.float() if options.get("to_255") else values / 255
        values = values.flip(0) if swap else values
        return values if options.get("raw") else v2.functional.normalize(values, **norm)

    return prepare


def test_the_same_preprocessing_written_by_hand_passes(picture):
    proof = proofs.preprocessing_matches(tiny_backbone(), own(), picture)
    assert "that of timm/test_efficientnet give the same tensor" in proof.text


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ({"swap": True}, "they differ by up to"),  # blue first, as OpenCV reads pictures
        ({"to_255": True}, r"go from .* to \d{3,}"),
        ({"raw": True}, r"from 0\.\d+ to [01]\.\d+, those"),
        ({"mean": [0.5] * 3, "std": [0.5] * 3}, "they differ by up to"),
        ({"resize": 64}, "they differ by up to"),
        ({"squeeze": True}, "they differ by up to"),
        ({"crop": 67}, r"has shape \(3, 67, 67\), .* gives \(3, 64, 64\)"),
    ],
)
def test_a_mistake_in_the_preprocessing_is_found(picture, mistake, said):
    with pytest.raises(ProofError, match=said):
        proofs.preprocessing_matches(tiny_backbone(), own(**mistake), picture)


def test_values_that_are_no_numbers_do_not_pass(picture):
    with pytest.raises(ProofError, match="nan"):
        proofs.preprocessing_matches(
            tiny_backbone(), lambda _: torch.full((3, 64, 64), float("nan")), picture
        )


# --- the task ---


def test_a_task_whose_splits_share_nothing_passes(task):
    assert proofs.no_shared_pictures(task).text == (
        "train 18, val 6, test 9: no picture is in two splits."
    )


def test_a_picture_in_two_splits_is_found_by_its_content(task):
    copied = Split(
        [task.train._items[4].copy()], [1], ["bees/renamed.png"], Image.fromarray
    )
    with pytest.raises(ProofError, match=r"1 pictures are in two splits: bees/renamed\.png \(test"):
        proofs.no_shared_pictures(replace(task, test=copied))
    with pytest.raises(
        ProofError, match=r"6 pictures are in two splits: .* and 3 more\. An accuracy"
    ):
        proofs.no_shared_pictures(replace(task, test=task.val))


def test_labels_that_say_what_the_names_say_pass(task):
    proof = proofs.labels_match(task)
    assert proof.text.startswith("33 labels")
    assert "0 = ants, 1 = bees, 2 = goldfishes" in proof.text
    assert proofs.labels_match(tl.load_task("digits"))


def test_classes_in_another_order_than_the_labels_are_found(task):
    said = r"ants/0\.png in train has label 0 \('bees'\), but its name says 'ants'.*another order"
    with pytest.raises(ProofError, match=said):
        proofs.labels_match(replace(task, classes=("bees", "ants", "goldfishes")))


@pytest.mark.parametrize(
    ("label", "called"), [(2, "goldfishes"), (3, "no class"), (-1, "no class")]
)
def test_a_single_wrong_label_in_the_last_split_is_found(task, label, called):
    test = copy.copy(task.test)
    test.labels = task.test.labels.copy()
    test.labels[1] = label
    said = rf"ants/201\.png in test has label {label} \('{called}'\)"
    with pytest.raises(ProofError, match=said):
        proofs.labels_match(replace(task, test=test))
