"""Writes calendar conversations: a rule-based user adds, constrains, moves and cancels events, and chats in between.

    python resources_servers/calendar/prepare.py --num-rows 100 --seed 0 --output train.jsonl

Every request leaves a calendar that can be scheduled. The assistant's earlier answers are right ones; the last request
is left for the policy to answer.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_gym.prepare import run_prepare
from resources_servers.calendar.constraint import clock, parse_time, spoken
from resources_servers.calendar.scheduler import schedule
from resources_servers.calendar.task import ExpectedEvent

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"

WINDOWS = (("09:00", "17:00"), ("10:00", "16:00"), ("08:30", "14:30"), ("12:00", "19:00"))
DURATIONS_MIN = (30, 30, 45, 45, 60, 60, 75, 90)
SLOT_MIN = 15
MOST_EVENTS = 6
MOST_REQUESTS = 11

SYSTEM_PROMPT = """\
You keep the user's calendar for one day. It is empty when the conversation starts.

- Answer every message with the whole calendar as a JSON list, one object per event: "event_id" (integer), \
"event_name" (text), "start_time" (24-hour "HH:MM") and "duration" (minutes). A short sentence may come before it.
- Events never overlap, and each lies between {min_time} and {max_time}.
- A wish about an event's time holds until the user replaces or lifts it. "before 11am" means that the event is over \
by then, "after 2pm" that it starts then or later, "between 1pm and 3pm" both, "at 9:30am" that it starts exactly then.
- Move other events when you have to, as long as their own wishes are kept. Do not ask back.
- Take a cancelled event off the list. To small talk, reply briefly and list the calendar unchanged.

