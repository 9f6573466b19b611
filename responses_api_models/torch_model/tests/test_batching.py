"""What is sampled, and its log-probs, do not depend on the batch around it, the padding, or the cache it came from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")

from nemo_gym.ledger.engine import Generation  # noqa: E402
from responses_api_models.torch_model.batch import Limits, Snapshot  # noqa: E402
from responses_api_models.torch_model.continuation import Continuation  # noqa: E402
from responses_api_models.torch_model.prefix_store import PrefixStore  # noqa: E402
from responses_api_models.torch_model.sampling import Sampling  # noqa: E402
from responses_api_models.torch_model.tests.tiny_policy import make_model, make_tokenizer  # noqa: E402
from responses_api_models.torch_model.worker import Worker  # noqa: E402

pytestmark = pytest.mark.training

TOLERANCE = 1e-5
CACHE_BYTES = 64 << 20
TOKENIZER = make_tokenizer()
MODEL = make_model(TOKENIZER)
OTHER_MODEL = make_model(TOKENIZER, seed=1)
END = TOKENIZER.eos_token_id

MakeWorker = Callable[..., Worker]


@pytest.fixture
def make_worker() -> Iterator[MakeWorker]:
    workers = []

    def make(*, batch: int = 64, prefill: int = 8192, cache_bytes: int = CACHE_BYTES) -> Worker:
        workers.append(Worker(Snapshot(0, MODEL, PrefixStore(cache_bytes)), Limits(batch, prefill)))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


def continuation(prompt: Sequence[int], sampling: Sampling, max_tokens: int = 24) -> Continuation:
    return Continuation(prompt, sampling, max_tokens=max_tokens, end_ids=frozenset({END}), decode=TOKENIZER.decode)


def answers(worker: Worker, continuations: Sequence[Continuation]) -> list[Generation]:
    for one in continuations:
        worker.submit(one)
    return [one.answer.result(timeout=60) for one in continuations]


def prompts(count: int, seed: int = 0, longest: int = 90) -> list[list[int]]:
    """Of random lengths; some share beginnings, some are the same."""
    rng = random.Random(seed)
    made: list[list[int]] = []
    for _ in range(count):
        beginning = rng.choice(made)[: rng.randrange(longest)] if made and rng.random() < 0.6 else []
        made.append(beginning + [rng.randrange(90) for _ in range(rng.randrange(1, longest))])
        if rng.random() < 0.2:
            made[-1] = list(rng.choice(made))
    return made


def plain_log_probs(model: object, prompt: Sequence[int], generation: Generation, temperature: float) -> list[float]:
    """By one forward pass over prompt and continuation, without cache or padding."""
    ids = [*prompt, *generation.ids]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0, len(prompt) - 1 : -1]  # type: ignore[operator]
    log_probs = torch.log_softmax(logits / (temperature or 1.0), dim=-1)
    return [float(log_probs[place, token]) for place, token in enumerate(generation.ids)]


def assert_exact(model: object, asked: Sequence[Continuation], given: Sequence[Generation]) -> None:
    for one, generation in zip(asked, given, strict=True):
        prompt = one.ids[: one.prompt_length]
        plain = plain_log_probs(model, prompt, generation, one.sampling.temperature)
        assert generation.log_probs == pytest.approx(plain, abs=TOLERANCE)


@pytest.mark.parametrize("cache_bytes", [CACHE_BYTES, 40_000, 0], ids=["cache", "a few blocks", "no cache"])
@pytest.mark.parametrize(("batch", "prefill"), [(64, 8192), (7, 300), (1, 1)])
def test_log_probs_are_those_of_a_plain_forward_pass(
    make_worker: MakeWorker, batch: int, prefill: int, cache_bytes: int
) -> None:
    worker = make_worker(batch=batch, prefill=prefill, cache_bytes=cache_bytes)
    for seed in range(2):
        rng = random.Random(seed)
        asked = [
            continuation(prompt, Sampling(temperature=rng.choice([0, 0.5, 1, 1.7]), seed=number), rng.randrange(1, 40))
            for number, prompt in enumerate(prompts(40, seed))
        ]
        assert_exact(MODEL, asked, answers(worker, asked))


def test_a_seed_gives_the_same_answer_whatever_the_batch_around_it(make_worker: MakeWorker) -> None:
    samplings = [Sampling(seed=5), Sampling(temperature=0.7, top_p=0.9, top_k=20, min_p=0.01, seed=6)]
    for prompt in prompts(6):
        for sampling in samplings:
            alone = answers(make_worker(cache_bytes=0), [continuation(prompt, sampling)])[0]
            crowded = make_worker()
            others = [continuation(other, Sampling()) for other in prompts(30, seed=9)]
            among = answers(crowded, [*others[:15], continuation(prompt, sampling), *others[15:]])[15]
            again = answers(crowded, [continuation(prompt, sampling)])[0]
            assert alone.ids == among.ids == again.ids


def test_requests_without_a_seed_differ(make_worker: MakeWorker) -> None:
    given = answers(make_worker(), [continuation([1, 2, 3], Sampling()) for _ in range(8)])
    assert len({tuple(one.ids) for one in given}) > 1


def test_a_conversation_goes_on_from_what_the_cache_holds(make_worker: MakeWorker) -> None:
    worker = make_worker()
    ids = list(range(40))
    for _turn in range(5):
        one = continuation(ids, Sampling(seed=1))
        given = answers(worker, [one])
        assert_exact(MODEL, [one], given)
        ids = [*ids, *given[0].ids, *range(20)]


def test_a_cancelled_request_leaves_and_the_others_go_on(make_worker: MakeWorker) -> None:
    worker = make_worker(batch=4)
    endless = Sampling(ignore_eos=True, seed=1)
    asked = [continuation(prompt, endless, 300) for prompt in prompts(12)]
    for one in asked:
        worker.submit(one)
    for one in asked[::2]:
        one.answer.cancel()
    for one in asked[::2]:
        with pytest.raises(CancelledError):
            one.answer.result(timeout=60)
    given = [one.answer.result(timeout=60) for one in asked[1::2]]
    assert [len(one.ids) for one in given] == [300] * 6
    assert all(len(one.log_probs) < 300 for one in asked[::2]), "they were sampled to the end all the same"
    assert_exact(MODEL, asked[1::2], given)


def test_requests_finish_on_the_weights_they_began_with(make_worker: MakeWorker) -> None:
    worker = make_worker()
    greedy = Sampling(temperature=0, ignore_eos=True)
    before = [continuation(prompt, greedy, 400) for prompt in prompts(10)]
    for one in before:
        worker.submit(one)
    while any(one.policy_version is None for one in before):
        assert not all(one.answer.done() for one in before)
    worker.replace(Snapshot("new", OTHER_MODEL, PrefixStore(CACHE_BYTES)))
    after = [continuation(prompt, greedy, 400) for prompt in prompts(10)]
    new = answers(worker, after)
    old = [one.answer.result(timeout=60) for one in before]
    assert {one.policy_version for one in old} == {0}
    assert {one.policy_version for one in new} == {"new"}
    assert_exact(MODEL, before, old)
    assert_exact(OTHER_MODEL, after, new)
    assert all(a.ids != b.ids for a, b in zip(old, new, strict=True))


def test_weights_that_give_no_numbers_are_an_error_for_their_requests_only(make_worker: MakeWorker) -> None:
    worker = make_worker()
    broken = make_model(TOKENIZER)
    broken.model.norm.weight.fill_(float("nan"))
    worker.replace(Snapshot(1, broken, PrefixStore(CACHE_BYTES)))
    one = continuation([1, 2], Sampling())
    worker.submit(one)
    with pytest.raises(FloatingPointError, match="not numbers"):
        one.answer.result(timeout=60)
    worker.replace(Snapshot(2, MODEL, PrefixStore(CACHE_BYTES)))
    assert answers(worker, [continuation([1, 2], Sampling())])[0].policy_version == 2


def test_closing_cancels_what_is_under_way(make_worker: MakeWorker) -> None:
    worker = make_worker(batch=1)
    asked = [continuation([1], Sampling(ignore_eos=True), 500) for _ in range(3)]
    for one in asked:
        worker.submit(one)
    worker.close()
    assert [one.answer.cancelled() or one.answer.done() for one in asked] == [True] * 3
    late = continuation([1], Sampling())
    worker.submit(late)
    assert late.answer.cancelled()
