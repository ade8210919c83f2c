"""Where a study is kept: a journal file, which several processes share, or a database."""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import time
import urllib.parse
import warnings
from pathlib import Path
from typing import Any

from zoo.errors import in_one_line, needs, unknown

optuna = needs("optuna", "tune")
sqlalchemy = needs("sqlalchemy", "tune")

PATIENCE = 10
"""Seconds after which a server that does not answer, or a lock that is not released, ends the search."""
ATTEMPTS = 6
"""Attempts to make or to find the tables in a database, which processes that start together make at the same time."""
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "redis": 6379, "mssql": 1433, "oracle": 1521}
"""Ports of the servers whose address has none."""
DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
"""Modules that speak with a server where the address names none and SQLAlchemy's default is not installed."""


def open_storage(place: str) -> Any:
    """Open the storage of studies.

    Args:
        place: Path of a journal file, which is made if its folder is there, or the URL of a database that Optuna takes,
            such as ``sqlite:///study.db`` or ``postgresql://user:password@host/database``.

    Raises:
        ValueError: If it cannot be used; the line says why, without the password.
        ModuleNotFoundError: If the driver of the database is not installed.
    """
    if not place.strip():
        raise ValueError(f"--storage {place!r}: expected the path of a journal file or the URL of a database")
    if "://" not in place:
        return _open_journal(Path(place))
    if place.partition("://")[0] in ("redis", "rediss"):
        return _open_redis(place)
    return _open_database(place)


def storage_errors() -> tuple[type[Exception], ...]:
    """Return the errors with which a storage that has worked ends to do so."""
    return (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, JournalError)


# ---- journal file ----


class JournalError(ValueError):
    """A journal file that cannot be used."""


class JournalLock:
    """Lock on a journal file that vanishes with its process, also with one that is killed.

    What a killed process has written of its last line is removed once the lock is held: nobody writes it any more.

    Args:
        path: The journal file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.file: Any = None

    def acquire(self) -> bool:
        """Wait for the lock.

        Raises:
            JournalError: If another process has held it for ``PATIENCE`` seconds.
        """
        file = open(self.path, "rb+")  # noqa: SIM115
        try:
            self._wait(file)
            self._remove_optunas_lock()
            _mend_last_line(file)
        except BaseException:
            file.close()
            raise
        self.file = file
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def _wait(self, file: Any) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise JournalError(
                        f"{self.path} is locked: another process has held it for {PATIENCE} s; "
                        "end that process, or name another --storage"
                    ) from None
                time.sleep(0.01)

    def _remove_optunas_lock(self) -> None:
        """Wait for a process that uses the journal through Optuna alone; one that was killed has left its lock file."""
        lock = self.path + ".lock"
        end = time.monotonic() + PATIENCE
        while os.path.lexists(lock):
            if time.monotonic() > end:
                print(f"{lock}: left by a process that was killed, removed", file=sys.stderr)
                Path(lock).unlink(missing_ok=True)
                return
            time.sleep(0.05)


def _mend_last_line(file: Any) -> None:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return
    kept, block = size, 4096
    while kept > 0:
        start = max(0, kept - block)
        file.seek(start)
        place = file.read(kept - start).rfind(b"\n")
        if place >= 0:
            kept = start + place + 1
            break
        kept = start
    file.truncate(kept)


def _open_journal(path: Path) -> Any:
    journal = optuna.storages.journal
    what = f"--storage {path}"
    if path.is_dir():
        raise JournalError(f"{what} is a folder, expected a journal file or the URL of a database")
    if not path.parent.is_dir():
        raise JournalError(f"{what}: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise JournalError(f"{what} is not a regular file")
    try:
        if path.is_file():
            _check_journal(path)
            with open(path, "rb+"):
                pass
        backend = journal.JournalFileBackend(str(path), lock_obj=JournalLock(path))
        return optuna.storages.JournalStorage(backend)
    except OSError as error:
        raise JournalError(f"--storage {in_one_line(error)}") from error
    except JournalError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{what}: a damaged journal ({in_one_line(error)})") from error


def _check_journal(path: Path) -> None:
    """Raise unless every complete line of a file is an entry of a journal."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):  # being written, or half-written by a killed process
                if number == 1 and not line.startswith(b"{"):
                    raise JournalError(f"--storage {path}: not a journal of Optuna")
                return
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict) or "op_code" not in entry:
                say = "not a journal of Optuna" if number == 1 else f"a damaged journal, line {number}"
                raise JournalError(f"--storage {path}: {say}")


# ---- servers ----


def _open_redis(place: str) -> Any:
    needs("redis", "tune")
    url = urllib.parse.urlsplit(place)
    shown = place.replace(f":{url.password}@", ":***@") if url.password else place
    _knock(shown, url.hostname, url.port or PORTS["redis"])
    try:
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalRedisBackend(place))
    except Exception as error:
        raise ValueError(f"--storage {shown}: {in_one_line(error)}") from error


