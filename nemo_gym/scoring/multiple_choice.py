"""Multiple choice: the letter that an answer names."""

from __future__ import annotations

import re

from nemo_gym.parsers.boxed import last_boxed

_ANSWER_IS = r"\banswer\b(?: is)?[ ]?[:=]?[ ]?(?:(?:option|choice) )?"
_MARKUP = r"[*_(\[]{0,4}"
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\{(.*)\}", re.DOTALL)


def chosen_letter(text: str, letters: str = "ABCD") -> str | None:
    """The letter of `letters` that the text chooses, as it stands in `letters`; None if it chooses none.

    Looked for in this order: the last `\\boxed{B}`; the last "answer is B", "Answer: (B)", "answer is option B"; a text
    that is the letter alone, in brackets, with emphasis or a point (`(B).`), or that begins so (`B) Paris`).
    A letter in the midst of a sentence is no choice.
    """
    one = f"([{re.escape(letters)}])"
    box = last_boxed(text)
    if box is not None:
        inner = _TEXT_COMMAND.fullmatch(box.strip())
        letter = re.fullmatch(
            rf"{_MARKUP}{one}[*_)\].]{{0,4}}", (inner.group(1) if inner else box).strip(), re.IGNORECASE
        )
        return _as_listed(letter, letters)
    named = list(re.finditer(rf"(?i:{_ANSWER_IS}){_MARKUP}{one}(?!\w)", text))
    if named:
        return _as_listed(named[-1], letters)
    alone = re.compile(rf"{_MARKUP}{one}(?:[*_)\].:]{{0,4}}$|[*_]{{0,2}}[)\].:])", re.IGNORECASE)
    return _as_listed(alone.match(text.strip()), letters)


def _as_listed(match: re.Match[str] | None, letters: str) -> str | None:
    if match is None:
        return None
    letter = match.group(1)
    return next((one for one in letters if one.lower() == letter.lower()), None)
