"""A component: the folder of one implementation, and how a configuration and an import name it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nemo_gym.config.instance import SERVER_TYPES


@dataclass(frozen=True)
class Component:
    """One folder below `resources_servers/` or a sibling of it, perhaps nested."""

    folder: Path
    """Absolute."""
    root: Path
    """The folder that holds `resources_servers/`: `import resources_servers.<name>` is looked up there."""
    server_type: str
    """One of `SERVER_TYPES`."""
    implementation: str
    """The folder below the server type: `calendar`, or `parent/child`."""

    @classmethod
    def at(cls, folder: Path) -> Component | None:
        """The component that this folder is, or would be; None if it lies below no folder of a server type."""
        folder = folder.resolve()
        for home in folder.parents:
            if home.name in SERVER_TYPES:
                return cls(folder, home.parent, home.name, folder.relative_to(home).as_posix())
        return None

    @property
    def path(self) -> str:
        """`resources_servers/parent/child`."""
        return f"{self.server_type}/{self.implementation}"

    @property
    def package(self) -> str:
        """`resources_servers.parent.child`, as it is imported."""
        return self.path.replace("/", ".")


def components_below(root: Path) -> Iterator[Component]:
    """Every component with an `app.py` below `root`, by path."""
    for server_type in SERVER_TYPES:
        home = root / server_type
        for app in sorted([*home.glob("*/app.py"), *home.glob("*/*/app.py")]):
            component = Component.at(app.parent)
            assert component is not None
            yield component
