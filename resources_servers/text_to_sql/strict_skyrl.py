"""The same task as skyrl-gym 0.4.0 plays it: its reading of the dialogue, its feedback, its comparison of sets."""

from __future__ import annotations

import re
from typing import Any

from nemo_gym.environments import StepResult
from nemo_gym.parsers.tags import all_tags, first_tag
from nemo_gym.schemas.responses import Response
from resources_servers.text_to_sql.environment import TextToSql

_FOREIGN_TAG = re.compile(r"</?(think|sql|observation)\b", re.IGNORECASE)
_END_OF_OBSERVATION = re.compile(r"</observation>", re.IGNORECASE)


class StrictTextToSql(TextToSql):
    """The whole dialogue, observations included, is read at the end; -1.0 where its form is wrong."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.dialogue: list[str] = []

    async def step(self, response: Response) -> StepResult:
        self.num_turns += 1
        text = response.output_text
        self.dialogue.append(text)
        if self.num_turns >= self.max_turns or ("<solution>" in text and "</solution>" in text):
            reward = await self._reward("".join(self.dialogue))
            self.correct = reward == 1.0
            return StepResult(reward=reward, terminated=True, info={"success": self.correct, "bad_format": reward < 0})
        sql = first_tag(text, "sql")
        if sql is None:
            told = (
                "Your previous action is invalid. Follow the format of outputting thinking process and sql tool, and "
                "try again."
            )
        else:
            self.num_queries += 1
            told = (await self.database.answer(sql)).text
        left = f"You have {self.max_turns - self.num_turns} turns left to complete the task."
        observation = f"\n\n<observation>{told}\n<reminder>{left}</reminder></observation>\n\n"
        self.dialogue.append(observation)
        return StepResult(observation, info={"success": False, "bad_format": sql is None})

    async def _reward(self, dialogue: str) -> float:
        self.solution = solution_of(dialogue)
        if self.solution is None:
            return -1.0
        return float(await self.is_correct(self.solution))


def solution_of(dialogue: str) -> str | None:
    """The solution of a dialogue in the right form: one `<solution>`, closed once, without other tags inside; a
    `<think>` somewhere; and one right after every observation. None where the form is wrong.
    """
    before, opening, after = dialogue.partition("<solution>")
    if not opening or dialogue.count("<solution>") != 1 or after.count("</solution>") != 1:
        return None
    solution = after.partition("</solution>")[0]
    if _FOREIGN_TAG.search(solution) or not all_tags(dialogue, "think"):
        return None
    for end in _END_OF_OBSERVATION.finditer(before):
        if not before[end.end() :][:1000].lstrip().lower().startswith("<think>"):
            return None
    return solution.strip()
