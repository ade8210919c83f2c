"""Back-propagation by the chain rule, as ``scripts/backpropagation.py`` writes it out, equals autograd."""

import sys

import numpy as np
import pytest
import torch
from conftest import ROOT

from zoo.nn.activations import ACTIVATIONS, activation


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import backpropagation

    return backpropagation


def test_every_activation_is_written_out(script):
    assert script.FUNCTIONS.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_functions_and_derivatives_are_those_of_the_zoo(script, name):
    u = np.concatenate([np.linspace(-50, 50, 101), np.linspace(-3.99, 3.99, 250)])
    x = torch.tensor(u, requires_grad=True)
    y = activation(name)(x)
    assert script.FUNCTIONS[name].value(u) == pytest.approx(y.detach().numpy(), abs=1e-8)  # torch cuts softplus
    slope = torch.autograd.grad(y.sum(), x)[0].numpy() if y.requires_grad else np.zeros_like(u)
    edge = np.isin(u, (-3, 0, 3))  # where a derivative may jump
    assert script.FUNCTIONS[name].derivative(u)[~edge] == pytest.approx(slope[~edge], abs=1e-8)


@pytest.mark.parametrize("sizes", [[4, 3], [6, 5, 4], [7, 6, 5, 4, 3, 2]], ids=len)
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_chain_rule_equals_autograd(script, name, loss, sizes):
    for seed in range(3):
        assert script.largest_difference(name, sizes, loss, seed=seed) < 1e-10


def test_a_wrong_derivative_is_found(script, monkeypatch):
    wrong = script.FUNCTIONS["tanh"]._replace(derivative=lambda u: 1 - np.tanh(u))
    monkeypatch.setitem(script.FUNCTIONS, "tanh", wrong)
    assert script.largest_difference("tanh", [6, 5, 4], "cross_entropy") > 1e-3


def test_script_prints_every_activation(script, capsys, monkeypatch, tmp_path):
    words = ["--sizes", "4", "3", "2", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["backpropagation.py", *words])
    script.main()
    out = capsys.readouterr().out
    assert all(name in out for name in ACTIVATIONS)
    monkeypatch.setattr(sys, "argv", ["backpropagation.py", "--sizes", "4"])
    with pytest.raises(SystemExit, match="2"):
        script.main()
