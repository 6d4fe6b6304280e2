"""Starts a gateway from its configuration, says when it is ready, reloads on SIGHUP, drains on SIGTERM."""

import asyncio
import hashlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine

from recorder import policy
from recorder.catalogue.sqlite import Catalogue
from recorder.config import Config, ConfigError, load
from recorder.config.guard import check_gateway
from recorder.control import Control
from recorder.format.spool import Spool, TapeError
from recorder.gateway import ground, room
from recorder.gateway.clerk import Clerk
from recorder.gateway.front import GatewayFront
from recorder.gateway.ground import StartError
from recorder.gateway.listeners import Listeners
from recorder.gateway.notify import notify
from recorder.gateway.reload import changes, fixed
from recorder.gateway.secrets import Secrets
from recorder.safe import printable

log = logging.getLogger("tacho.gateway")

_END_LIMIT_S = 10.0


async def serve(config: Config, grace: float, say: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT, then drains for `grace` seconds. `say` prints the ready lines.

    StartError when it cannot begin: keys, catalogue, tape folder, addresses.
    """
    key = ground.signing_key(config.keys / "gateway")
    host_key = ground.host_key(config.keys / "ssh_host")
    ground.check_folder(config.tapes)
    lock = ground.take(config)
    catalogue = Catalogue(config.catalogue, write=True)
    name = (socket.gethostname() or "gateway", key)
    await asyncio.to_thread(ground.recover, config, name, catalogue)
    _keep_rules(catalogue, config)
    clerk = Clerk(catalogue)
    loop = asyncio.get_running_loop()
    try:
        spool = Spool(config.tapes, config.journal, name, loop, clerk.put_head, mode=config.mode, lock=lock)
    except TapeError as error:
        raise StartError(str(error)) from None
    spool.on_warning = log.error
    stop, hangup = asyncio.Event(), asyncio.Event()
    spool.on_death = lambda _: stop.set()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    try:
        front = _front(config, spool, clerk)
        try:
            await spool.ready()
        except TapeError as error:
            raise StartError(str(error)) from None
        disk = room.Watch(config.data, lambda: front.config.limits.disk)
        disk.look()
        front.obstacle = lambda: disk.refusal
        async with asyncio.TaskGroup() as tasks, Control(config, front, catalogue) as control:
            listeners = Listeners(host_key, config.keys / "ssh_host", front, _guarded(tasks))
            for server in await listeners.fit(config):
                say(f"ready {server.listener.protocol} {server.address}")
            watches = [
                tasks.create_task(front.watch()),
                tasks.create_task(disk.run(front.end_all)),
                tasks.create_task(_reloads(hangup, front, listeners, control, catalogue, say)),
            ]
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")
            watches.pop().cancel()
            listeners.stop_accepting()
            if not await front.drain(grace):
                listeners.end_all("the gateway stopped")
                await front.drain(_END_LIMIT_S)
            listeners.end_all("the gateway stopped")
            for watch in watches:
                watch.cancel()
        if spool.failed is not None:
            raise StartError(str(spool.failed))
    finally:
        await asyncio.to_thread(spool.stop)
        await asyncio.to_thread(clerk.stop)
        catalogue.settle()
        catalogue.close()
        os.close(lock)


def _front(config: Config, spool: Spool, clerk: Clerk) -> GatewayFront:
    try:
        return GatewayFront(config, spool, clerk, Secrets(os.environ))
    except ValueError as error:
        raise StartError(f"{config.path}: {error}") from None


def _keep_rules(catalogue: Catalogue, config: Config) -> None:
    rules = policy.rules_text(config.agents, config.targets)
    catalogue.put_rules(hashlib.sha256(rules.encode()).digest(), rules)


async def _reloads(
    hangup: asyncio.Event,
    front: GatewayFront,
    listeners: Listeners,
    control: Control,
    catalogue: Catalogue,
    say: Callable[[str], None],
) -> None:
    """At each SIGHUP goes by the configuration file as it is now: all of it, or, when something is wrong, none."""
    while True:
        await hangup.wait()
        hangup.clear()
        old = front.config
        notify("RELOADING=1")
        try:
            new = load(old.path)
            check_gateway(new)
            if unchangeable := fixed(old, new):
                raise ConfigError(
                    f"{old.path}: {' and '.join(unchangeable)} cannot change while the gateway runs: restart it"
                )
            take = front.prepare(new)
            fresh = await listeners.fit(new)
        except (ValueError, StartError) as error:
            log.error("not reloaded, the old configuration stays: %s", printable(str(error)))  # noqa: TRY400 - the sentence says it all
        else:
            _keep_rules(catalogue, new)
            control.reconfigure(new)
            take()
            for server in fresh:
                say(f"ready {server.listener.protocol} {server.address}")
            differences = changes(old, new)
            log.info(
                "reloaded %s: %s", new.path, printable("; ".join(differences)) if differences else "nothing changed"
            )
        notify("READY=1")


def _guarded(tasks: asyncio.TaskGroup) -> Callable[[Coroutine[object, object, None]], object]:
    """Starts a session's task so that its failure is logged and ends that session alone."""

    async def guard(work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except Exception:
            # A defect in one session must not end the others.
            log.exception("a session ended by a defect of the gateway")

    return lambda work: tasks.create_task(guard(work))
