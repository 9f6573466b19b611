"""Code that a configuration names: `package.module:name` or `path/to/file.py:name`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from nemo_gym.config.nearest import suggestion


def named_code(place: str, folders: Sequence[Path] = ()) -> object:
    """The object at a place. A relative path is looked for in `folders`, in turn; without any, where the process is.

    Raises `ValueError` saying what is wrong with the place.
    """
    module_name, _, name = place.rpartition(":")
    if not module_name:
        raise ValueError(f"`{place}`: write `package.module:name` or `path/to/file.py:name`")
    if module_name.endswith(".py"):
        paths = [folder / module_name for folder in folders] or [Path(module_name)]
        module = import_file(next((path for path in paths if path.is_file()), paths[0]))
    else:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise ValueError(f"`{place}`: cannot import `{module_name}`: {error}") from error
    names = {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
    if name not in names:
        raise ValueError(f"`{place}`: no `{name}` there: {suggestion(name, names, kind='names')}")
    return names[name]


def import_file(path: Path) -> ModuleType:
    """The module in a file, imported anew under a name of its own. Raises `ValueError` where that fails."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    name = f"nemo_gym_file_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=8).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being executed
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    return module
