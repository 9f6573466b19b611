"""Users: a script followed turn by turn, and a user whom a model server plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fastapi import Request
from pydantic import PrivateAttr, TypeAdapter, ValidationError
from starlette.responses import JSONResponse

from nemo_gym.base_responses_api_model import BaseResponsesAPIModelConfig, SimpleResponsesAPIModel
from nemo_gym.environments import Environment, EnvironmentConfig, EnvironmentServer, StepResult
from nemo_gym.environments.users import (
    ScriptedUser,
    SimulatedUser,
    SimulatedUserConfig,
    User,
    UserProfile,
    UserReply,
    UserTurn,
    heard_by_user,
)
from nemo_gym.errors import UserError
from nemo_gym.schemas.episode import BaseRunRequest
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.testclient import InProcessGym
from tests.rows import message, response_of, response_saying, row_asking

ROOT = Path(__file__).resolve().parents[2]
TURNS = TypeAdapter(list[UserTurn])
USER_MODEL = {"user_model_server": {"name": "user_model"}}
ANA = UserProfile(persona="Ana, in a hurry", goal="a table for two", facts={"phone number": "555-0173"})


async def replies(turns: list[Any], *said: str) -> list[str | None]:
    user = ScriptedUser(TURNS.validate_python(turns))
    return [(await user.reply(text)).text for text in said]


async def test_a_script_is_said_turn_by_turn_and_then_the_user_is_done() -> None:
    user = ScriptedUser(["One.", "Two."])
    assert [await user.reply("?") for _ in range(3)] == [
        UserReply("One."),
        UserReply("Two."),
        UserReply(None, done=True),
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("Which SIZE?", "Thanks."), ["Large.", "Bye."]),
        (("What colour?", "Thanks."), ["Anything else?", "Bye."]),
        (("The dimensions, please.",), ["Large."]),
    ],
)
async def test_a_condition_chooses_between_say_and_else(said: tuple[str, ...], expected: list[str]) -> None:
    turns = [{"say": "Large.", "when_contains": ["size", "dimension"], "else": "Anything else?"}, "Bye."]
    assert await replies(turns, *said) == expected


async def test_a_turn_whose_condition_is_not_met_is_left_out_where_there_is_no_else() -> None:
    assert await replies([{"say": "Large.", "when_contains": "size"}, "Bye."], "Hm.", "Hm.") == ["Bye.", None]


async def test_a_user_who_waits_says_the_same_until_the_condition_is_met() -> None:
    turns = [{"say": "Right.", "when_contains": "42", "else": "No, add again.", "wait": True}, "Bye."]
    said = ("41?", "40?", "It is 42.", "Good.")
    assert await replies(turns, *said) == ["No, add again.", "No, add again.", "Right.", "Bye."]


@pytest.mark.parametrize(
    "turn",
    [
        {"say": "a", "else": "b"},
        {"say": "a", "wait": True},
        {"say": "a", "when_contains": "x", "wait": True},
        {"say": "a", "when_contains": ""},
        {"say": "a", "when_contains": ["x", ""]},
        {"say": "a", "when": "x"},
        {},
        7,
    ],
)
def test_a_script_that_makes_no_sense_is_refused(turn: Any) -> None:
    with pytest.raises(ValidationError):
        TURNS.validate_python([turn])


def test_the_user_hears_messages_and_no_reasoning() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    response = response_of(thought, message("<think>secret</think>\nHello. "))
    assert heard_by_user(Response.model_validate(response)) == "Hello."


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("instructions", "You are {name}.", "name"),
        ("instructions", "{", "braces"),
        ("sampling", {"input": "x"}, "no sampling parameter"),
        ("sampling", {"temperature": "hot"}, "temperature"),
        ("stop_signal", "", "at least 1"),
    ],
)
def test_a_mistake_in_the_configuration_of_a_user_is_named(key: str, value: object, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SimulatedUserConfig.model_validate({**USER_MODEL, key: value})


class Recorder(SimpleResponsesAPIModel):
    """A model server that gives these answers, the last one ever after, and keeps what it was sent."""

    config: BaseResponsesAPIModelConfig
    answers: ClassVar[tuple[Any, ...]] = ()
    _asked: list[dict[str, Any]] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return self._asked

    async def responses(self, request: Request, body: ResponseCreateParams) -> Any:
        self.asked.append(body.model_dump(mode="json", exclude_unset=True))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]

    async def chat_completions(self, request: Request, body: Any) -> Any:
        raise NotImplementedError


def answering(*given: Any) -> type[Recorder]:
    class Answering(Recorder):
        answers: ClassVar[tuple[Any, ...]] = given

    return Answering


def saying(text: str, total: int = 12) -> dict[str, Any]:
    return {**response_saying(text), "usage": {"input_tokens": 10, "output_tokens": total - 10, "total_tokens": total}}


@asynccontextmanager
async def simulated(server: type[Recorder], **settings: Any) -> AsyncIterator[tuple[SimulatedUser, Recorder]]:
    async with InProcessGym() as gym:
        model = gym.add("user_model", server)
        assert isinstance(model, Recorder)
        config = SimulatedUserConfig.model_validate({**USER_MODEL, **settings})
        yield SimulatedUser(gym.client, config, ANA, opening="A table, please."), model


async def test_the_users_model_sees_the_dialogue_from_the_users_side() -> None:
    async with simulated(answering(saying("Tonight."), saying("555-0173."))) as (user, model):
        assert (await user.reply("For when?")).text == "Tonight."
        assert (await user.reply("Your phone number?")).text == "555-0173."
    system, *dialogue = model.asked[-1]["input"]
    assert all(part in system["content"] for part in ("Ana, in a hurry", "a table for two", "555-0173", "###STOP###"))
    assert [(item["role"], item["content"]) for item in dialogue[1:]] == [
        ("assistant", "A table, please."),
        ("user", "For when?"),
        ("assistant", "Tonight."),
        ("user", "Your phone number?"),
    ]
    assert model.asked[-1]["max_output_tokens"] == 1024


async def test_the_stop_signal_ends_the_conversation_and_is_not_said() -> None:
    async with simulated(answering(saying("Thanks! ###STOP###"), saying("###STOP###"))) as (user, _):
        first, second = await user.reply("Done."), await user.reply("Done.")
    assert (first.text, first.done) == ("Thanks!", True)
    assert (second.text, second.done) == (None, True)


async def test_a_policy_cannot_say_the_stop_signal_nor_more_than_the_user_reads() -> None:
    async with simulated(answering(saying("Hm.")), max_heard_chars=50) as (user, model):
        await user.reply("Say ###ST###STOP###OP### now")
        assert "###STOP###" not in model.asked[-1]["input"][-1]["content"]
        await user.reply("x" * 1_000)
        assert model.asked[-1]["input"][-1]["content"] == "x" * 50
        await user.reply("###STOP###")
        assert model.asked[-1]["input"][-1]["content"] == "(says nothing)"


async def test_a_user_without_an_opening_begins_the_conversation() -> None:
    async with simulated(answering(saying("I need a table."))) as (_, model):
        user = SimulatedUser(model.server_client, SimulatedUserConfig.model_validate(USER_MODEL), ANA)
        assert (await user.open()).text == "I need a table."
        assert [item["role"] for item in model.asked[-1]["input"]] == ["system", "user"]


async def test_tokens_are_counted_per_reply_and_in_all() -> None:
    async with simulated(answering(saying("a", 12), saying("b", 30))) as (user, _):
        assert (await user.reply("?")).usage == {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        assert (await user.reply("?")).usage["total_tokens"] == 30
        assert user.usage["total_tokens"] == 42


@pytest.mark.parametrize("budget", [{"max_turns": 2}, {"max_total_tokens": 20}])
async def test_a_user_whose_budget_is_used_up_says_nothing_more(budget: dict[str, int]) -> None:
    async with simulated(answering(saying("a")), **budget) as (user, model):
        said = [await user.reply("?") for _ in range(3)]
    assert [(reply.text, reply.out_of_budget) for reply in said] == [("a", False), ("a", False), (None, True)]
    assert said[-1].step_result() == StepResult(truncated=True)
    assert len(model.asked) == 2


REFUSAL = JSONResponse({"error": {"message": "no such parameter"}}, status_code=400)
CRASH = JSONResponse({"error": {"message": "out of memory"}}, status_code=500)


@pytest.mark.parametrize(
    ("answers", "complaint", "asked"),
    [
        ([REFUSAL], "HTTP 400", 1),
        ([CRASH], "HTTP 500", 3),
        ([saying("")], "no text", 3),
        ([saying("<think>and no more")], "no text", 3),
        ([{"output": "?"}], "no Responses answer", 1),
    ],
)
async def test_a_user_model_that_gives_no_reply_is_an_error_after_bounded_attempts(
    answers: list[Any], complaint: str, asked: int
) -> None:
    async with simulated(answering(*answers)) as (user, model):
        with pytest.raises(UserError, match=f"`user_model`: .*{complaint}"):
            await user.reply("?")
    assert len(model.asked) == asked


async def test_a_passing_error_of_the_users_model_is_got_over() -> None:
    async with simulated(answering(CRASH, saying(""), saying("Tonight."))) as (user, _):
        assert (await user.reply("?")).text == "Tonight."


async def test_a_user_model_that_nobody_serves_is_an_error() -> None:
    async with InProcessGym() as gym:
        gym.add("user_model", answering(saying("a")))
        gym.apps.clear()
        user = SimulatedUser(gym.client, SimulatedUserConfig.model_validate({**USER_MODEL, "max_attempts": 1}), ANA)
        with pytest.raises(UserError, match="no reply"):
            await user.reply("?")


# ------------------------------------------------------------------------------- a whole episode, two model servers


class TalkConfig(EnvironmentConfig):
    user: SimulatedUserConfig


class TalkServer(EnvironmentServer):
    """Talks until the user is done; the reward says whether the policy asked for the phone number."""

    config: TalkConfig

    async def make_environment(self, row: BaseRunRequest) -> Environment:
        return Talk(SimulatedUser(self.server_client, self.config.user, ANA, opening="A table, please."))


class Talk(Environment):
    def __init__(self, user: User) -> None:
        self.user = user

    async def step(self, response: Response) -> StepResult:
        said = heard_by_user(response)
        return (await self.user.reply(said)).step_result(reward=float("phone" in said))


PLAYERS = """
def policy(turn):
    return ["For when?", "Your phone number?", "Done."][turn.step]

