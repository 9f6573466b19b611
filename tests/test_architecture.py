"""The house as a test: the floors in reading order, no cycles, no side effects of importing, components apart."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = [
    "errors",
    "parsers",
    "scoring",
    "schemas",
    "config",
    "config_types",
    "sandbox",
    "metrics",
    "reward_profile",
    "serving",
    "server_utils",
    "openai_client",
    "openai_utils",
    "base_resources_server",
    "base_responses_api_model",
    "base_responses_api_agent",
    "converters",
    "ledger",
    "upstream",
    "judge",
    "prompt",
    "prepare",
    "reference_policies",
    "environments",
    "agent_loop",
    "testclient",
    "env_checker",
    "rollouts",
    "rollout_collection",
    "datasets",
    "scaffold",
    "launch",
    "global_config",
    "training",
    "cli",
    "entry",
]
"""Rooms of `nemo_gym/` from top to bottom, which is also the order to read them in: each imports only from above."""

COMPONENT_KINDS = ["resources_servers", "responses_api_models", "responses_api_agents"]

HEAVY = ["ray", "torch", "pandas", "transformers", "vllm", "trl", "datasets", "wandb", "numpy"]
ARRAYS = "training"
"""The one room that computes on arrays and so may import NumPy. No server and no command needs that room, so that
everything else works, and starts as fast, without NumPy installed."""
TRAINERS_OWN = ("nemo_gym.training.trl", "nemo_gym.training.demo")
"""What extends a trainer's own classes, and so is imported only where that trainer is installed, by nobody else."""
HEAVY_FOR_SERVERS = [*HEAVY, "openai", "aiohttp", "uvicorn", "hydra", "omegaconf", "rich", "httpx", "watchfiles", "mcp"]


def modules_of(folder: Path) -> dict[str, Path]:
    """Dotted module name → file."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever the import stands: in functions and under TYPE_CHECKING too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


CORE = modules_of(ROOT / "nemo_gym")
COMPONENTS = [
    folder
    for kind in COMPONENT_KINDS
    for folder in sorted((ROOT / kind).iterdir())
    if folder.is_dir() and (folder / "app.py").exists()
]


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_its_floor() -> None:
    rooms = {room_of(module) for module in CORE} - {""}
    assert rooms == set(FLOORS), "a new room needs its place in FLOORS; a gone one leaves it"


@pytest.mark.parametrize("module", sorted(CORE))
def test_a_module_imports_only_from_floors_above(module: str) -> None:
    own = room_of(module)
    if not own:
        return
    for imported in imports_of(CORE[module]) & set(CORE):
        room = room_of(imported)
        if room and room != own:
            assert FLOORS.index(room) < FLOORS.index(own), f"{module} imports {imported}, which stands below it"


def test_only_a_trainers_own_room_and_its_command_import_it() -> None:
    for module, path in CORE.items():
        if not module.startswith((*TRAINERS_OWN, "nemo_gym.cli.train_demo")):
            assert not [name for name in imports_of(path) if name.startswith(TRAINERS_OWN)], module


def test_there_is_no_import_cycle() -> None:
    graph = {module: (imports_of(path) & set(CORE)) - {module} for module, path in CORE.items()}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", sorted(CORE))
def test_the_core_imports_no_component(module: str) -> None:
    imported = {name.split(".")[0] for name in imports_of(CORE[module])}
    assert not imported & set(COMPONENT_KINDS)


@pytest.mark.parametrize("folder", COMPONENTS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_component_imports_no_other_component(folder: Path) -> None:
    own = f"{folder.parent.name}.{folder.name}"
    for path in folder.rglob("*.py"):
        if "tests" in path.relative_to(folder).parts:
            continue
        for name in imports_of(path):
            if name.split(".")[0] in COMPONENT_KINDS:
                assert name.startswith(own), f"{path} imports {name}"


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("arrays", [False, True], ids=["all other rooms", ARRAYS])
def test_importing_the_core_changes_nothing_and_loads_nothing_heavy(arrays: bool) -> None:
    importable = [module for module in sorted(CORE) if not module.startswith(TRAINERS_OWN)]
    modules = [module for module in importable if (room_of(module) == ARRAYS) is arrays]
    heavy = [name for name in HEAVY if not (arrays and name == "numpy")]
    code = f"""
import builtins, importlib, logging, os, sys, threading
before = dict(os.environ), list(sys.path), builtins.print, list(logging.getLogger().handlers), threading.active_count()
for module in {modules!r}:
    importlib.import_module(module)
after = dict(os.environ), list(sys.path), builtins.print, list(logging.getLogger().handlers), threading.active_count()
assert before == after, "importing has side effects"
print(sorted(set({heavy!r}) & set(sys.modules)))
"""
    assert run_python(code).strip() == "[]"


def test_what_a_server_process_imports_is_light() -> None:
    names = ["base_resources_server", "base_responses_api_model", "base_responses_api_agent", "agent_loop.loop"]
    helpers = ["judge", "prompt", "converters", "reference_policies", "environments", "sandbox"]
    doors = ["openai_utils", "server_utils", "global_config", "config_types", "reward_profile"]
    modules = [f"nemo_gym.{name}" for name in [*names, *helpers, *doors]]
    code = f"""
import importlib, sys
for module in {modules!r}:
    importlib.import_module(module)
print(sorted(set({HEAVY_FOR_SERVERS!r}) & set(sys.modules)))
"""
    assert run_python(code).strip() == "[]"


@pytest.mark.parametrize("module", sorted(CORE))
def test_every_module_says_what_it_is(module: str) -> None:
    docstring = ast.get_docstring(ast.parse(CORE[module].read_text()))
    assert docstring, f"{module} needs a first line that says what it is"
