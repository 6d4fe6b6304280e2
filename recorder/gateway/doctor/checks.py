"""Runs the checks side by side, each within its time, and puts the findings in order."""

import asyncio
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
from recorder.gateway.doctor.finding import Finding, defect, warn, wrong
from recorder.gateway.doctor.setup import Setup, look_around
from recorder.safe import printable

_LIMIT_S = 11.0
_SILENT = f"gave no answer within {_LIMIT_S:.0f} s: see `dmesg`, and whether a disk or a name server is down"
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
        future.set_running_or_notify_cancel()  # so that nobody can cancel it under the thread

        def run() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is raised again where the result is awaited
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, daemon=True).start()
        return future


async def examine(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """All findings about the set-up of `config`, after some 13 s at most. It sets the loop's executor."""
    asyncio.get_running_loop().set_default_executor(_Unawaited())
    try:
        async with asyncio.timeout(_LIMIT_S):
            setup = await asyncio.to_thread(look_around, config, environ)
            gone = await asyncio.to_thread(data.missing, setup)
    except TimeoutError:
        return [wrong("data folder", f"the disk of {config.data} {_SILENT}")]
    checks = [*_PEOPLE]
    if gone is None:
        checks += [(name, check if setup.private else _not_ours(name)) for name, check in _PRIVATE]
        checks += _STORED
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_within(name, check, setup)) for name, check in (*checks, *_AT_WORK)]
        there = tasks.create_task(targets.check(setup))
    found = [finding for task in running for finding in task.result()]
    return [*([gone] if gone else []), *found, *there.result()]


async def _within(name: str, check: Callable[[Setup], Iterable[Finding]], setup: Setup) -> list[Finding]:
    try:
        async with asyncio.timeout(_LIMIT_S):
            return await asyncio.to_thread(lambda: list(check(setup)))
    except TimeoutError:
        return [warn(name, f"the machine {_SILENT}")]
    except OSError as error:
        where = printable(str(error.filename or setup.config.data))
        return [warn(name, f"{where} could not be looked at ({error.strerror or error}): run `{setup.as_gateway()}`")]
    except Exception as error:  # noqa: BLE001 - a defect in one check must not hide what the others found
        return [defect(name, error)]


def _not_ours(name: str) -> Callable[[Setup], Iterable[Finding]]:
    def check(setup: Setup) -> Iterable[Finding]:
        what = f"only uid {setup.uid}, the gateway's user, may look at it"
        yield warn(name, f"{what}: run `{setup.as_gateway()}`")

    return check
