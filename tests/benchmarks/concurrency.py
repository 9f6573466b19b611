"""How well `max_concurrent_requests: auto` finds what an endpoint can do: `python -m tests.benchmarks.concurrency`.

`openai_model` on a real socket, in front of an endpoint process of known capacity, which halves half-way. Clients ask
as soon as they are answered. *Found after*: seconds until 90 % of the capacity were used for three seconds. *Used*,
*429s*: of the capacity, and of the endpoint's answers, from then on. For comparison, the same without a limit.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import asdict, dataclass, replace

import orjson
import uvloop

from nemo_gym.serving.http import HttpClient
from nemo_gym.upstream.fake_endpoint import Stage
from nemo_gym.upstream.slots import Allowed
from responses_api_models.openai_model.app import OpenAIModel
from tests.benchmarks.limited_endpoint import Counts, Limits
from tests.benchmarks.local_server import local_server
from tests.benchmarks.report import Report, Target
from tests.benchmarks.table import markdown_table

CLIENTS = 400
SECONDS = 25.0
"""With each capacity."""
SAMPLE_S = 0.25
STEADY_S = 3.0
ENOUGH, FEW_REFUSALS, SOON_S = 0.9, 0.05, 30.0
_QUESTION = orjson.dumps({"input": "What is 2 + 2?"})


@dataclass(frozen=True)
class Case:
    """One endpoint, and what the model server is told."""

    name: str
    limits: Limits
    allowed: Allowed = "auto"


CASES = (
    Case("refuses more than 128 at a time", Limits("refuses")),
    Case("the same, with `Retry-After: 1`", Limits("refuses", retry_after_s=1.0)),
    Case("refuses more than 256 a second", Limits("rated")),
    Case("has more than 128 at a time wait", Limits("queues")),
    Case("refuses more than 128; no limit here", Limits("refuses"), None),
)


@dataclass(frozen=True)
class Phase:
    """What happened from one change of the capacity to the next."""

    found_after_s: float | None
    used: float
    refused: float
    """From when it was found; where it was not, from the beginning."""
    refused_in_all: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="with each capacity")
    options = parser.parse_args()
    print(report(CASES, options.seconds))


def report(cases: tuple[Case, ...] = CASES[:1] + CASES[3:4], seconds: float = 15.0) -> Report:
    """The table of these cases, and the target of those with `auto`."""
    found = {case: uvloop.run(measured(case, seconds)) for case in cases}
    rows = [[case.name, *(cell for phase in phases for cell in _cells(phase))] for case, phases in found.items()]
    header = ["endpoint", "found after s", "used", "429s", "halved: found after s", "used", "429s"]
    phases = [phase for case, both in found.items() if case.allowed == "auto" for phase in both]
    used, refused = min(phase.used for phase in phases), max(phase.refused_in_all for phase in phases)
    latest = max(phase.found_after_s if phase.found_after_s is not None else float("inf") for phase in phases)
    target = Target(
        "adaptive concurrency",
        f"{ENOUGH:.0%} of the capacity, {FEW_REFUSALS:.0%} 429s, within {SOON_S:.0f} s",
        f"{used:.0%}, {refused:.1%}, {latest:.1f} s",
        used >= ENOUGH and refused < FEW_REFUSALS and latest <= SOON_S,
        "the worst of each; 429s over all the time",
    )
    return Report((markdown_table(header, rows),), (target,))


async def measured(case: Case, seconds: float) -> list[Phase]:
    """The case with the whole of its capacity, then with half of it."""
    async with Stage() as stage:
        http = HttpClient()
        with local_server("tests.benchmarks.limited_endpoint") as endpoint:
            model = await stage.model(
                OpenAIModel,
                openai_base_url=f"{endpoint.url}/v1",
                openai_model="m",
                max_concurrent_requests=case.allowed,
                max_attempts=1000,
            )
            asking = [asyncio.create_task(_ask(http, model, number)) for number in range(CLIENTS)]
            phases = []
            for limits in (case.limits, replace(case.limits, capacity=case.limits.capacity // 2)):
                await http.request("PUT", f"{endpoint.url}/settings", json=asdict(limits))
                phases.append(phase(limits, await _samples(http, endpoint.url, seconds)))
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        await http.close()
    return phases


async def _ask(http: HttpClient, model: str, number: int) -> None:
    headers = {"x-ng-rollout-id": str(number), "content-type": "application/json"}
    while True:
        await http.request("POST", f"{model}/v1/responses", body=_QUESTION, headers=headers)


async def _samples(http: HttpClient, endpoint: str, seconds: float) -> list[tuple[float, Counts]]:
    """The endpoint's counts every now and then, with the time since the beginning."""
    began = time.monotonic()
    samples = []
    while not samples or samples[-1][0] < seconds:
        counts = Counts(**(await http.request("GET", f"{endpoint}/counts")).parse())
        samples.append((time.monotonic() - began, counts))
        await asyncio.sleep(SAMPLE_S)
    return samples


def phase(limits: Limits, samples: list[tuple[float, Counts]]) -> Phase:
    """What an endpoint's counts say."""
    steady = round(STEADY_S / SAMPLE_S)
    pairs = zip(samples, samples[steady:], strict=False)
    found = next((index for index, pair in enumerate(pairs) if _used(limits, *pair) >= ENOUGH), None)
    first, last = samples[found or 0], samples[-1]
    found_after_s = None if found is None else first[0]
    return Phase(found_after_s, _used(limits, first, last), _refused(first, last), _refused(samples[0], last))


def _used(limits: Limits, first: tuple[float, Counts], last: tuple[float, Counts]) -> float:
    seconds = last[0] - first[0]
    if limits.kind == "rated":
        return (last[1].answered - first[1].answered) / (seconds * limits.most_a_second)
    return (last[1].busy_s - first[1].busy_s) / (seconds * limits.capacity)


def _refused(first: tuple[float, Counts], last: tuple[float, Counts]) -> float:
    answered, refused = last[1].answered - first[1].answered, last[1].refused - first[1].refused
    return refused / max(1, answered + refused)


def _cells(phase: Phase) -> list[str]:
    found = "never" if phase.found_after_s is None else f"{phase.found_after_s:.1f}"
    return [found, f"{phase.used:.0%}", f"{phase.refused:.1%}"]


if __name__ == "__main__":
    main()
