"""Runs the checks side by side, each within its time, and puts the findings in order."""

import asyncio
import shlex
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from recorder.config import Config
from recorder.gateway.doctor import (
    agents,
    catalogue,
    clock,
    control,
    data,
    disk,
    journal,
    keys,
    listeners,
    persons,
    tapes,
    targets,
)
from recorder.gateway.doctor.finding import Finding, warn
from recorder.gateway.doctor.setup import Setup, look_around
from recorder.safe import printable

_LIMIT_S = 11.0
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Check = tuple[str, Callable[[Setup], Iterable[Finding]]]

_PEOPLE: tuple[_Check, ...] = (("agents", agents.check), ("persons", persons.check))
_STORED: tuple[_Check, ...] = (
    ("data folder", data.check),
    ("disk", disk.check),
    ("catalogue", catalogue.check),
    ("tapes", tapes.check),
    ("clock", clock.check),
)
_PRIVATE: tuple[_Check, ...] = (("keys", keys.check), ("journal", journal.check))
_AT_WORK: tuple[_Check, ...] = (("gateway", control.check), ("listeners", listeners.check))


class _Unawaited(ThreadPoolExecutor):
    """A thread a call, and nobody waits for it at the end: a dead disk or name server must not hold up the report."""

    def submit(
        self, fn: Callable[_Arguments, _Result], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> "Future[_Result]":
        future: Future[_Result] = Future()

        def run() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is raised again where the result is awaited
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, daemon=True).start()
        return future
