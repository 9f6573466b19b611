"""Every route takes what its own OpenAPI description allows, and what it does not: in time, and never with 5xx."""

from __future__ import annotations

import json

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis.errors import Unsatisfiable

from tests.fuzz.fuzzed_server import COMPONENTS, FuzzedServer, fuzzed

SLOWER = 10
"""Making such a case takes so much longer than making others, and there are two kinds of them for each route."""

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.UnsupportedFieldAttributeWarning")


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_route_answers_what_its_description_allows_and_what_it_does_not(name: str, cases: settings) -> None:
    with fuzzed(name) as server:
        for found in schemathesis.openapi.from_dict(server.openapi).get_all_operations():
            operation = found.ok()
            for mode in schemathesis.GenerationMode:
                try:
                    ask_all(server, operation, mode, cases)
                except Unsatisfiable:  # a route without parameters cannot be called wrongly
                    continue


def ask_all(
    server: FuzzedServer, operation: schemathesis.APIOperation, mode: schemathesis.GenerationMode, cases: settings
) -> None:
    """Calls of one route, by its description (`POSITIVE`) or against it (`NEGATIVE`)."""

    @settings(cases, max_examples=max(1, cases.max_examples // SLOWER))
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        if isinstance(case.body, bytes):
            body = case.body
        else:
            body = b"" if case.body is schemathesis.core.NOT_SET else json.dumps(case.body).encode()
        server.ask_sensibly(case.method, case.formatted_path, body, {})

    ask()
