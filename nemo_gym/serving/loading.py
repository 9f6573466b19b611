"""Loads the server class of an implementation's folder into this process."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from nemo_gym.errors import LaunchError
from nemo_gym.serving.app import SimpleServer


def load_server_class(folder: Path, entrypoint: str) -> type[SimpleServer]:
    """The server class of an implementation's folder, imported into this process under a module name of its own.

    Modules that lie beside the entrypoint (`from utils import ...`) stay private to it, so that two servers may each
    have a `utils.py`. Raises `LaunchError` where there is not exactly one server class.
    """
    name = "_".join(("nemo_gym_server", *folder.parts[-2:], Path(entrypoint).stem))
    module_spec = importlib.util.spec_from_file_location(name, folder / entrypoint)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    try:
        module_spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        for loaded in set(sys.modules) - before:
            if "." not in loaded and _lies_in(sys.modules[loaded], folder):
                del sys.modules[loaded]
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, SimpleServer) and value.__module__ == name
    ]
    leaves = [one for one in classes if not any(other is not one and issubclass(other, one) for other in classes)]
    if len(leaves) != 1:
        found = ", ".join(one.__name__ for one in leaves) or "none"
        raise LaunchError(f"{folder / entrypoint}: exactly one server class is needed, found {found}")
    return leaves[0]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    return module.__dict__.get("__file__") is not None and Path(str(module.__file__)).is_relative_to(folder)