An example of a list: [{{"event_id": 0, "event_name": "Lunch", "start_time": "12:00", "duration": 45}}]"""

EVENTS = (
    "Budget review",
    "Call with the landlord",
    "Choir rehearsal",
    "Code walkthrough: parser rewrite",
    "Dentist",
    "Design critique",
    "Garden planning with Noor",
    "Grant application: second draft",
    "Interview: lab technician",
    "Inventory of the seed bank",
    "Lesson: introduction to fractions",
    "Lunch with Amara",
    "Museum tour for the interns",
    "Onboarding of two apprentices",
    "Parent-teacher talk",
    "Physiotherapy",
    "Podcast recording",
    "Quarterly numbers with Jonas",
    "Route planning for the food truck",
    "Safety drill",
    "Stand-up of the night shift",
    "Translation check: chapter 4",
    "Vaccination of the goats",
    "Workshop on soldering",
)
ADD = (
    'Please put "{name}" on my calendar, {duration} minutes (event id: {id}).',
    'New event: "{name}", it takes {duration} minutes. Its event id is {id}.',
    'I also need {duration} minutes for "{name}" (event id: {id}).',
    'Could you find {duration} minutes for "{name}"? Use event id {id}.',
)
CONSTRAIN = {
    "before": ("Event {id} has to be over {text}.", 'Please have "{name}" (event id: {id}) done {text}.'),
    "after": ("Event {id} can only start {text}.", 'For "{name}" (event id: {id}), any time {text} is fine.'),
    "between": ("Event {id} must take place {text}.", '"{name}" (event id: {id}) belongs {text}, please.'),
    "at": ("Event {id} starts {text} sharp.", '"{name}" (event id: {id}) has been set: it starts {text}.'),
}
MOVE = {
    "before": ("Change of plans: event {id} now has to end {text}; forget what I said about its time before.",),
    "after": ('Could you move "{name}" (event id: {id})? It should start {text} instead.',),
    "between": ("Please move event {id}: it goes {text} now, whatever we had agreed on.",),
    "at": ('"{name}" (event id: {id}) was moved, it starts {text} now.',),
}
LIFT = ("Event {id} may be at any time after all.", 'No wishes about the time of "{name}" (event id: {id}) any more.')
CANCEL = ("Please cancel event {id}.", '"{name}" (event id: {id}) is off, take it out.')
SMALL_TALK = (
    ("Thanks, that looks good! I hope the rain stops before I leave.", "I hope so too."),
    ("My sister says I plan too much. What do you think?", "A plan leaves more room for the rest of the day."),
    ("By the way, which planet has the most moons?", "Saturn, as far as is known today."),
    ("I slept badly. Coffee or tea?", "Tea, perhaps, and a short walk."),
    ("You are quick today.", "Thank you."),
    ("Is seven a prime number?", "Yes, it is."),
)


@dataclass
class Conversation:
    """One day being planned: the events wanted so far, and what was said."""

    rng: random.Random
    min_time: str
    max_time: str
    events: dict[str, ExpectedEvent] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """Names not used yet."""
    next_id: int = 0

    def add(self) -> str | None:
        if len(self.events) == MOST_EVENTS:
            return None
        event = ExpectedEvent(
            event_id=self.next_id,
            event_name=self.names[-1],
            duration=self.rng.choice(DURATIONS_MIN),
            min_time=self.min_time,
            max_time=self.max_time,
        )
        if not self._accept(self.events | {str(self.next_id): event}):
            return None
        self.names.pop()
        self.next_id += 1
        return self._say(ADD, event, duration=event.duration)

    def constrain(self) -> str | None:
        return self._set_constraint([event for event in self.events.values() if event.constraint is None], CONSTRAIN)

    def move(self) -> str | None:
        return self._set_constraint([event for event in self.events.values() if event.constraint is not None], MOVE)

    def lift(self) -> str | None:
        bound = [event for event in self.events.values() if event.constraint is not None]
        if not bound:
            return None
        event = self.rng.choice(bound)
        self.events[str(event.event_id)] = event.model_copy(update={"constraint": None})
        return self._say(LIFT, event)

    def cancel(self) -> str | None:
        if not self.events:
            return None
        event = self.events.pop(self.rng.choice(list(self.events)))
        return self._say(CANCEL, event)

    def answer(self, remark: str = "") -> str:
        """A right calendar, in the order in which the events were asked for."""
        starts = schedule(self.events)
        assert starts is not None  # no request is made that cannot be met
        calendar = [
            {
                "event_id": int(event_id),
                "event_name": self.events[event_id].event_name,
                "start_time": clock(start),
                "duration": self.events[event_id].duration,
            }
            for event_id, start in starts.items()
        ]
        return f"{remark} {json.dumps(calendar)}".strip()

    def state(self) -> dict[str, dict[str, Any]]:
        """The events wanted so far, as the row gives them to the verifier."""
        return {event_id: event.model_dump(exclude={"start_time"}) for event_id, event in self.events.items()}

    def _set_constraint(self, candidates: list[ExpectedEvent], phrases: dict[str, tuple[str, ...]]) -> str | None:
        if not candidates:
            return None
        event, kind = self.rng.choice(candidates), self.rng.choice(list(phrases))
        text = self._constraint_text(kind, event.duration)
        changed = event.model_copy(update={"constraint": text})
        if text == event.constraint or not self._accept(self.events | {str(event.event_id): changed}):
            return None
        return self._say(phrases[kind], event, text=text)

    def _constraint_text(self, kind: str, duration: int) -> str:
        first, last = parse_time(self.min_time), parse_time(self.max_time) - duration
        start = self.rng.randrange(first, last + 1, SLOT_MIN)
        if kind == "before":
            return f"before {spoken(start + duration)}"
        if kind == "between":
            slack = self.rng.choice((0, 30, 60, 90, 120))
            return f"between {spoken(start)} and {spoken(min(start + duration + slack, parse_time(self.max_time)))}"
        return f"{kind} {spoken(start)}"

    def _accept(self, events: dict[str, ExpectedEvent]) -> bool:
        possible = schedule(events) is not None
        if possible:
            self.events = events
        return possible

    def _say(self, phrases: tuple[str, ...], event: ExpectedEvent, **words: object) -> str:
        return self.rng.choice(phrases).format(id=event.event_id, name=event.event_name, **words)


def make_row(rng: random.Random, index: int) -> dict[str, Any]:
    """One conversation, up to the request that the policy has to answer."""
    min_time, max_time = rng.choice(WINDOWS)
    names = rng.sample(EVENTS, k=len(EVENTS))
    talk = Conversation(rng, min_time, max_time, names=names)
    messages = [{"role": "system", "content": SYSTEM_PROMPT.format(min_time=min_time, max_time=max_time)}]
    num_requests = rng.randint(3, MOST_REQUESTS)
    for number in range(num_requests):
        request, remark = next_request(talk)
        messages.append({"role": "user", "content": request})
        if number < num_requests - 1:
            messages.append({"role": "assistant", "content": talk.answer(remark)})
    return {
        "id": f"calendar-{index}",
        "responses_create_params": {"input": messages},
        "exp_cal_state": talk.state(),
    }


def next_request(talk: Conversation) -> tuple[str, str]:
    """What the user says next, and what the assistant says before it lists the calendar."""
    actions = {talk.add: 6, talk.constrain: 9, talk.move: 3, talk.lift: 1, talk.cancel: 1}
    while talk.next_id and talk.rng.random() < 0.9:
        request = talk.rng.choices(list(actions), weights=list(actions.values()))[0]()
        if request is not None:
            return request, ""
    if not talk.next_id:
        request = talk.add()
        assert request is not None  # an empty day has room
        return request, ""
    return talk.rng.choice(SMALL_TALK)


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))
