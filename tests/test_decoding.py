"""Decoding against brute force, on small random networks."""

import itertools

import pytest
import torch

from zoo.nn.decoding import beam_search, greedy, nucleus

START, END, SIZE, LENGTH = 0, 1, 4, 4


def network(n, seed=0):
    """A network whose next token depends on the row, on all tokens so far and on their number."""
    table = torch.randn(n, LENGTH + 1, 64, SIZE, generator=torch.Generator().manual_seed(seed)) * 2

    def step(last, state):
        rows, position, seen = state
        seen = (seen * 5 + last) % 64
        return table[rows, position, seen].log_softmax(1), (rows, position + 1, seen)

    return step, (torch.arange(n), torch.zeros(n, dtype=torch.long), torch.zeros(n, dtype=torch.long))


def whole_sequences():
    for length in range(1, LENGTH + 1):
        for sequence in itertools.product(range(SIZE), repeat=length):
            if END not in sequence[:-1] and (sequence[-1] == END or length == LENGTH):
                yield sequence


def log_probability(step, state, row, sequence):
    state, last, total = tuple(part[row : row + 1] for part in state), torch.tensor([START]), 0.0
    for token in sequence:
        found, state = step(last, state)
        total += found[0, token].item()
        last = torch.tensor([token])
    return total


def unpadded(tokens):
    sequence = tokens.tolist()
    return tuple(sequence[: sequence.index(END) + 1] if END in sequence else sequence)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 2.0])
def test_a_wide_beam_finds_the_best_of_all_sequences(penalty):
    n = 12
    step, state = network(n)
    tokens, scores = beam_search(
        step, state, n, start=START, end=END, max_length=LENGTH, beam=SIZE**LENGTH, length_penalty=penalty
    )
    for row in range(n):
        values = {s: log_probability(step, state, row, s) / len(s) ** penalty for s in whole_sequences()}
        best = max(values, key=values.get)
        assert unpadded(tokens[row]) == best
        assert scores[row].item() == pytest.approx(values[best], abs=1e-5)


@pytest.mark.parametrize("beam", [1, 2, 3, 5])
def test_scores_are_those_of_the_sequences_and_grow_with_the_beam(beam):
    n = 40
    step, state = network(n, seed=1)
    args = {"start": START, "end": END, "max_length": LENGTH, "length_penalty": 0.0}
    tokens, scores = beam_search(step, state, n, beam=beam, **args)
    for row in range(n):
        assert scores[row].item() == pytest.approx(log_probability(step, state, row, unpadded(tokens[row])), abs=1e-5)
    wider = beam_search(step, state, n, beam=64, **args)[1]
    assert (wider >= scores - 1e-6).all()
    assert (wider > scores + 1e-6).any() or beam > 2


def test_a_row_does_not_depend_on_the_others():
    n = 9
    step, state = network(n, seed=2)
    args = {"start": START, "end": END, "max_length": LENGTH}
    for decode in (beam_search, greedy):
        tokens, scores = decode(step, state, n, **args)
        for row in range(n):
            alone, score = decode(step, tuple(part[row : row + 1] for part in state), 1, **args)
            assert unpadded(alone[0]) == unpadded(tokens[row])
            torch.testing.assert_close(score[0], scores[row])


def test_greedy_takes_the_likeliest_and_a_beam_of_one_does_the_same():
    n = 30
    step, state = network(n, seed=3)
    args = {"start": START, "end": END, "max_length": LENGTH}
    tokens, scores = greedy(step, state, n, **args)
    for row in range(n):
        one, last, by_hand = tuple(part[row : row + 1] for part in state), torch.tensor([START]), []
        while len(by_hand) < LENGTH and by_hand[-1:] != [END]:
            found, one = step(last, one)
            last = found.argmax(1)
            by_hand.append(int(last))
        assert unpadded(tokens[row]) == tuple(by_hand)
        assert scores[row].item() == pytest.approx(log_probability(step, state, row, by_hand), abs=1e-5)
    # A beam of one looks at two candidates, so an ending that comes second is not lost: it is at least as good.
    assert (beam_search(step, state, n, beam=1, length_penalty=0.0, **args)[1] >= scores - 1e-6).all()


def test_nucleus_draws_with_the_probabilities_of_the_likely_tokens():
    probabilities = torch.tensor([0.5, 0.25, 0.15, 0.1])

    def step(last, state):
        return probabilities.log().expand(len(last), -1), state

    def shares(**args):
        draws = torch.Generator().manual_seed(0)
        tokens, _ = nucleus(
            step, (torch.zeros(20_000, 1),), 20_000, start=START, end=9, max_length=1, generator=draws, **args
        )
        return tokens[:, 0].bincount(minlength=4) / 20_000

    torch.testing.assert_close(shares(p=1.0), probabilities, atol=0.015, rtol=0)
    torch.testing.assert_close(shares(p=0.7), torch.tensor([2 / 3, 1 / 3, 0, 0]), atol=0.015, rtol=0)
    assert shares(p=0.5).tolist() == [1, 0, 0, 0]
    cold = (probabilities**2) / (probabilities**2).sum()
    torch.testing.assert_close(shares(p=1.0, temperature=0.5), cold, atol=0.015, rtol=0)


def test_nucleus_repeats_with_its_generator():
    step, state = network(20, seed=4)
    args = {"start": START, "end": END, "max_length": LENGTH}
    one, two, other = (
        nucleus(step, state, 20, generator=torch.Generator().manual_seed(s), **args)[0] for s in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("decode", "args", "message"),
    [
        (greedy, {"max_length": 0}, "max_length must be positive, not 0"),
        (beam_search, {"beam": 0}, "beam must be positive, not 0"),
        (beam_search, {"beam": -2}, "beam must be positive, not -2"),
        (beam_search, {"length_penalty": -1.0}, "length_penalty must be at least 0"),
        (nucleus, {"p": 0.0}, "p must be positive"),
        (nucleus, {"p": 1.5}, "p must be at most 1, not 1.5"),
        (nucleus, {"temperature": 0.0}, "temperature must be positive"),
    ],
)
def test_wrong_settings_are_named_in_one_line(decode, args, message):
    step, state = network(2)
    with pytest.raises(ValueError, match=message):
        decode(step, state, 2, **{"start": START, "end": END, "max_length": LENGTH, **args})
