from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nemo_gym.errors import EngineRefusedError
from nemo_gym.ledger.call import Asked, Incoming, Sampled
from nemo_gym.ledger.engine import Generation
from nemo_gym.ledger.ledger import Ledger
from nemo_gym.ledger.prompts import IdsSampler
from nemo_gym.ledger.recorder import Recorder
from nemo_gym.schemas.prompt_ids import with_whole_prompts
from responses_api_models.scripted_model import adversarial_tokens as tokens
from responses_api_models.scripted_model.adversarial_engine import AdversarialEngine

Json = dict[str, Any]
HI: Json = {"role": "user", "content": "hi"}
MORE: Json = {"role": "user", "content": "more"}


def asking(*entries: Json, **fields: Any) -> Incoming:
    return Incoming(**{"rollout_key": "r", "settings": {}, "entries": list(entries), "request": {}, **fields})


def a_ledger(**limits: Any) -> Ledger:
    return Ledger(**{"max_ids": 10**6, "idle_s": 3600, **limits})


class Slow:
    """Answers when it is let; counts how often it was asked."""

    def __init__(self) -> None:
        self.go, self.asked, self.failures = asyncio.Event(), 0, 0

    async def sample(self, asked: Asked) -> Sampled:
        self.asked += 1
        number = self.asked
        await self.go.wait()
        if self.failures >= number:
            raise EngineRefusedError(503, b"{}")
        answer = {"role": "assistant", "content": f"answer {number}"}
        return Sampled(0, [1, 2], Generation([number], [-0.5], "stop"), [answer], "stop")


def says(*texts: str) -> AdversarialEngine:
    left = list(texts)
    return AdversarialEngine(lambda request, rollout_key: left.pop(0))


async def test_a_request_sent_again_while_the_first_is_sampled_waits_for_its_answer() -> None:
    slow = Slow()
    recorder = Recorder(a_ledger(), slow)
    both = [asyncio.ensure_future(recorder.answer(asking(HI, retry_key="k"))) for _ in range(2)]
    await asyncio.sleep(0)
    slow.go.set()
    first, second = await asyncio.gather(*both)
    assert first is second
    assert slow.asked == 1
    assert await recorder.answer(asking(HI, retry_key="k")) is first
    assert await recorder.answer(asking(HI, retry_key="another")) is not first


async def test_where_the_first_client_left_before_the_answer_the_second_is_answered_anew() -> None:
    slow = Slow()
    recorder = Recorder(a_ledger(), slow)
    first = asyncio.ensure_future(recorder.answer(asking(HI, retry_key="k")))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(recorder.answer(asking(HI, retry_key="k")))
    await asyncio.sleep(0)
    first.cancel()
    slow.go.set()
    call = await second
    assert call.answer[0]["content"] == "answer 2"
    assert first.cancelled()


async def test_a_call_that_failed_is_sampled_when_it_is_sent_again() -> None:
    slow = Slow()
    slow.failures = 1
    slow.go.set()
    recorder = Recorder(a_ledger(), slow)
    with pytest.raises(EngineRefusedError):
        await recorder.answer(asking(HI, retry_key="k"))
    assert (await recorder.answer(asking(HI, retry_key="k"))).answer[0]["content"] == "answer 2"


async def test_without_a_retry_key_every_request_is_sampled() -> None:
    slow = Slow()
    slow.go.set()
    recorder = Recorder(a_ledger(), slow)
    assert await recorder.answer(asking(HI)) is not await recorder.answer(asking(HI))


async def test_a_previous_answer_that_is_not_known_is_refused_by_name() -> None:
    recorder = Recorder(a_ledger(), IdsSampler(says("one")))
    with pytest.raises(EngineRefusedError, match="previous_response_not_found") as refused:
        await recorder.answer(asking(MORE, previous_id="gone"))
    assert refused.value.status == 400


async def test_rollouts_beyond_the_ledgers_size_go_and_come_back_whole_from_what_the_client_sends() -> None:
    ledger = a_ledger(max_ids=60)
    recorder = Recorder(ledger, IdsSampler(says("one", "x" * 200, "two")))
    first = await recorder.answer(asking(HI))
    await recorder.answer(asking(HI, rollout_key="another"))
    assert len(ledger) == 1
    with pytest.raises(EngineRefusedError):
        await recorder.answer(asking(MORE, previous_id=first.stem))
    said = {**first.answer[0], **first.token_fields(short=False)}
    second = await recorder.answer(asking(HI, said, MORE))
    assert second.ids.until(len(first.ids)) == first.ids.since(0)


