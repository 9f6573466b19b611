"""Mistakes that show when a server starts: its own keys, its code, its requirements, its routes."""

from __future__ import annotations

from tests.mistakes.configuration import RUN_ALL, RUN_QUIZ
from tests.mistakes.mistake import Mistake
from tests.mistakes.project import APP, MODEL_YAML, QUIZ_YAML

PLACE = "resources_servers/quiz/app.py"
SETUP = """
    def setup_webserver(self):
        app = super().setup_webserver()
        {line}
        return app

    async def look(self, body: dict) -> dict:
        return body

    async def verify("""


def with_setup(line: str) -> str:
    """The server's code with one more line in its `setup_webserver()`."""
    return APP.replace("\n    async def verify(", SETUP.format(line=line))


def starting_with(line: str) -> str:
    """The server's code with a line after its docstring."""
    return APP.replace("\n\nfrom", f"\n\n{line}\nfrom", 1)


SERVERS = (
    Mistake(
        "a key of the server's own that is misspelt",
        RUN_QUIZ,
        files={"quiz.yaml": QUIZ_YAML.replace("case_sensitive", "case_sensitve")},
        says=("quiz.yaml: `quiz.resources_servers.quiz.case_sensitve`", "did you mean `case_sensitive`?"),
    ),
    Mistake(
        "a key of the server's own that is misspelt on the command line",
        RUN_QUIZ + " ++quiz.resources_servers.quiz.hint=3",
        says=("command line: `quiz.resources_servers.quiz.hint`", "did you mean `hints`?"),
    ),
    Mistake(
        "a value of the wrong type for a key of the server's own",
        RUN_QUIZ,
        files={"quiz.yaml": QUIZ_YAML + "      hints: many\n"},
        says=("quiz.yaml: `quiz.resources_servers.quiz.hints`", "integer"),
    ),
    Mistake(
        "wrong values for two servers at once",
        RUN_ALL,
        files={"quiz.yaml": QUIZ_YAML + "      hints: many\n", "model.yaml": MODEL_YAML + "      latency_s: -1\n"},
        says=("quiz.yaml: `quiz.resources_servers.quiz.hints`", "model.yaml: `policy_model.", "latency_s"),
    ),
    Mistake(
        "a policy function that is not there",
        RUN_ALL,
        files={"model.yaml": MODEL_YAML.replace(":yes", ":yess")},
        says=("policies.py", "yess"),
        exit_code=1,
    ),
    Mistake(
        "a module that is not installed",
        RUN_QUIZ,
        files={PLACE: starting_with("import nunpy")},
        says=(f"{PLACE}:3", "nunpy", "requirements.txt"),
        exit_code=1,
    ),
    Mistake(
        "a name that a module does not have",
        RUN_QUIZ,
        files={PLACE: APP.replace("    SimpleResourcesServer,", "    SimpleResourceServer,")},
        says=(f"{PLACE}:3", "SimpleResourceServer", "SimpleResourcesServer"),
        exit_code=1,
    ),
    Mistake(
        "code that is no Python",
        RUN_QUIZ,
        files={PLACE: APP.replace("hints: int = 0", "hints: int = = 0")},
        says=(f"{PLACE}:13", "SyntaxError"),
        exit_code=1,
    ),
    Mistake(
        "code that raises when it is loaded",
        RUN_QUIZ,
        files={PLACE: starting_with("SECRET = open('secret.txt').read()")},
        says=(f"{PLACE}:3", "secret.txt"),
        exit_code=1,
    ),
    Mistake(
        "code that raises when the server is made",
        RUN_QUIZ,
        files={PLACE: with_setup("self.table = {}['capitals']")},
        says=(f"{PLACE}:", "KeyError: 'capitals'"),
        exit_code=1,
    ),
    Mistake(
        "a server that is never run",
        RUN_QUIZ,
        files={PLACE: APP.partition("\n\nif __name__")[0]},
        says=("quiz", "run_webserver()"),
        exit_code=1,
    ),
    Mistake(
        "a tool with the name of a server route",
        RUN_QUIZ,
        files={PLACE: with_setup('app.post("/verify")(self.look)')},
        says=(PLACE, "/verify", "another name"),
        exit_code=1,
    ),
    Mistake(
        "a requirement that cannot be read",
        RUN_QUIZ,
        files={"resources_servers/quiz/requirements.txt": "nemo-gym\nnunpy =>= 2\n"},
        says=("resources_servers/quiz/requirements.txt", "nunpy =>= 2"),
        exit_code=1,
    ),
    Mistake(
        "a requirement that cannot be installed",
        RUN_QUIZ,
        files={"resources_servers/quiz/requirements.txt": "./no-such-package\n"},
        says=("resources_servers/quiz/requirements.txt", "no-such-package"),
        exit_code=1,
    ),
)
