"""Bytes by owner and operations of a pass, against counts by hand and against the real thing."""

import pytest
import torch
from tiny_tasks import made_backbone, moved, state, tiny_backbone, traces
from torch import nn

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.networks.account import OWNERS, Bytes, forward_account, training_account
from tlcourse.networks.tail import tail_behind
from tlcourse.training.finetune import freeze

F = 4  # bytes of a float32
B = 3  # pictures


def chain():
    """Two linear layers that are easy to count: 12 -> 5 -> 2."""
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))


def saved_by(network, inputs):
    """Bytes that PyTorch really saves for the backward pass on this machine, each storage once."""
    own = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    labels = torch.zeros(len(inputs), dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        nn.CrossEntropyLoss(label_smoothing=0.1)(network(inputs), labels)
    return sum(storage.nbytes() for storage in kept.values())


def loss_alone(n_classes):
    """What the loss saves for itself, which differs from one PyTorch to another."""
    logits = torch.zeros(B, n_classes, requires_grad=True)
    return saved_by(nn.Identity(), logits)


def noise(network, n=B):
    size = network.backbone.preprocess.crop_size
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def picture_of(network):
    return (3, *noise(network, 1).shape[2:])


@pytest.fixture
def network():
    return tl.Network(tiny_backbone(), 3)


# --- what can be counted by hand, exactly ---


def test_parameters_gradients_and_the_optimisers_state_are_exact():
    counted = training_account(chain(), (3, 2, 2), B).bytes
    n = 12 * 5 + 5 + 5 * 2 + 2
    assert counted.parameters == counted.gradients == n * F
    assert counted.optimiser_state == 2 * n * F + 4 * F  # two averages, and a counter for each of 4
    assert counted.buffers == 0


def test_saved_activations_of_a_small_network_are_those_counted_by_hand():
    counted = training_account(chain(), (3, 2, 2), B).bytes
    inputs, hidden = B * 12 * F, B * 5 * F  # the ReLU and the layer behind it share one storage
    assert counted.activations == inputs + hidden + loss_alone(2)


def test_convolution_batchnorm_and_pooling_are_those_counted_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    pictures, maps, vectors = B * 3 * 6 * 6 * F, B * 4 * 4 * 4 * F, B * 4 * F
    statistics = 2 * 4 * F  # mean and deviation of the batch
    # The picture for the convolution, its output for BatchNorm, BatchNorm's for ReLU and pooling.
    expected = pictures + 2 * maps + vectors + loss_alone(2)
    counted = training_account(net.train(), (3, 6, 6), B).bytes
    assert counted.activations == expected + statistics
    assert counted.buffers == 2 * 4 * F + 8  # two running averages and a counter
    assert training_account(net.eval(), (3, 6, 6), B).bytes.activations == expected


def test_before_the_first_layer_that_moves_nothing_is_saved():
    net = chain()
    net[1].requires_grad_(False)
    counted = training_account(net, (3, 2, 2), B).bytes
    assert counted.activations == B * 5 * F + loss_alone(2)  # what goes into the last layer
    assert counted.gradients == (5 * 2 + 2) * F
    assert counted.optimiser_state == 2 * counted.gradients + 2 * F
    assert counted.parameters == training_account(chain(), (3, 2, 2), B).bytes.parameters


def test_a_parameter_without_a_gradient_has_none_and_no_state():
    net = tl.Network(made_backbone(), 2, layer="stage1")
    used = [p for name, p in net.named_parameters() if "unused" not in name]
    everything = list(net.parameters())
    assert len(used) < len(everything)
    counted = training_account(net, (3, 8, 8), B).bytes
    assert counted.gradients == sum(p.nbytes for p in used)
    assert counted.parameters == sum(p.nbytes for p in everything)


def test_shared_weights_count_once():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    net[2].weight = net[0].weight
    counted = training_account(net, (4,), B).bytes
    assert counted.parameters == counted.gradients == (16 + 4 + 4 + 8 + 2) * F


def test_working_memory_is_the_most_that_is_alive_at_once():
    size = B * 10 * F
    one = forward_account(nn.Sequential(nn.ReLU()), (10,), B).bytes
    assert one == Bytes(0, 0, 0, 0, 0, 2 * size)  # the input and the output
    three = forward_account(nn.Sequential(nn.ReLU(), nn.ReLU(), nn.ReLU()), (10,), B).bytes
    assert three.working == 3 * size  # the input is held outside; the first output is gone
    in_place = forward_account(nn.Sequential(nn.ReLU(inplace=True)), (10,), B).bytes
    assert in_place.working == size


def test_operations_are_two_for_each_multiply_add_forward_and_back():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    first = 2 * B * 36 * 8 * 3 * 9
    by_channel = 2 * B * 36 * 8 * 9  # each filter looks at one channel
    last = 2 * B * 8 * 2
    assert forward_account(net, (3, 6, 6), B).operations == first + by_channel + last
    # Back: as many for the weights; as many again for the inputs, but of the pictures.
    assert training_account(net, (3, 6, 6), B).operations == 2 * first + 3 * (by_channel + last)
    net[0].requires_grad_(False)
    counted = training_account(net, (3, 6, 6), B).operations
    assert counted == first + 2 * by_channel + 3 * last


def test_a_transposed_convolution_costs_as_much_back_as_forward():
    net = nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.Flatten(), nn.Linear(64, 2))
    layer, last = 2 * B * 4 * 3 * 4 * 4, 2 * B * 64 * 2
    assert forward_account(net, (3, 2, 2), B).operations == layer + last
    assert training_account(net, (3, 2, 2), B).operations == 2 * layer + 3 * last


