"""What is drawn: by temperature, top_k, top_p and min_p; what ends an answer; what is refused."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")

from responses_api_models.torch_model.continuation import Continuation  # noqa: E402
from responses_api_models.torch_model.sampling import Sampling, draw  # noqa: E402
from responses_api_models.torch_model.tests.tiny_policy import make_tokenizer  # noqa: E402

pytestmark = pytest.mark.training

PROBS = [0.5, 0.25, 0.15, 0.06, 0.04]
LOGITS = torch.tensor([[math.log(value) + 3 for value in PROBS]])
DRAWS = 4000
TOKENIZER = make_tokenizer()
END = TOKENIZER.eos_token_id


def frequencies(sampling: Sampling) -> list[float]:
    die = random.Random(0)
    drawn = draw(LOGITS.expand(DRAWS, -1), [sampling] * DRAWS, [die] * DRAWS).ids
    return [drawn.count(token) / DRAWS for token in range(len(PROBS))]


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(), 5),
        (Sampling(top_k=2), 2),
        (Sampling(top_k=9), 5),
        (Sampling(top_p=0.5), 1),
        (Sampling(top_p=0.51), 2),
        (Sampling(top_p=0.9), 3),
        (Sampling(min_p=0.1), 4),
        (Sampling(min_p=0.49), 2),
        (Sampling(min_p=0.1, top_k=3, top_p=0.8), 2),
        (Sampling(top_p=1e-9), 1),
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_likely_among_those_kept(sampling: Sampling, kept: int) -> None:
    mass = sum(PROBS[:kept])
    expected = [value / mass if token < kept else 0.0 for token, value in enumerate(PROBS)]
    assert frequencies(sampling) == pytest.approx(expected, abs=0.03)
    assert all(seen == 0 for seen in frequencies(sampling)[kept:])


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_sharpens_and_flattens(temperature: float) -> None:
    scaled = [value ** (1 / temperature) for value in PROBS]
    expected = [value / sum(scaled) for value in scaled]
    assert frequencies(Sampling(temperature=temperature)) == pytest.approx(expected, abs=0.03)


def test_temperature_0_takes_the_likeliest_and_uses_no_number() -> None:
    die = random.Random(0)
    drawn = draw(LOGITS, [Sampling(temperature=0)], [die])
    assert drawn.ids == [0]
    assert drawn.log_probs == pytest.approx([math.log(0.5)])
    assert die.random() == random.Random(0).random()


def test_rows_of_a_batch_keep_their_own_parameters() -> None:
    samplings = [Sampling(temperature=0), Sampling(top_k=1), Sampling(temperature=0.5, seed=1)]
    for _ in range(20):
        drawn = draw(LOGITS.expand(3, -1), samplings, [random.Random(number) for number in range(3)])
        assert drawn.ids[:2] == [0, 0]


def test_log_probs_are_at_the_temperature_and_over_all_tokens() -> None:
    """As trainers compute them: a token that top_k makes certain still has its own probability."""
    drawn = draw(LOGITS, [Sampling(top_k=1, temperature=0.5)], [random.Random(0)])
    squares = [value**2 for value in PROBS]
    assert drawn.log_probs == pytest.approx([math.log(squares[0] / sum(squares))], abs=1e-6)


class Nearly1(random.Random):
    def random(self) -> float:
        return 1 - 2**-53


def test_the_largest_and_the_smallest_number_draw_a_possible_token() -> None:
    impossible_ends = torch.tensor([[-math.inf, 1.0, 2.0, -math.inf]])
    assert draw(impossible_ends, [Sampling()], [Nearly1()]).ids == [2]
    zero = type("Zero", (random.Random,), {"random": lambda self: 0.0})()
    assert draw(impossible_ends, [Sampling()], [zero]).ids == [1]


# ------------------------------------------------------------------------------------------------------ what ends it


def said(text: str, **settings: Any) -> Continuation:
    """A continuation of the ids of `text`, one after another, until it ends."""
    max_tokens = settings.pop("max_tokens", 50)
    one = Continuation(
        [1, 2, 3], Sampling(**settings), max_tokens=max_tokens, end_ids=frozenset({END}), decode=TOKENIZER.decode
    )
    for token in TOKENIZER.encode(text, add_special_tokens=False):
        one.add(token, -1.0)
        if one.finish_reason:
            break
    return one


@pytest.mark.parametrize(
    ("settings", "kept", "reason"),
    [
        ({}, "one two<|im_end|>", "stop"),
        ({"max_tokens": 3}, "one", "length"),
        ({"max_tokens": 8}, "one two<|im_end|>", "stop"),
        ({"stop": ("two",)}, "one two", "stop"),
        ({"stop": ("t", "w")}, "one t", "stop"),
        ({"stop": ("e t",)}, "one t", "stop"),
        ({"stop": ("three",)}, "one two<|im_end|>", "stop"),
        ({"stop": ("<|im_end|>",), "ignore_eos": True}, "one two<|im_end|>", "stop"),
        ({"stop_token_ids": frozenset(TOKENIZER.encode("w"))}, "one tw", "stop"),
        ({"ignore_eos": True}, "one two<|im_end|> three", None),
        ({"ignore_eos": True, "max_tokens": 10}, "one two<|im_end|> t", "length"),
    ],
)
def test_an_answer_ends(settings: dict[str, Any], kept: str, reason: str | None) -> None:
    one = said("one two<|im_end|> three", **settings)
    assert TOKENIZER.decode(one.ids[one.prompt_length :]) == kept
    assert one.finish_reason == reason


def test_a_stop_string_in_the_prompt_ends_nothing() -> None:
    prompt = TOKENIZER.encode("stop", add_special_tokens=False)
    one = Continuation(
        prompt, Sampling(stop=("stop",)), max_tokens=9, end_ids=frozenset({END}), decode=TOKENIZER.decode
    )
    one.add(TOKENIZER.encode("x")[0], -1.0)
    assert one.finish_reason is None


# ------------------------------------------------------------------------------------------------------ what is asked


def test_null_and_missing_parameters_are_the_defaults() -> None:
    assert Sampling.of({"temperature": None, "stop": None, "top_k": -1, "n": 1, "logit_bias": {}}) == Sampling()


def test_parameters_are_read() -> None:
    request = {"temperature": 0, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "seed": 3, "max_completion_tokens": 7}
    request |= {"stop": "a", "stop_token_ids": [4], "ignore_eos": True, "tool_choice": "auto"}
    expected = Sampling(0.0, 0.9, 5, 0.1, 3, 7, ("a",), frozenset({4}), True)
    assert Sampling.of(request) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"top_p": 0},
        {"top_p": 1.1},
        {"min_p": 1},
        {"max_tokens": 0},
        {"seed": 1.5},
        {"stop": [""]},
        {"n": 2},
        {"presence_penalty": 0.5},
        {"logit_bias": {"1": 5}},
        {"tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_what_cannot_be_heeded_is_refused_by_name(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(ValueError, match=f"`{name}`"):
        Sampling.of(wrong)
