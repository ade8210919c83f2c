"""Recurrent layers beside torch's packed sequences, and attention."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.nn.attention import Attention
from zoo.nn.recurrent import CELLS, Recurrent, padding_mask, reverse_sequences

LENGTHS = torch.tensor([7, 1, 4, 6])


def reference(layers):
    """Return torch's own stack with the same weights."""
    two_ways = layers.back is not None
    first = layers.forth[0]
    stack = type(first)(
        first.input_size, first.hidden_size, len(layers.forth), batch_first=True, bidirectional=two_ways
    )
    with torch.no_grad():
        for number in range(len(layers.forth)):
            ways = {"": layers.forth[number], **({"_reverse": layers.back[number]} if two_ways else {})}
            for ending, layer in ways.items():
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(stack, f"{name}_l{number}{ending}").copy_(getattr(layer, f"{name}_l0"))
    return stack


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_layers_give_what_packed_sequences_give(cell, depth, bidirectional):
    layers = Recurrent(5, 6, depth, cell=cell, bidirectional=bidirectional, dropout=0.5).eval()
    x = torch.randn(4, 7, 5)
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(reference(layers)(packed)[0], batch_first=True)
    found, _ = layers(x, LENGTHS)
    torch.testing.assert_close(found, expected)
    assert found.shape == (4, 7, layers.out_features)


@pytest.mark.parametrize("cell", CELLS)
def test_what_fills_up_makes_no_difference(cell):
    layers = Recurrent(5, 6, 2, cell=cell, bidirectional=True)
    x = torch.randn(4, 7, 5)
    other = torch.where(padding_mask(LENGTHS, 7)[:, :, None], x, torch.randn(4, 7, 5) * 100)
    wider = torch.cat([other, torch.randn(4, 3, 5)], 1)
    found, _ = layers(x, LENGTHS)
    torch.testing.assert_close(layers(other, LENGTHS)[0], found)
    torch.testing.assert_close(layers(wider, LENGTHS)[0][:, :7], found)
    assert (layers(wider, LENGTHS)[0][:, 7:] == 0).all()
    alone, _ = layers(x[2:3, :4], LENGTHS[2:3])
    torch.testing.assert_close(alone[0], found[2, :4])


@pytest.mark.parametrize("cell", CELLS)
def test_step_by_step_is_all_at_once(cell):
    layers = Recurrent(5, 6, 2, cell=cell)
    x = torch.randn(3, 7, 5)
    whole, last = layers(x)
    state, outputs = None, []
    for position in range(7):
        out, state = layers(x[:, position : position + 1], state=state)
        outputs.append(out)
    torch.testing.assert_close(torch.cat(outputs, 1), whole)
    assert len(state) == 2 * layers.num_state_tensors
    for one, other in zip(state, last, strict=True):
        assert one.shape == (3, 6)
        torch.testing.assert_close(one, other)


def test_turning_stays_within_the_length():
    x = torch.arange(1, 8).expand(2, 7)
    assert reverse_sequences(x, torch.tensor([7, 3])).tolist() == [[7, 6, 5, 4, 3, 2, 1], [3, 2, 1, 4, 5, 6, 7]]


def test_every_parameter_gets_a_gradient_and_dropout_is_between_layers():
    layers = Recurrent(5, 6, 2, bidirectional=True, dropout=0.5)
    layers(torch.randn(4, 7, 5), LENGTHS)[0].square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in layers.parameters())
    x = torch.randn(4, 7, 5)
    assert not torch.equal(layers(x)[0], layers(x)[0])
    one = Recurrent(5, 6, 1, dropout=0.5)
    assert torch.equal(one(x)[0], one(x)[0])
    assert all(layer.dropout == 0 for layer in layers.modules() if isinstance(layer, nn.RNNBase))


@pytest.mark.parametrize("kind", ["general", "additive"])
def test_attention_weighs_what_is_there(kind):
    attention = Attention(3, 5, kind)
    queries, positions, mask = torch.randn(4, 2, 3), torch.randn(4, 7, 5), padding_mask(LENGTHS, 7)
    means, weights = attention(queries, positions, mask)
    torch.testing.assert_close(weights.sum(2), torch.ones(4, 2))
    assert (weights[~mask[:, None].expand_as(weights)] == 0).all()
    torch.testing.assert_close(means[1], positions[1, :1].expand(2, -1))  # of one position
    spoiled = torch.where(mask[:, :, None], positions, torch.tensor(1e3))
    torch.testing.assert_close(attention(queries, spoiled, mask)[0], means)
    means.sum().backward()
    assert all(p.grad.isfinite().all() for p in attention.parameters())


def test_general_attention_by_hand():
    attention = Attention(2, 2)
    with torch.no_grad():
        attention.query.weight.copy_(torch.eye(2))
    positions = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    means, weights = attention(torch.tensor([[[2.0, 0.0]]]), positions, torch.ones(1, 2, dtype=torch.bool))
    expected = torch.tensor([2.0, 0.0]).softmax(0)
    torch.testing.assert_close(weights[0, 0], expected)
    torch.testing.assert_close(means[0, 0], expected)


def test_nothing_to_look_at_gives_zeros():
    means, weights = Attention(3, 5)(torch.randn(1, 2, 3), torch.randn(1, 4, 5), torch.zeros(1, 4, dtype=torch.bool))
    assert (means == 0).all()
    assert (weights == 0).all()
    out, _ = Recurrent(5, 6, bidirectional=True)(torch.randn(1, 4, 5), torch.tensor([0]))
    assert (out == 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recurrent(3, 4, cell="lstn"), "unknown cell 'lstn': did you mean lstm"),
        (lambda: Recurrent(3, 0), "hidden_dim must be at least 1, not 0"),
        (lambda: Recurrent(3, 4, 0), "layers must be at least 1, not 0"),
        (lambda: Attention(3, 4, "generel"), "unknown attention 'generel': did you mean general"),
    ],
)
def test_wrong_choice_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message):
        make()
