"""Reward strategies: what the turns of one conversation are worth together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from resources_servers.calendar.task import CalendarTask, ExpectedState
from resources_servers.calendar.verifier import Grade, Verdict, grade_answer


class Strategy(StrEnum):
    """How turns become one reward in [0, 1]."""

    FINAL_STATE = "final_state"
    """1.0 when the last calendar is right, else 0.0."""
    PER_TURN = "per_turn"
    """The share of the turns whose calendar is right."""
    CUMULATIVE = "cumulative"
    """As per_turn, but the n-th turn weighs n times as much as the first."""
    CONSTRAINT_BASED = "constraint_based"
    """The share of the requirements that the last calendar keeps: one per constraint, and four general ones."""


@dataclass(frozen=True)
class Score:
    """The reward and what it is made of."""

    reward: float
    components: dict[str, float]
    """They sum to the reward."""
    grade: Grade
    """Of the last turn."""


_GENERAL = {
    "all_events": {Verdict.WRONG_EVENTS, Verdict.WRONG_NAME},
    "no_overlap": {Verdict.OVERLAP},
    "durations": {Verdict.WRONG_DURATION},
    "window": {Verdict.OUTSIDE_WINDOW},
}


def score(task: CalendarTask, history: Sequence[str], answers: Sequence[str], strategy: Strategy) -> Score:
    """Score the assistant's texts, one a turn.

    `history` are turns that the row brought along: they are counted when turns are matched with
    `turn_exp_cal_states`, and earn nothing. `answers` are the turns to score, the last of which must end in the task's
    final state. Turns that the task expects and that never came count as wrong.
    """
    grade = grade_answer(answers[-1] if answers else None, task.final_state, compare_names=task.compares_names)
    if strategy is Strategy.FINAL_STATE:
        return Score(float(grade.correct), {"final_state": float(grade.correct)}, grade)
    if strategy is Strategy.CONSTRAINT_BASED:
        kept = requirements(grade, task.final_state)
        parts = {name: float(holds) / len(kept) for name, holds in kept.items()}
        return Score(sum(kept.values()) / len(kept), parts, grade)
    right = [g.correct for g in _earlier_turns(task, len(history), answers[:-1])]
    planned = len(task.turn_exp_cal_states or ()) - len(history)
    right += [False] * (planned - len(right) - 1)
    right.append(grade.correct)
    weights = [1 + index if strategy is Strategy.CUMULATIVE else 1 for index in range(len(right))]
    parts = {f"turn_{index}": right[index] * weights[index] / sum(weights) for index in range(len(right))}
    return Score(sum(r * w for r, w in zip(right, weights, strict=True)) / sum(weights), parts, grade)


def requirements(grade: Grade, expected: ExpectedState) -> dict[str, bool]:
    """Which requirements a calendar keeps: the general ones, and `constraint_<event id>` for each constraint.

    What is not listed keeps nothing, so that an empty calendar earns nothing for having no overlaps.
    """
    verdicts = {mistake.verdict for mistake in grade.mistakes}
    complete = grade.listed == expected.keys() and Verdict.NO_ANSWER not in verdicts
    complete = complete and not verdicts & {Verdict.THINKING_LEFT, Verdict.NO_CALENDAR}
    general = {name: complete and not verdicts & broken for name, broken in _GENERAL.items()}
    if not expected:
        return {"all_events": general["all_events"]}
    broken_ids = {m.event_id for m in grade.mistakes if m.verdict is Verdict.CONSTRAINT_BROKEN}
    constrained = [event_id for event_id, event in expected.items() if event.parsed_constraint() is not None]
    return general | {f"constraint_{i}": i in grade.listed and i not in broken_ids for i in constrained}


def _earlier_turns(task: CalendarTask, num_history: int, answers: Sequence[str]) -> list[Grade]:
    """Grades of the turns before the last, each against its own expected calendar where the row has one."""
    states = task.turn_exp_cal_states
    if states is None:
        names = task.compares_names
        return [grade_answer(text, task.final_state, compare_names=names, partial=True) for text in answers]
    expected = states[num_history:] + [task.final_state] * len(answers)
    return [grade_answer(text, state) for text, state in zip(answers, expected, strict=False)]
