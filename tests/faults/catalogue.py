"""Every fault that rollouts may meet: endpoints, tools, verifiers."""

from __future__ import annotations

from nemo_gym.schemas.rollout import FailureClass
from tests.faults.case import Fault
from tests.faults.gym import MODEL_ATTEMPTS, MODEL_TIMEOUT_S, TOOL_TIMEOUT_S, VERIFY_TIMEOUT_S

MODEL_ERROR, MODEL_TIMEOUT = FailureClass.MODEL_ERROR, FailureClass.MODEL_TIMEOUT
VERIFY_ERROR, TOOL_ERROR = FailureClass.VERIFY_ERROR, FailureClass.TOOL_ERROR
MODEL_CALL_S = MODEL_TIMEOUT_S + 1.0
"""The agent's own deadline, which bounds a model call that was refused and is sent again."""


def model(
    name: str,
    fault: str,
    fails_as: FailureClass | None,
    *says: str,
    most_calls: int = 1,
    agent: str = "faulty_agent",
) -> Fault:
    within_s = MODEL_TIMEOUT_S if agent == "faulty_agent" else MODEL_CALL_S
    return Fault(name, fails_as, within_s, says, fault=fault, agent=agent, most_calls=most_calls)


CONNECTIONS = (
    Fault("connection refused", MODEL_ERROR, MODEL_TIMEOUT_S, ("connection refused",), agent="refused_agent"),
    Fault("unknown host", MODEL_ERROR, MODEL_TIMEOUT_S, ("no-such-host.invalid",), agent="unknown_agent"),
    Fault("no answer to a connection", MODEL_TIMEOUT, MODEL_TIMEOUT_S, ("no connection within",), agent="lost_agent"),
    model("no answer to a request", "silence", MODEL_TIMEOUT, "no complete answer within"),
    model("an answer that drips", "drip", MODEL_TIMEOUT, "no complete answer within"),
    model("connection reset", "reset", MODEL_ERROR, "the connection broke"),
    model("reset within the body", "reset_mid_body", MODEL_ERROR, "the connection broke"),
    model("closed within the body", "closed_mid_body", MODEL_ERROR, "closed before the answer was complete"),
    model("no HTTP", "no_http", MODEL_ERROR, "no HTTP"),
)

REFUSALS = (
    model("429, then an answer", "refuses_429_burst", None, most_calls=3, agent="refusing_agent"),
    model(
        "429 with Retry-After, then an answer", "refuses_429_burst_politely", None, most_calls=2, agent="refusing_agent"
    ),
    model("429 with Retry-After of an hour", "refuses_429_for_an_hour", MODEL_ERROR, "HTTP 429", agent="pausing_agent"),
    model("429 for ever", "refuses_429", MODEL_ERROR, "HTTP 429", most_calls=MODEL_ATTEMPTS, agent="refusing_agent"),
    model("503, then an answer", "refuses_503_burst", None, most_calls=3, agent="refusing_agent"),
    model("503 for ever", "refuses_503", MODEL_ERROR, "HTTP 503", most_calls=MODEL_ATTEMPTS, agent="refusing_agent"),
    model("500, then an answer", "refuses_500_burst", MODEL_ERROR, "HTTP 500"),
    model("500 for ever", "refuses_500", MODEL_ERROR, "HTTP 500"),
    model("502, then an answer", "refuses_502_burst", MODEL_ERROR, "HTTP 502"),
    model("502 for ever", "refuses_502", MODEL_ERROR, "HTTP 502"),
)

BODIES = (
    model("truncated JSON", "truncated_json", MODEL_ERROR, "no JSON"),
    model("HTML for JSON", "html", MODEL_ERROR, "no JSON"),
    model("JSON, but no object", "no_object", MODEL_ERROR),
    model("wrong types", "wrong_types", MODEL_ERROR, "output"),
    model("an unknown item", "wrong_items", MODEL_ERROR, "masage"),
    model("bytes that are no text", "no_utf8", MODEL_ERROR, "no JSON"),
    model("headers of 20 MB", "huge_headers", MODEL_ERROR, "more than"),
    model("a body of 200 MB", "huge_body", MODEL_ERROR, "more than"),
    model("a body without end", "endless_body", MODEL_ERROR, "more than"),
)

TOOLS = (
    Fault("a tool that raises", None, TOOL_TIMEOUT_S, fault="calls_raise", most_calls=2),
    Fault("a tool that answers binary", None, TOOL_TIMEOUT_S, fault="calls_binary", most_calls=2),
    Fault("a tool that hangs", TOOL_ERROR, TOOL_TIMEOUT_S, ("within 3 s",), fault="calls_hang", most_calls=1),
    Fault("a tool that answers 100 MB", TOOL_ERROR, TOOL_TIMEOUT_S, ("more than",), fault="calls_huge", most_calls=1),
)

VERIFIERS = (
    Fault("a verifier that raises", VERIFY_ERROR, VERIFY_TIMEOUT_S, ("KeyError: 'grade'",), verifier="raises"),
    Fault("a reward that is no number", VERIFY_ERROR, VERIFY_TIMEOUT_S, ("finite number",), verifier="nan"),
    Fault("a verifier that hangs", VERIFY_ERROR, VERIFY_TIMEOUT_S, ("within 8 s",), verifier="hangs"),
    Fault("a verifier that loops", VERIFY_ERROR, VERIFY_TIMEOUT_S, ("took longer than 1 s",), verifier="loops"),
    Fault("a verifier that forks", VERIFY_ERROR, VERIFY_TIMEOUT_S, ("took longer than 1 s",), verifier="forks"),
    Fault("a verifier that eats memory", VERIFY_ERROR, VERIFY_TIMEOUT_S, ("more memory than",), verifier="eats"),
)

FAULTS = (*CONNECTIONS, *REFUSALS, *BODIES, *TOOLS, *VERIFIERS)
