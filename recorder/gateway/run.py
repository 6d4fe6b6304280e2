"""Starts a gateway from its configuration, says when it is ready, drains it on SIGTERM."""

import asyncio
import hashlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from recorder import policy
from recorder.catalogue.sqlite import Catalogue
from recorder.config import Config
from recorder.control import Control
from recorder.format import guard, recovery
from recorder.format.spool import Spool, TapeError
from recorder.gateway import recovered, room
from recorder.gateway.clerk import Clerk
from recorder.gateway.front import GatewayFront
from recorder.gateway.secrets import Secrets
from recorder.protocols.ssh import serve as ssh

log = logging.getLogger("tacho.gateway")

_END_LIMIT_S = 10.0


class StartError(Exception):
    """The gateway cannot start; the text is one sentence: what, where, the mend."""


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The gateway's own Ed25519 key (PEM); StartError when it cannot be used."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise StartError(f"cannot read the gateway's key {path}: {error.strerror}; run `tacho init`") from None
    except (ValueError, TypeError):
        raise StartError(
            f"{path} is no PEM private key; restore it, or make another folder with `tacho init`"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StartError(f"{path} is no Ed25519 key; restore it, or make another folder with `tacho init`")
    return key


async def serve(config: Config, grace: float, say: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT, then drains for `grace` seconds. `say` prints the ready lines.

    StartError when it cannot begin: keys, catalogue, tape folder, addresses.
    """
    key = signing_key(config.keys / "gateway")
    host_key = _read_host_key(config.keys / "ssh_host")
    _check_folder(config.tapes)
    lock = _lock(config)
    catalogue = Catalogue(config.catalogue, write=True)
    name = (socket.gethostname() or "gateway", key)
    await asyncio.to_thread(_recover, config, name, catalogue)
    rules = policy.rules_text(config.agents, config.targets)
    catalogue.put_rules(hashlib.sha256(rules.encode()).digest(), rules)
    clerk = Clerk(catalogue)
    loop = asyncio.get_running_loop()
    try:
        spool = Spool(config.tapes, config.journal, name, loop, clerk.put_head, mode=config.mode, lock=lock)
    except TapeError as error:
        raise StartError(str(error)) from None
    spool.on_warning = log.error
    stop = asyncio.Event()
    spool.on_death = lambda _: stop.set()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        try:
            front = GatewayFront(config, spool, clerk, Secrets(os.environ))
        except ValueError as error:
            raise StartError(f"{config.path}: {error}") from None
        try:
            await spool.ready()
        except TapeError as error:
            raise StartError(str(error)) from None
        disk = room.Watch(config.data, lambda: config.limits.disk)
        disk.look()
        front.obstacle = lambda: disk.refusal
        async with asyncio.TaskGroup() as tasks, Control(config, front, catalogue):
            servers = await _listen(config, host_key, front, _guarded(tasks))
            for server in servers:
                say(f"ready {server.listener.protocol} {server.address}")
            watches = [tasks.create_task(front.watch()), tasks.create_task(disk.run(front.end_all))]
            _notify("READY=1")
            await stop.wait()
            _notify("STOPPING=1")
            for server in servers:
                server.stop_accepting()
            if not await front.drain(grace):
                for server in servers:
                    server.end_all("the gateway stopped")
                await front.drain(_END_LIMIT_S)
            for server in servers:
                server.end_all("the gateway stopped")
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


def _lock(config: Config) -> int:
    """The data folder is this gateway's alone as long as the descriptor is open, here or in the scribe."""
    try:
        return guard.take(config.journal)
    except guard.Taken as taken:
        raise StartError(str(taken)) from None
    except OSError as error:
        mend = "mend its rights or set [gateway] data"
        raise StartError(f"cannot write in {config.journal}: {error.strerror}; {mend}") from None


def _recover(config: Config, name: tuple[str, Ed25519PrivateKey], catalogue: Catalogue) -> None:
    """Closes, in new segments, what a gateway that stopped without closing has left."""
    try:
        for found in recovery.recover(config.tapes, config.journal, name, catalogue.unfinished(), time.time_ns()):
            recovered.enter(catalogue, found)
    except recovery.RecoveryError as error:
        raise StartError(str(error)) from None


def _guarded(tasks: asyncio.TaskGroup) -> Callable[[Coroutine[object, object, None]], object]:
    """Starts a session's task so that its failure is logged and ends that session alone."""

    async def guard(work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except Exception:
            # A defect in one session must not end the others.
            log.exception("a session ended by a defect of the gateway")

    return lambda work: tasks.create_task(guard(work))


async def _listen(
    config: Config,
    host_key: bytes,
    front: GatewayFront,
    spawn: Callable[[Coroutine[object, object, None]], object],
) -> list[ssh.Server]:
    if not config.listeners:
        raise StartError(f"{config.path} has no [[listen]]: nothing to serve")
    servers: list[ssh.Server] = []
    crowd = ssh.Crowd()
    for listener in config.listeners:
        try:
            servers.append(await ssh.listen(listener, [host_key], front, spawn, config.limits, crowd))
        except ValueError as error:
            raise StartError(
                f"{config.keys / 'ssh_host'} holds {error}: restore it, or run `tacho init` anew"
            ) from None
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise StartError(
                f"cannot listen on {listener.host}:{listener.port}: {why}; choose another address"
            ) from None
    return servers


def _read_host_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"cannot read the SSH host key {path}: {error.strerror}; run `tacho init`") from None


def _check_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StartError(
            f"cannot write tapes in {path}: {error.strerror}; mend its rights or set [gateway] data"
        ) from None


def _notify(state: str) -> None:
    """Tells the service manager (sd_notify(3)): one datagram to NOTIFY_SOCKET, when there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        try:
            notifier.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.warning("cannot tell the service manager: %s", error)