async def test_a_rollout_that_was_not_used_for_long_goes() -> None:
    now = [0.0]
    ledger = a_ledger(idle_s=10, clock=lambda: now[0])
    ledger.rollout("old")
    now[0] = 5
    ledger.rollout("young")
    now[0] = 11
    ledger.rollout("new")
    assert len(ledger) == 2


async def test_going_back_to_an_earlier_answer_goes_on_from_its_very_ids() -> None:
    recorder = Recorder(a_ledger(), IdsSampler(says("one", "two", "three")))
    first = await recorder.answer(asking(HI))
    await recorder.answer(asking(MORE, previous_id=first.stem))
    again = await recorder.answer(asking(HI, first.answer[0], {"role": "user", "content": "otherwise"}))
    assert again.ids.until(len(first.ids)) == first.ids.since(0)
    assert "otherwise" in tokens.decode(again.ids.since(len(first.ids)))


async def test_with_other_tools_a_conversation_begins_anew_and_says_how_much_it_kept() -> None:
    recorder = Recorder(a_ledger(), IdsSampler(says("one", "two")))
    first = await recorder.answer(asking(HI))
    tools = [{"type": "function", "function": {"name": "f"}}]
    second = await recorder.answer(asking(MORE, previous_id=first.stem, settings={"tools": tools}))
    prompt = second.ids.until(second.prompt_length)
    assert tokens.decode(prompt).startswith("[tools]")
    assert second.kept < len(first.ids)
    items = [
        {"generation_token_ids": [], **first.token_fields(short=False)},
        {"generation_token_ids": [], **second.token_fields(short=True)},
    ]
    assert with_whole_prompts(items)[1]["prompt_token_ids"] == prompt


async def test_a_message_that_is_written_on_keeps_what_was_sampled_but_not_its_end() -> None:
    recorder = Recorder(a_ledger(), IdsSampler(says("I look it up: <search>x</search>", "so it is 3")))
    first = await recorder.answer(asking(HI))
    said = first.answer[0]["content"] + " found: 3. "
    request = {"continue_final_message": True, "add_generation_prompt": False}
    second = await recorder.answer(
        asking(HI, {"role": "assistant", "content": said}, request=request, continues_last=True)
    )
    assert second.kept == len(first.ids) - 1  # all but the end of the turn
    assert tokens.decode(second.ids.since(second.kept)) == f" found: 3. so it is 3{tokens.END_TEXT}"
    third_said = second.conversation.last["content"] + " Then"
    recorder = Recorder(a_ledger(), IdsSampler(says("whole")))
    whole = await recorder.answer(
        asking(HI, {"role": "assistant", "content": third_said}, request=request, continues_last=True)
    )
    assert tokens.decode(whole.ids.until(whole.prompt_length)).endswith(third_said)


async def test_a_prompt_that_leaves_no_room_is_refused_before_the_engine_is_asked() -> None:
    engine = AdversarialEngine(lambda request, rollout_key: pytest.fail("it was asked"), context_length=5)
    with pytest.raises(EngineRefusedError, match="context_length_exceeded"):
        await Recorder(a_ledger(), IdsSampler(engine)).answer(asking(HI))


async def test_an_answer_is_no_longer_than_what_the_context_has_left() -> None:
    engine = AdversarialEngine(lambda request, rollout_key: "x" * 100, context_length=40)
    call = await Recorder(a_ledger(), IdsSampler(engine)).answer(asking(HI, request={"max_completion_tokens": 90}))
    assert len(call.ids) == 40
    assert call.finish_reason == "length"


async def test_what_an_engine_cut_off_is_closed_by_the_template() -> None:
    engine = says("a long story", "the end")
    recorder = Recorder(a_ledger(), IdsSampler(engine))
    first = await recorder.answer(asking(HI, request={"max_tokens": 3}))
    second = await recorder.answer(asking(MORE, previous_id=first.stem))
    between = second.ids.until(second.prompt_length)[len(first.ids) :]
    assert tokens.decode(between) == f"{tokens.END_TEXT}\n[user]\nmore{tokens.END_TEXT}\n[assistant]\n"


async def test_calls_are_recorded_with_the_version_they_began_with() -> None:
    slow = Slow()
    recorder = Recorder(a_ledger(), slow)
    recorder.policy_version = 3
    begun = asyncio.ensure_future(recorder.answer(asking(HI)))
    await asyncio.sleep(0)
    recorder.policy_version = 4
    slow.go.set()
    assert (await begun).policy_version == 3
    assert (await recorder.answer(asking(HI))).policy_version == 4
