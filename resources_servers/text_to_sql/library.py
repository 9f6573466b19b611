"""Where the databases lie: made ones in a folder of this server's own, the user's below `db_root`."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from resources_servers.text_to_sql.databases import tables
from resources_servers.text_to_sql.engine import EngineName, build

PUBLIC_FOLDERS = {
    "synsql": Path("SynSQL-2.5M/databases"),
    "spider": Path("spider/database"),
    "bird": Path("bird/train/train_databases"),
}
"""Where the OmniSQL archive holds the databases of each data set."""


class DatabaseLibrary:
    """Files by name. Each made database is built once, however many sessions ask for it."""

    def __init__(self, engine: EngineName, db_root: Path | None) -> None:
        self._engine, self._db_root = engine, db_root
        self._folder: Path | None = None
        self._building: dict[str, asyncio.Future[None]] = {}

    async def made(self, name: str, seed: int) -> Path:
        """The file of a made database."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="nemo_gym_sql_"))
        key = f"{name}-{seed}"
        path = self._folder / f"{key}.{self._engine.value}"
        if key not in self._building:
            work = asyncio.to_thread(build, self._engine, path, tables(name, seed))
            self._building[key] = asyncio.ensure_future(work)
        try:
            await asyncio.shield(self._building[key])
        except Exception:
            self._building.pop(key, None)  # the next session tries again
            raise
        return path

    def public(self, data: str, db_id: str) -> Path:
        """The file of a database that the user downloaded. Raises `ValueError` saying what is missing."""
        if self._db_root is None:
            raise ValueError("the row names a public database: set `db_root` to the folder of the unpacked archive")
        if data not in PUBLIC_FOLDERS:
            raise ValueError(f"`data` is `{data:.50}`: known are {', '.join(PUBLIC_FOLDERS)}")
        path = self._db_root / PUBLIC_FOLDERS[data] / db_id / f"{db_id}.sqlite"
        if not path.is_file():
            raise ValueError(f"there is no database `{db_id}` of `{data}` below `db_root`")
        return path

    def close(self) -> None:
        """Delete the made databases."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            self._building.clear()
