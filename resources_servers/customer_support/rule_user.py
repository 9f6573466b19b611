"""RuleUser: a customer who follows rules: answers what it is asked for, agrees to proposals, ends when settled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nemo_gym.environments.users import UserReply
from resources_servers.customer_support.shop import letters

PATIENCE = 4
"""Messages that lead nowhere which the customer puts up with."""
MOST_HEARD_CHARS = 20_000

ORDER_NUMBER, EMAIL, NEW_ADDRESS = "order number", "e-mail address", "new address"
"""Names of facts that the customer can be asked for."""
_TOPICS = {
    ORDER_NUMBER: re.compile(r"\border(?:'s)?\s?(?:id|number|no\b|#)|\bnumber of (?:the|your) order"),
    EMAIL: re.compile(r"\be-?mail"),
    NEW_ADDRESS: re.compile(r"(?<!mail )\baddress"),
}
_LIST_ITEM = re.compile(r"\n{1,2}[ \t]{0,8}(?:[-*\u2022]|[0-9]{1,2}[.)])[ \t]")
"""Joined to the sentence before it: "please send me:", then a list."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")
_ASKING = re.compile(
    r"\?|\b(?:please|could you|can you|tell me|give me|send me|provide|share|let me know|confirm|need|what is)\b"
)
_OFFER = re.compile(r"\b(?:shall|should) i\b|\b(?:do you want|would you like) me\b")
_CONFIRMATION = re.compile(
    r"\b(?:go ahead|proceed|confirm|agree|can i|may i|is (?:that|this) (?:ok|okay|right|correct|fine))\b|"
    r"\b(?:okay|ok|all right|correct)\?"
)
_STATED_OFFER = re.compile(
    r"\bi(?: can| could| will|'ll| am able to) (?:now )?(?:refund|cancel|change|update|process)\b"
)
_ANYTHING_ELSE = re.compile(r"\b(?:anything|something) (?:else|more)\b")
_REFERENCE = re.compile(r"\br-[0-9a-f]{8}\b")
_OUTCOME = re.compile(
    r"\b(?:cannot|can't|can not|unable|not able|not possible|not eligible|not allow|no longer|no exceptions?|outside|"
    r"too late|last day|has passed|expired|arrives?|arriving|expected|on its way|in transit)\b"
)
_WAITING = re.compile(r"\b(?:moment|bear with|hold on|let me (?:check|look|see|verify|pull|find|process|get))\b")
_DAY = re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b")


class RuleUser:
    """Understands questions for its facts, proposals, outcomes, and requests to wait. English only; no model is needed.

    It agrees to any proposal: whether that was the right one is seen from the state of the shop.
    """

    def __init__(self, opening: str, facts: Mapping[str, str], insists: Sequence[str] = ()) -> None:
        """`opening`: what it has said first. `facts`: by the names above. `insists`: what it says to an outcome before
        it takes it.
        """
        self._opening, self._facts, self._insists = opening, dict(facts), list(insists)
        self._told: set[str] = set()
        self._agreed = False
        self._patience = PATIENCE

    async def reply(self, said: str) -> UserReply:
        return self.answer(said)

    def answer(self, said: str) -> UserReply:
        """The reply, which depends on nothing but what was said so far."""
        heard = _LIST_ITEM.sub(", ", said[:MOST_HEARD_CHARS].casefold().replace("\u2019", "'"))
        if _REFERENCE.search(heard):
            return self._take_outcome()
        sentences = _SENTENCE_END.split(heard)
        asked = self._asked_in(sentences, letters(heard))
        if asked:
            return self._tell(asked)
        if any(_is_proposal(one) for one in sentences):
            agreed, self._agreed = self._agreed, True
            return self._impatient("Yes, please go ahead.") if agreed else UserReply("Yes, please go ahead.")
        if _OUTCOME.search(heard):
            return self._take_outcome()
        if _WAITING.search(heard):
            return self._impatient("I will wait.")
        if _DAY.search(heard):
            return self._take_outcome()
        return self._impatient(f"As I wrote: {self._opening}")

    def _take_outcome(self) -> UserReply:
        if self._insists:
            return UserReply(self._insists.pop(0))
        return UserReply("All right. Thank you, that is all.", done=True)

    def _asked_in(self, sentences: Sequence[str], heard: str) -> list[str]:
        """Facts that are asked for: some sentence names them, and the message does not hold them."""
        asking = [one for one in sentences if _ASKING.search(one) and not _OFFER.search(one)]
        named = [name for name, topic in _TOPICS.items() if any(topic.search(one) for one in asking)]
        return [name for name in named if name not in self._facts or letters(self._facts[name]) not in heard]

    def _tell(self, asked: Sequence[str]) -> UserReply:
        answers = [
            f"My {name} is {self._facts[name]}." if name in self._facts else f"I have no {name} to tell you."
            for name in asked
        ]
        new = set(asked) - self._told
        self._told |= new
        return UserReply(" ".join(answers)) if new else self._impatient(" ".join(answers))

    def _impatient(self, text: str) -> UserReply:
        if self._patience == 0:
            return UserReply("This leads nowhere. Goodbye.", done=True)
        self._patience -= 1
        return UserReply(text)


def _is_proposal(sentence: str) -> bool:
    """Whether a sentence asks for a yes."""
    if _ANYTHING_ELSE.search(sentence):
        return False
    if _OFFER.search(sentence) or _STATED_OFFER.search(sentence):
        return True
    return _CONFIRMATION.search(sentence) is not None and ("?" in sentence or "please" in sentence)
