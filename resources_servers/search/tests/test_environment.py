from collections.abc import Sequence

import pytest

from nemo_gym.environments import StepResult
from nemo_gym.errors import Unreachable
from nemo_gym.schemas.responses import Response
from resources_servers.search.environment import Rules, SearchEnvironment, ToolSearchEnvironment, TurnSearchEnvironment

SALO = '"Salo"\nSalo is a town on the river Orm.'


class Shelf:
    """A retriever that gives the same passages for every query, or fails."""

    def __init__(self, *found: str, fails: bool = False) -> None:
        self.found, self.fails = list(found), fails
        self.queries: list[str] = []

    async def passages(self, query: str) -> list[str]:
        self.queries.append(query)
        if self.fails:
            raise Unreachable("refused", url="http://shelf", delivered=False)
        return self.found


def saying(text: str) -> Response:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return Response.model_validate({"id": "r", "created_at": 0, "model": "m", "output": [item]})


async def play(environment: SearchEnvironment, texts: Sequence[str]) -> list[StepResult]:
    environment.turn_rewards = []
    results = []
    for text in texts:
        results.append(await environment.step(saying(text)))
        environment.turn_rewards.append(results[-1].reward)
    return results


async def test_a_search_shows_passages_and_the_right_answer_earns_everything() -> None:
    shelf = Shelf(SALO)
    environment = TurnSearchEnvironment(["Orm"], shelf, Rules(max_turns=4))
    searched, answered = await play(
        environment, ["<think>?</think><search> Salo river </search>", "<think>!</think><answer>the Orm</answer>"]
    )
    assert shelf.queries == ["Salo river"]
    assert str(searched.observation).startswith(
        "<information>\nDoc 1 (Salo): Salo is a town on the river Orm.\n</information>"
    )
    assert "3 turns left" in str(searched.observation)
    assert (answered.reward, answered.terminated, answered.observation) == (1.0, True, None)
    assert environment.report() == {"success": True, "score": 1.0, "extracted_answer": "the Orm", "num_searches": 1}


async def test_a_malformed_turn_is_told_what_is_wrong_and_counts() -> None:
    environment = TurnSearchEnvironment(["Orm"], Shelf(SALO), Rules(max_turns=3))
    first, second, third = await play(environment, ["Hm.", "<search> </search>", "<search>x"])
    assert "no complete <search>" in str(first.observation) and "2 turns left" in str(first.observation)
    assert "nothing between" in str(second.observation) and "last turn" in str(second.observation)
    assert (third.observation, third.truncated, third.terminated) == (None, True, False)
    assert all(result.info["bad_format"] for result in (first, second, third))
    assert await environment.final_reward() == 0.0


async def test_the_last_turn_does_not_search() -> None:
    shelf = Shelf(SALO)
    [result] = await play(TurnSearchEnvironment(["Orm"], shelf, Rules(max_turns=1)), ["<search>Salo</search>"])
    assert (result.truncated, shelf.queries) == (True, [])


async def test_passages_are_cut_to_their_shares_of_the_budget() -> None:
    passages = [f'"T{number}"\n' + "word " * 1000 for number in range(3)]
    rules = Rules(max_turns=2, max_information_chars=300)
    [result] = await play(TurnSearchEnvironment(["Orm"], Shelf(*passages), rules), ["<search>x</search>"])
    lines = str(result.observation).split("\n")
    shown = [line for line in lines if line.startswith("Doc ")]
    assert len(shown) == 3 and all(line.endswith(" ...") and len(line) <= 120 for line in shown)


async def test_nothing_found_is_said() -> None:
    [result] = await play(TurnSearchEnvironment(["Orm"], Shelf(), Rules(max_turns=2)), ["<search>x</search>"])
    assert "Nothing was found." in str(result.observation)


async def test_the_form_alone_earns_the_format_reward_where_there_is_one() -> None:
    rules = Rules(max_turns=2, format_reward=0.1)
    good = TurnSearchEnvironment(["Orm"], Shelf(), rules)
    await play(good, ["<think>a</think><search>x</search>", "<think>a</think><answer>Po</answer>"])
    bad = TurnSearchEnvironment(["Orm"], Shelf(), rules)
    await play(bad, ["<search>x</search>", "<think>a</think><answer>Po</answer>"])
    assert (await good.final_reward(), await bad.final_reward()) == (0.1, 0.0)


@pytest.mark.parametrize("kind", [TurnSearchEnvironment, ToolSearchEnvironment])
async def test_an_episode_whose_search_failed_has_no_reward(kind: type[SearchEnvironment]) -> None:
    environment = kind(["Orm"], Shelf(fails=True), Rules(max_turns=3))
    environment.turn_rewards = []
    with pytest.raises(Unreachable):
        await environment.search("Salo")
    with pytest.raises(Unreachable):
        await environment.step(saying("<answer>Orm</answer>"))
    with pytest.raises(Unreachable):
        await environment.final_reward()


async def test_with_the_tool_the_final_message_is_the_answer() -> None:
    environment = ToolSearchEnvironment(["Orm"], Shelf(SALO), Rules(max_turns=3))
    empty, answered = await play(environment, [" ", "Orm"])
    assert "empty" in str(empty.observation) and not empty.done
    assert (answered.reward, answered.terminated) == (1.0, True)