# --- against the real thing ---


@pytest.mark.parametrize("family", ["efficientnet", "resnet"])
@pytest.mark.parametrize("until", [None, "stem", "stage2", "embedding"])
def test_a_network_saves_on_this_machine_what_was_counted(family, until):
    network = tl.Network(tiny_backbone(family), 3)
    freeze(network, until)
    network.train()
    counted = training_account(network, picture_of(network), B).bytes
    assert counted.activations == saved_by(network, noise(network))


def test_batchnorm_that_learns_saves_what_was_counted(network):
    network.updates_batchnorm = True
    network.train()
    with_statistics = training_account(network, picture_of(network), B).bytes.activations
    assert with_statistics == saved_by(network, noise(network))
    network.eval()
    assert training_account(network, picture_of(network), B).bytes.activations < with_statistics


def test_the_rest_behind_a_stored_layer_is_counted_with_all_that_stays_in_memory(network):
    freeze(network, "stage2")
    rest, start = tail_behind(network, "stage2")
    network.train()
    counted = training_account(rest, tuple(start.shape[1:]), B)
    whole = training_account(network, picture_of(network), B)
    assert counted.bytes.parameters == whole.bytes.parameters
    assert counted.bytes.gradients == whole.bytes.gradients
    assert counted.bytes.optimiser_state == whole.bytes.optimiser_state
    assert counted.operations < whole.operations
    values = start.repeat(B, 1, 1, 1)
    assert counted.bytes.activations == saved_by(rest, values)


@pytest.mark.parametrize("family", ["efficientnet", "resnet"])
def test_a_forward_pass_has_the_operations_of_the_trace_and_saves_nothing(family):
    backbone = tiny_backbone(family)
    side = backbone.preprocess.crop_size
    counted = forward_account(backbone.model, (3, side, side), B)
    assert counted.operations == B * backbone.operations
    b = counted.bytes
    assert (b.gradients, b.optimiser_state, b.activations) == (0, 0, 0)
    assert b.parameters == sum(p.nbytes for p in backbone.model.parameters())
    assert b.buffers == sum(x.nbytes for x in backbone.model.buffers())
    assert b.working > B * 3 * side * side * F


