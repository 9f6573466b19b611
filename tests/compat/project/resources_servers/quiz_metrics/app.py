"""quiz_metrics: short answers with metrics of its own, and a thread for slow grading."""

import asyncio
import re
from typing import Any

from fastapi import Body

from nemo_gym.base_resources_server import (
    AggregateMetrics,
    AggregateMetricsRequest,
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.global_config import ROLLOUT_INDEX_KEY_NAME, TASK_INDEX_KEY_NAME
from nemo_gym.reward_profile import compute_pass_majority_metrics, compute_subset_metrics, highest_k_metrics


class QuizConfig(BaseResourcesServerConfig):
    strict: bool = False


class QuizVerifyRequest(BaseVerifyRequest):
    expected_answer: str
    subject: str = "any"


class QuizVerifyResponse(QuizVerifyRequest, BaseVerifyResponse):
    extracted_answer: str | None


def grade(text: str, expected: str, strict: bool) -> tuple[str | None, float]:
    found = re.search(r"answer: (.+)$", text, re.MULTILINE)
    answer = found[1].strip() if found else None if strict else text.strip()
    return answer, float(answer == expected)


class QuizServer(SimpleResourcesServer):
    config: QuizConfig

    async def verify(self, body: QuizVerifyRequest) -> QuizVerifyResponse:
        text = body.response.output_text
        answer, reward = await asyncio.to_thread(grade, text, body.expected_answer, self.config.strict)
        return QuizVerifyResponse(**body.model_dump(), reward=reward, extracted_answer=answer)

    @staticmethod
    def _score_fn(result: dict[str, Any]) -> dict[str, float]:
        return {"accuracy": result["reward"], "length": 1.0}

    def compute_metrics(self, tasks: list[list[dict[str, Any]]]) -> dict[str, Any]:
        metrics, all_scores, score_names, max_k = compute_pass_majority_metrics(
            tasks, score_fn=self._score_fn, answer_key="extracted_answer"
        )
        metrics.update(compute_subset_metrics(tasks, subset_key="subject", score_fn=self._score_fn))
        metrics["num_tasks"] = len(all_scores)
        assert score_names == ["accuracy", "length"] and max_k == max(map(len, tasks), default=0)
        return metrics

    def get_key_metrics(self, agent_metrics: dict[str, Any]) -> dict[str, Any]:
        key: dict[str, Any] = {}
        key.update(highest_k_metrics(agent_metrics, "pass@{k}", score_names=["accuracy"]))
        key.update(highest_k_metrics(agent_metrics, "pass@1[avg-of-{k}]", exclude_names=["length", "no_answer"]))
        return key

    async def aggregate_metrics(self, body: AggregateMetricsRequest = Body()) -> AggregateMetrics:
        seen = {(r[TASK_INDEX_KEY_NAME], r[ROLLOUT_INDEX_KEY_NAME]) for r in body.verify_responses}
        metrics = await super().aggregate_metrics(body)
        metrics.agent_metrics["distinct_rollouts"] = len(seen)
        return metrics


if __name__ == "__main__":
    QuizServer.run_webserver()
