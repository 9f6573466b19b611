"""What a judge's text says: one of several verdicts, or a grade. To be given to `call_judge` as `parse`.

Each raises `ValueError` where the text says nothing of the kind, in words for the judge: `call_judge` shows them to it
and asks again, and raises `JudgeError` when that does not help.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from nemo_gym.parsers.json_text import last_json_object
from nemo_gym.parsers.numbers import parse_number
from nemo_gym.parsers.tags import last_tag

Value = TypeVar("Value")


def labelled_verdict(verdicts: Mapping[str, Value]) -> Callable[[str], Value]:
    """Reads labels such as `[[CORRECT]]` in a judge's text; the last one counts.

    `labelled_verdict({"[[CORRECT]]": 1.0, "[[WRONG]]": 0.0})` gives a function from text to 1.0 or 0.0. Labels are
    looked for as they are written; choose such as do not occur in a sentence.
    """
    for label in verdicts:
        if any(label in other for other in verdicts if other != label):
            raise ValueError(f"the label {label!r} stands within another one, so that texts would be misread")

    def read(text: str) -> Value:
        places = {text.rfind(label): label for label in verdicts}
        last = max(places)
        if last < 0:
            raise ValueError(f"none of {', '.join(verdicts)} is in it")
        return verdicts[places[last]]

    return read


def numeric_grade(lowest: float, highest: float, *, key: str = "score") -> Callable[[str], float]:
    """Reads a grade from `lowest` to `highest` in a judge's text and scales it to 0.0 to 1.0.

    Where it is looked for: in the last `<score>…</score>`, else at `"score"` of the last JSON object, else after the
    last `score:` or `Score =`; with another `key`, under that name. `8/10` is a grade of 8 where `highest` is 10.
    """
    mark = "[\"'*_]{0,4}"
    number_after_name = rf"\b{re.escape(key)}\b{mark} ?[:=] ?{mark} ?([-+]?[0-9]+(?:\.[0-9]+)?(?: ?/ ?[0-9]+)?)"
    after_name = re.compile(number_after_name, re.IGNORECASE)

    def read(text: str) -> float:
        written = last_tag(text, key)
        if written is None:
            found = (last_json_object(text) or {}).get(key)
            written = str(found) if isinstance(found, int | float | str) and not isinstance(found, bool) else None
        if written is None:
            named = after_name.findall(text)
            written = named[-1] if named else None
        if written is None:
            raise ValueError(f"no grade is in it; write <{key}>GRADE</{key}>")
        grade, slash, scale = written.partition("/")
        number = parse_number(grade) if not slash or scale.strip() == f"{highest:g}" else None
        if number is None or not lowest <= number <= highest:
            raise ValueError(f"{written.strip()[:40]!r} is no number from {lowest:g} to {highest:g}")
        return (float(number) - lowest) / (highest - lowest)

    return read
