"""JsonRoute serves the ordinary handlers itself and leaves the others to FastAPI; the API's description is complete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Cookie, Depends, FastAPI, Response
from pydantic import BaseModel
from starlette.requests import Request
from starlette.testclient import TestClient

from nemo_gym.serving.json_route import JsonRoute, json_body


class Question(BaseModel):
    text: str


class Answer(BaseModel):
    text: str


async def by_model(body: Question) -> Answer:
    return Answer(text=body.text.upper())


async def by_model_with_request(request: Request, body: Question = Body()) -> dict[str, Any]:
    return {"as_it_came": json_body(request), "text": body.text}


async def by_dict(body: dict[str, Any]) -> list[str]:
    return sorted(body)


async def by_nothing() -> None:
    return None


async def by_response() -> Response:
    return Response("plain", status_code=418)


def by_plain_function(body: Question) -> Answer:
    return Answer(text=body.text)


async def by_parts(a: Annotated[int, Body()], b: Annotated[int, Body()]) -> int:
    return a + b


async def by_query(body: Question, times: int = 1) -> str:
    return body.text * times


async def by_cookie(body: Question, name: Annotated[str, Cookie()] = "nobody") -> str:
    return name


async def by_dependency(extra: Annotated[str, Depends(lambda: "injected")]) -> str:
    return extra


async def by_optional(body: Question | None = None) -> bool:
    return body is None


HANDLERS = [
    *(by_model, by_model_with_request, by_dict, by_nothing, by_response, by_plain_function),
    *(by_parts, by_query, by_cookie, by_dependency, by_optional),
]


def make_client() -> TestClient:
    app = FastAPI()
    app.router.route_class = JsonRoute
    for handler in HANDLERS:
        app.post(f"/{handler.__name__}")(handler)
    app.post("/created", status_code=201)(by_model)
    return TestClient(app)


def test_ordinary_handlers_answer() -> None:
    client = make_client()
    question = {"text": "hi", "more": 1}
    assert client.post("/by_model", json=question).json() == {"text": "HI"}
    assert client.post("/by_model_with_request", json=question).json() == {"as_it_came": question, "text": "hi"}
    assert client.post("/by_dict", json={"b": 1, "a": 2}).json() == ["a", "b"]
    assert client.post("/by_nothing").json() is None
    assert (client.post("/by_response").status_code, client.post("/created", json=question).status_code) == (418, 201)


def test_other_handlers_work_as_fastapi_has_it() -> None:
    client = make_client()
    question = {"text": "hi"}
    assert client.post("/by_plain_function", json=question).json() == question
    assert client.post("/by_parts", json={"a": 1, "b": 2}).json() == 3
    assert client.post("/by_query?times=2", json=question).json() == "hihi"
    client.cookies.set("name", "ada")
    assert client.post("/by_cookie", json=question).json() == "ada"
    assert client.post("/by_dependency").json() == "injected"
    assert client.post("/by_optional").json() is True


def test_mistakes_have_the_place_that_fastapi_gives_them() -> None:
    client = make_client()
    [served_here] = client.post("/by_model", json={}).json()["detail"]
    [served_by_fastapi] = client.post("/by_query", json={}).json()["detail"]
    assert served_here["loc"] == served_by_fastapi["loc"] == ["body", "text"]
    assert client.post("/by_model", content=b"{").status_code == 422


def test_the_description_names_every_body() -> None:
    paths = make_client().get("/openapi.json").json()["paths"]
    body = paths["/by_model"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Question"}
    assert len(paths) == len(HANDLERS) + 1