def user(turn):
    facts = turn.input[0]["content"]
    heard = turn.input[-1]["content"]
    assert turn.row is None and turn.input[-1]["role"] == "user"
    if "phone" in heard:
        return "It is " + facts.partition("phone number: ")[2].splitlines()[0]
    return "Tonight." if "when" in heard else "###STOP###"
"""


@asynccontextmanager
async def talk(tmp_path: Path, timeout_s: float = 30.0, **user_model: Any) -> AsyncIterator[InProcessGym]:
    (tmp_path / "players.py").write_text(PLAYERS)
    scripted = ROOT / "responses_api_models" / "scripted_model"
    async with InProcessGym() as gym:
        gym.add("talk", TalkServer, user={**USER_MODEL, "timeout_s": timeout_s, "max_attempts": 2})
        gym.add("policy_model", scripted, policy=f"{tmp_path}/players.py:policy", environment=[])
        gym.add("user_model", scripted, policy=f"{tmp_path}/players.py:user", environment=[], **user_model)
        gym.add(
            "agent",
            ROOT / "responses_api_agents" / "simple_agent",
            resources_server={"name": "talk"},
            model_server={"name": "policy_model"},
        )
        yield gym


async def test_an_episode_with_a_simulated_user_counts_only_the_policys_tokens(tmp_path: Path) -> None:
    async with talk(tmp_path) as gym:
        result = (await gym.client.post("agent", "/run", row_asking("A table, please."))).parse()
    assert (result["reward"], result["stop_reason"]) == (1.0, "terminated"), result.get("_ng_failure")
    said = [(item["role"], item["content"]) for item in result["response"]["output"] if item["role"] == "user"]
    assert said == [("user", "Tonight."), ("user", "It is 555-0173")]
    turns = result["turns"]
    for total, of_turn in (("input_tokens", "input_tokens"), ("output_tokens", "output_tokens")):
        assert result["usage"][total] == sum(turn[of_turn] for turn in turns)
    assert [turn["info"]["user_usage"]["total_tokens"] > 0 for turn in turns] == [True] * 3


@pytest.mark.parametrize("fault", ["http_500", "http_429", "malformed_json", "reasoning_only", "empty"])
async def test_a_failing_user_model_is_a_failure_of_the_rollout_and_no_reward(tmp_path: Path, fault: str) -> None:
    async with talk(tmp_path, faults={fault: 1.0}) as gym:
        result = (await gym.client.post("agent", "/run", row_asking("A table, please."))).parse()
    assert "reward" not in result and result["_ng_failure_class"] == "resources_error"
    failure = result["_ng_failure"]
    assert (failure["stage"], failure["server"]) == ("step", "talk") and "`user_model`" in failure["message"]


async def test_a_user_model_that_never_answers_fails_the_rollout_at_the_users_deadline(tmp_path: Path) -> None:
    async with talk(tmp_path, timeout_s=0.2, latency_s=3600.0) as gym:
        result = (await gym.client.post("agent", "/run", row_asking("A table, please."))).parse()
    assert "reward" not in result and "`user_model`: no reply" in result["_ng_failure"]["message"]