def _open_database(place: str) -> Any:
    scheme = place.partition("://")[0]
    try:
        url = sqlalchemy.engine.make_url(place.replace("postgres://", "postgresql://", 1))
        port = url.port
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise ValueError(f"--storage {scheme}://...: not the URL of a database ({type(error).__name__})") from None
    kind = url.get_backend_name()
    shown = url.render_as_string(hide_password=True)
    if kind not in ("sqlite", *PORTS):
        raise unknown(f"scheme of --storage {shown}:", kind, ("sqlite", *PORTS))
    if kind == "sqlite":
        _check_sqlite(url, shown)
    else:
        url = _with_driver(url, kind)
        if url.host and not url.host.startswith("/"):
            _knock(shown, url.host, port or PORTS[kind])
    connect = {"timeout": 30} if kind == "sqlite" else {}
    if kind in DRIVERS:
        connect = {"connect_timeout": PATIENCE}
    options = {"connect_args": connect, "pool_pre_ping": True}
    try:
        return _with_tables(url.render_as_string(hide_password=False), options)
    except (ImportError, sqlalchemy.exc.NoSuchModuleError) as error:
        name = getattr(error.__cause__, "name", None) or url.drivername.partition("+")[2] or "its driver"
        raise ModuleNotFoundError(f"--storage {shown}: {name} is not installed: pip install {name}") from error
    except Exception as error:
        raise ValueError(f"--storage {shown}: {describe_storage_error(error)}") from error


def _with_tables(url: str, options: dict[str, Any]) -> Any:
    """Return Optuna's storage, which makes its tables in a new database; another process may make them just now."""
    for attempt in range(1, ATTEMPTS):
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs=options)
        except (ImportError, sqlalchemy.exc.NoSuchModuleError):
            raise
        except Exception as error:
            # An error without a statement is one of the connection, which another attempt would meet again.
            if isinstance(error, sqlalchemy.exc.DBAPIError) and error.statement is None:
                raise
            time.sleep(random.uniform(0.1, 0.3) * attempt)
    return optuna.storages.RDBStorage(url, engine_kwargs=options)


def _check_sqlite(url: Any, shown: str) -> None:
    if url.database in (None, "", ":memory:") or "mode=memory" in str(url.database):
        raise ValueError(
            f"--storage {shown}: a database in memory ends with its process; name a file: sqlite:///study.db"
        )
    path = Path(str(url.database).removeprefix("file:"))
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"--storage {shown}: {f'{path} is a folder' if path.is_dir() else f'no folder {path.parent}'}")


def _with_driver(url: Any, kind: str) -> Any:
    """Name an installed driver where the URL leaves the choice to SQLAlchemy."""
    if "+" in url.drivername or kind not in DRIVERS:
        return url
    import importlib.util

    try:
        found = (
            importlib.util.find_spec(url.get_dialect().import_dbapi.__func__.__module__)
            and url.get_dialect().import_dbapi()
        )
    except ImportError:
        found = None
    if found:
        return url
    if importlib.util.find_spec(DRIVERS[kind]) is None:
        raise ModuleNotFoundError(
            f"--storage {url.render_as_string(hide_password=True)}: "
            f"{DRIVERS[kind]} is not installed: pip install {DRIVERS[kind]}"
        )
    return url.set(drivername=f"{kind}+{DRIVERS[kind]}")


def _knock(shown: str, host: str | None, port: int) -> None:
    """Raise unless a server accepts a connection within seconds."""
    try:
        socket.create_connection((host or "localhost", port), timeout=PATIENCE).close()
    except TimeoutError:
        raise ValueError(f"--storage {shown} does not answer within {PATIENCE} s") from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"--storage {shown} does not answer: {reason}") from None


def describe_storage_error(error: BaseException) -> str:
    """Return the server's own reason of an error, in one line without statements and addresses of documentation."""
    while error.__cause__ is not None:
        error = error.__cause__
    error = getattr(error, "orig", None) or error
    return in_one_line(ValueError(str(error).split("(Background on")[0].split("[SQL:")[0]))[:300]


# ---- studies ----

SEARCH = "search"
"""Attribute of a study: what is searched, and how."""


def open_study(place: str, name: str, direction: str, search: dict[str, Any], sampler: Any, pruner: Any) -> Any:
    """Open a study, or make it.

    Args:
        place: The storage, see ``open_storage``.
        name: Name of the study within its storage.
        direction: ``"minimize"`` or ``"maximize"``.
        search: What is searched and how, by name; a study is gone on with only if all of it is the same.
        sampler: Optuna's sampler.
        pruner: Optuna's pruner.

    Raises:
        ValueError: If the storage cannot be used, or holds another search under this name.
    """
    search = json.loads(json.dumps(search))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = open_storage(place)
        study = optuna.create_study(
            storage=storage, study_name=name, sampler=sampler, pruner=pruner, load_if_exists=True, direction=direction
        )
    if SEARCH not in study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr(SEARCH, search)
    found = study.user_attrs.get(SEARCH)
    if not isinstance(found, dict):
        raise ValueError(f"study {name!r} of this storage was not made by zoo tune: choose another name with --study")
    for key, value in search.items():
        if found.get(key) != value:
            raise ValueError(
                f"study {name!r} of this storage is of another {key}: {_short(found.get(key))}, not {_short(value)}; "
                "choose another name with --study, or another --storage"
            )
    return study


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."
