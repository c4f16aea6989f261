"""Where a study is kept: SQLite, a journal file, PostgreSQL, MySQL, or behind Optuna's proxy."""

from __future__ import annotations

import fcntl
import importlib.util
import time
import urllib.parse
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from lightning_brats.errors import ConfigError

DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
EXTRA = "pip install 'lightning-brats[sweeps]'"
ATTEMPTS = 5
"""To open a database whose tables another host is making at the same moment."""
PATIENCE = 120
"""Seconds to wait for another process's write to a SQLite file."""


def open_storage(url: str) -> BaseStorage:
    """The storage that a URL names; a file's folder is made.

    Args:
        url: `sqlite:///study.db` (four slashes before an absolute path), `journal:///study.log`,
            `postgresql://user@host/name`,
            `mysql://…`, or `grpc://host:port`.

    Raises:
        ConfigError: Unknown kind, missing driver, or nobody answers.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kind, _, rest = url.partition("://")
    kind = kind.partition("+")[0]
    if kind == "journal":
        path = Path(rest.removeprefix("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path), FileLock(path)))
    if kind == "sqlite":
        Path(rest.removeprefix("/")).parent.mkdir(parents=True, exist_ok=True)
        return _database(url, {"connect_args": {"timeout": PATIENCE}})
    if kind in DRIVERS:
        return _database(_with_driver(url, kind), {"pool_pre_ping": True, "pool_size": 1})
    if kind == "grpc":
        return _proxy(rest)
    raise ConfigError(
        f"storage={shown_url(url)}: of no known kind",
        remedy="sqlite:///file, journal:///file, postgresql://, mysql://, or grpc://host:port",
    )


def shown_url(url: str) -> str:
    """Without its password."""
    password = urllib.parse.urlsplit(url).password
    return url.replace(f":{password}@", ":***@") if password else url


class FileLock(JournalFileOpenLock):
    """The kernel's lock on a file beside the journal.

    Optuna's own locks are files: one that a killed process leaves holds all others up for half a
    minute. This one ends with its process.

    Args:
        journal: The file to protect.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._path = journal.with_name(f"{journal.name}.lock")
        self._held: Any = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        held = self._path.open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
        self._held = held
        return True

    def release(self) -> None:
        """Let it go."""
        self._held.close()


def _away(error: Exception) -> bool:
    """Whether it is the server that fails; gRPC has an exception class a call."""
    return isinstance(error, StorageInternalError) or type(error).__module__.startswith("grpc")


def _database(url: str, options: dict[str, Any]) -> BaseStorage:
    for attempt in range(ATTEMPTS):
        try:
            storage = RDBStorage(url, engine_kwargs=options)
            break
        except Exception as error:  # drivers have types of their own
            if attempt + 1 == ATTEMPTS:
                reason = str(error.__cause__ or error).splitlines()[0]
                raise ConfigError(f"storage={shown_url(url)} cannot be opened: {reason}") from error
            time.sleep(0.2 * 2**attempt)
    if url.startswith("sqlite"):
        _serialise(storage)
    return get_storage(storage)  # with its cache of finished trials


def _serialise(storage: RDBStorage) -> None:
    """Take SQLite's write lock as a transaction begins.

    It would else read first and lock later, and two workers could both find a trial waiting.
    """
    from sqlalchemy import event

    @event.listens_for(storage.engine, "connect")
    def _leave_transactions_to_us(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(storage.engine, "begin")
    def _lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.engine.dispose()


def _with_driver(url: str, kind: str) -> str:
    scheme, _, rest = url.partition("://")
    driver = scheme.partition("+")[2] or DRIVERS[kind]
    if importlib.util.find_spec(driver) is None:
        raise ConfigError(
            f"storage={shown_url(url)}: the package {driver} is not installed", remedy=EXTRA
        )
    return f"{kind}+{driver}://{rest}"


def _proxy(address: str) -> BaseStorage:
    if importlib.util.find_spec("grpc") is None:
        raise ConfigError("storage=grpc://…: the package grpcio is not installed", remedy=EXTRA)
    from optuna.storages import GrpcStorageProxy

    host, _, port = address.rstrip("/").partition(":")
    if not port.isdigit():
        raise ConfigError(f"storage=grpc://{address}: must be grpc://host:port")
    proxy = GrpcStorageProxy(host=host, port=int(port))
    try:
        proxy.wait_server_ready(timeout=30)
    except Exception as error:
        raise ConfigError(f"storage=grpc://{address} does not answer") from error
    return proxy


def patiently(call: Any, *arguments: Any, seconds: float = 300, **named: Any) -> Any:
    """What a call to the storage gives; a server that is away for a while is waited for.

    Raises:
        Exception: Its own, where it is away for longer, or of any other kind.
    """
    deadline, pause = time.monotonic() + seconds, 1.0
    while True:
        try:
            return call(*arguments, **named)
        except Exception as error:
            if not _away(error) or time.monotonic() + pause > deadline:
                raise
            time.sleep(pause)
            pause = min(pause * 2, 30)