def test_attention_is_counted_whether_or_not_anything_may_move():
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).eval()
    free = forward_account(block, (5, 8), B).operations
    block.requires_grad_(False)
    assert forward_account(block, (5, 8), B).operations == free > 0


def test_a_transformer_can_be_accounted():
    network = tl.Network(tiny_backbone("vit"), 3)
    counted = training_account(network.train(), picture_of(network), B).bytes
    assert counted.activations > counted.working > 0


# --- what must hold in general ---


def test_owners_add_up_in_a_fixed_order():
    b = Bytes(1, 2, 4, 8, 16, 32)
    assert b.total == 63
    assert tuple(b.as_dict()) == OWNERS
    assert OWNERS[0] == "parameters"
    assert sum(b.as_dict().values()) == b.total


def test_activations_grow_with_the_batch_and_nothing_else_that_lasts_does(network):
    shape = picture_of(network)
    one, two, three = (training_account(network, shape, n).bytes for n in (2, 3, 4))
    assert three.activations - two.activations == two.activations - one.activations > 0
    for owner in ("parameters", "buffers", "gradients", "optimiser_state"):
        assert getattr(one, owner) == getattr(three, owner)


def test_what_would_never_fit_can_be_accounted():
    counted = training_account(tl.Network(tiny_backbone(), 3), (3, 256, 256), 10**6)
    assert counted.bytes.activations > 2**40


def test_the_network_and_the_random_numbers_are_left_as_found(network):
    freeze(network, "stage1")
    network.train()
    network.head.weight.grad = torch.ones_like(network.head.weight)
    before, left, numbers = state(network), traces(network), torch.random.get_rng_state()
    training_account(network, picture_of(network), B)
    forward_account(network, picture_of(network), B)
    assert moved(before, network) == set()
    assert traces(network) == left
    assert torch.equal(network.head.weight.grad, torch.ones_like(network.head.weight))
    assert torch.equal(torch.random.get_rng_state(), numbers)


def test_each_modules_own_mode_decides(network):
    network.train()
    network.updates_batchnorm = True
    network.train()
    training = training_account(network, picture_of(network), B).bytes.activations
    next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d)).eval()
    assert training_account(network, picture_of(network), B).bytes.activations < training


# --- what is refused ---


def test_a_network_in_which_nothing_moves_has_no_training_step():
    net = chain().requires_grad_(False)
    with pytest.raises(CourseError, match="All parameters are frozen, so there is no training"):
        training_account(net, (3, 2, 2), B)
    assert forward_account(net, (3, 2, 2), B).bytes.parameters > 0


@pytest.mark.parametrize("count", [forward_account, training_account])
def test_inputs_of_the_wrong_shape_are_named(count):
    with pytest.raises(CourseError, match=r"on inputs of shape \(3, 9, 9\) \("):
        count(chain(), (3, 9, 9), B)


@pytest.mark.parametrize("batch", [0, -1, 2.5, None])
def test_a_batch_is_a_whole_number_of_pictures(batch):
    with pytest.raises(CourseError, match=r"batch is .* but must be a whole number, 1 or larger"):
        forward_account(chain(), (3, 2, 2), batch)


def test_a_network_that_looks_at_its_numbers_cannot_be_run_without_them():
    class Looks(nn.Sequential):
        def forward(self, x):
            return super().forward(x if x.sum().item() > 0 else -x)

    with pytest.raises(CourseError, match="could not be run without numbers"):
        training_account(Looks(*chain()), (3, 2, 2), B)


def test_what_is_no_logits_is_refused():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = chain()

        def forward(self, x):
            return {"logits": self.inner(x)}

    with pytest.raises(
        CourseError, match=r"gives \(3, 4, 6, 6\), but a training step needs logits"
    ):
        training_account(nn.Conv2d(3, 4, 3, padding=1), (3, 6, 6), B)
    with pytest.raises(CourseError, match="gives dict, but a training step needs logits"):
        training_account(Named(), (3, 2, 2), B)
