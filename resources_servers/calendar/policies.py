"""Reference policies for calendar: `oracle` earns full reward, `random` guesses, `malformed` answers garbage."""

from __future__ import annotations

import json
from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning
from resources_servers.calendar.constraint import clock
from resources_servers.calendar.scheduler import schedule
from resources_servers.calendar.task import CalendarTask

GARBAGE = (
    "",
    "   \n",
    "No.",
    "[" * 20_000,
    '[{"event_id": ' * 2_000,
    '[{"event_id": 0, "event_name": "x", "start_time": "10:00", "duration": 60},' * 500,
    '[{"event_id": [], "event_name": 7, "start_time": null, "duration": "an hour"}]',
    '[{"event_id": 0, "start_time": "25:99", "duration": 1e999}, null, 3]',
    '[{"event_id": ' + "9" * 5_000 + "}]",
    '[{"event_id": 0, "start_time": "10:00", "duration": NaN}]',
    "<think>Half past ten is free, so [] it is.",
    '{"0": {"start_time": "10:00"}}',
    "📅 \u0000 \u202e",
)


def oracle(turn: PolicyTurn) -> str:
    """The calendar that the row expects, found by search."""
    task = _task(turn)
    starts = schedule(task.final_state)
    if starts is None:
        return "That cannot be scheduled."
    return _calendar(task, starts)


def guess(turn: PolicyTurn) -> str:
    """The right events, each at some quarter of an hour within its window."""
    task = _task(turn)
    starts = {
        event_id: turn.rng.randrange(event.min_minute, max(event.max_minute - event.duration, event.min_minute) + 1, 15)
        for event_id, event in task.final_state.items()
    }
    return _calendar(task, starts)


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """One of many answers that are none: garbage text, a tool that does not exist, reasoning only."""
    if turn.step > 0:
        return turn.rng.choice(GARBAGE)
    others = (
        [function_call("verify", {"reward": 1.0})],
        [function_call("no_such_tool", "{broken")],
        [reasoning("Hm.")],
    )
    return turn.rng.choice((*GARBAGE, *others))


def _task(turn: PolicyTurn) -> CalendarTask:
    return CalendarTask.model_validate(turn.row or {"exp_cal_state": {}})


def _calendar(task: CalendarTask, starts: dict[str, int]) -> str:
    return json.dumps(
        [
            {
                "event_id": int(event_id) if event_id.isdecimal() else event_id,
                "event_name": task.final_state[event_id].event_name or f"event {event_id}",
                "start_time": clock(start),
                "duration": task.final_state[event_id].duration,
            }
            for event_id, start in starts.items()
        ]
    )


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
