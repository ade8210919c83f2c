import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import zoo
from zoo.nn import ACTIVATIONS, BinaryScores, MirrorAverage, Standardize, activation, dense_net, l1_norm, limit_norms
from zoo.nn import squared_l2_norm as l2_norm


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activation_follows_its_formula(name):
    x = torch.tensor([-2.0, 0.0, 2.0])
    expected = {
        "elu": [math.expm1(-2), 0, 2],
        "gelu": [-2 * 0.5 * math.erfc(2 / math.sqrt(2)), 0, 2 * 0.5 * (1 + math.erf(2 / math.sqrt(2)))],
        "hardswish": [-2 * 1 / 6, 0, 2 * 5 / 6],
        "identity": [-2, 0, 2],
        "leaky_relu": [-0.02, 0, 2],
        "mish": [s * math.tanh(math.log1p(math.exp(s))) for s in (-2, 0, 2)],
        "relu": [0, 0, 2],
        "selu": [1.0507009873554805 * 1.6732632423543772 * math.expm1(-2), 0, 1.0507009873554805 * 2],
        "sigmoid": [1 / (1 + math.exp(-s)) for s in (-2, 0, 2)],
        "silu": [s / (1 + math.exp(-s)) for s in (-2, 0, 2)],
        "softplus": [math.log1p(math.exp(s)) for s in (-2, 0, 2)],
        "step": [0, 0, 1],
        "tanh": [math.tanh(-2), 0, math.tanh(2)],
    }[name]
    torch.testing.assert_close(activation(name)(x), torch.tensor(expected, dtype=torch.float32), atol=1e-6, rtol=1e-5)


def test_unknown_activation_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown activation 'rleu': did you mean .*relu"):
        activation("rleu")


def test_standardize_is_per_channel_and_travels_with_the_state():
    layer = Standardize([2, 3, 3], mean=[1.0, 2.0], std=[2.0, 4.0])
    x = torch.rand(5, 2, 3, 3)
    torch.testing.assert_close(layer(x)[:, 1], (x[:, 1] - 2) / 4)
    torch.testing.assert_close(layer(x.flatten(1)), layer(x))
    assert set(layer.state_dict()) == {"mean", "std"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"mean": [0.0, 0.0]}, "mean has 2 values, the input 3 channels"),
        ({"std": 0.0}, "std must be positive"),
        ({"std": [1.0, -1.0, 1.0]}, "std must be positive"),
    ],
)
def test_standardize_refuses_constants(args, message):
    with pytest.raises(ValueError, match=message):
        Standardize([3, 8, 8], **args)


def test_binary_scores_make_cross_entropy_the_binary_one():
    z, y = torch.randn(20, 1), torch.randint(2, (20,))
    scores = BinaryScores()(z)
    torch.testing.assert_close(scores.softmax(1)[:, 1:], z.sigmoid())
    torch.testing.assert_close(F.cross_entropy(scores, y), F.binary_cross_entropy_with_logits(z[:, 0], y.float()))


def test_dense_net_refuses_one_class():
    with pytest.raises(ValueError, match="num_classes must be at least 2, or 0 for regression, not 1"):
        dense_net([4], [], 1)


@pytest.mark.parametrize(
    ("penalty", "gradient"), [(l1_norm, torch.sign), (l2_norm, lambda weight: 2 * weight)], ids=["l1", "l2"]
)
def test_penalty_gradient_is_the_closed_form_and_spares_biases(penalty, gradient):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
    nn.init.ones_(net[0].bias)
    penalty(net).backward()
    for index in (0, 3):
        torch.testing.assert_close(net[index].weight.grad, gradient(net[index].weight.detach()))
        assert net[index].bias.grad is None
    assert net[1].weight.grad is None


def test_limit_norms_scales_only_what_is_too_long():
    layer = nn.Linear(2, 3)
    layer.weight.data = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    bias = layer.bias.detach().clone()
    limit_norms(layer, 1.0)
    torch.testing.assert_close(layer.weight.data, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    assert torch.equal(layer.bias, bias)


def test_two_step_units_compute_xor_exactly():
    model = zoo.create_model("mlp", hidden_dims=[2], in_features=2, num_classes=2, activation="step")
    hidden, output = (layer for layer in model.net if isinstance(layer, nn.Linear))
    with torch.no_grad():
        hidden.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
        hidden.bias.fill_(-0.5)
        output.weight.copy_(torch.tensor([[1.0, 1.0]]))
        output.bias.fill_(-0.5)
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert model(x).argmax(1).tolist() == [0, 1, 1, 0]


def test_parameter_count_of_a_large_mlp():
    model = zoo.create_model("mlp", in_features=10_000, hidden_dims=[1000, 1000, 1000], num_classes=10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 12_013_010


def test_mirror_average_is_the_mean_over_both_in_evaluation_alone():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    mirrored, x = MirrorAverage(net), torch.rand(5, 1, 4, 4)
    assert torch.equal(mirrored.train()(x), net(x))
    assert torch.allclose(mirrored.eval()(x), (net(x) + net(x.flip(-1))) / 2)
    assert torch.allclose(mirrored(x.flip(-1)), mirrored(x))
