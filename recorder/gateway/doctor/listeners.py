"""The addresses that agents connect to: free for a gateway to come, or held by the one that runs.

An address is bound for a moment, and never listened on: nobody can connect meanwhile.
"""

import errno
import socket
from collections.abc import Iterator

from recorder.gateway.doctor.finding import Finding, ok, wrong
from recorder.gateway.doctor.holder import Holder, holder
from recorder.gateway.doctor.setup import Setup
from recorder.model import Listener
from recorder.safe import quoted

_ABOUT = "listeners"


def check(setup: Setup) -> Iterator[Finding]:
    """Each [[listen]]."""
    config = setup.config
    if not config.listeners:
        yield wrong(_ABOUT, f'{config.path} has no [[listen]]: add one with address = "127.0.0.1:2222"')
    seen: set[tuple[str, int]] = set()
    for listener in config.listeners:
        where = _where(listener)
        if listener.port and (listener.host, listener.port) in seen:
            yield wrong(_ABOUT, f"two [[listen]] have the address {where}: give one of them another in {config.path}")
            continue
        seen.add((listener.host, listener.port))
        if not listener.port:
            yield ok(_ABOUT, f"{where} is any port that is free; the gateway says which when it starts")
        elif setup.running.at_work:
            yield _held(setup, listener, where)
        else:
            yield _free(setup, listener, where)


def _held(setup: Setup, listener: Listener, where: str) -> Finding:
    process = setup.running.process
    found = holder(_addresses(listener), listener.port)
    if found is None:
        mend = f"run `kill -HUP {process}` so that it reads {setup.config.path} again, and see its log"
        return wrong(_ABOUT, f"the gateway that runs does not listen on {where}: {mend}")
    if found.pid is not None and process is not None and found.pid != process:
        return _taken(setup, where, found)
    return ok(_ABOUT, f"the gateway listens on {where}")


def _free(setup: Setup, listener: Listener, where: str) -> Finding:
    try:
        for family, address in _resolved(listener):
            if not socket.has_dualstack_ipv6() and family == socket.AF_INET6:
                continue  # a kernel without IPv6: the gateway goes without it too
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind(address)
    except OSError as error:
        return _unusable(setup, listener, where, error)
    return ok(_ABOUT, f"{where} is free for the gateway")


def _unusable(setup: Setup, listener: Listener, where: str, error: OSError) -> Finding:
    config = setup.config
    if error.errno == errno.EADDRINUSE:
        return _taken(setup, where, holder(_addresses(listener), listener.port))
    if error.errno == errno.EADDRNOTAVAIL:
        mend = f"correct address in {config.path}; `ip addr` lists those that it has"
        return wrong(_ABOUT, f"this machine has not the address of {where}: {mend}")
    if error.errno == errno.EACCES:
        mend = f"choose a port from 1024 on in {config.path}, or give the gateway CAP_NET_BIND_SERVICE"
        return wrong(_ABOUT, f"uid {setup.own} may not listen on {where}: {mend}")
    why = error.strerror or str(error)
    return wrong(_ABOUT, f"nobody can listen on {where}: {why}; correct address in {config.path}")


def _taken(setup: Setup, where: str, by: Holder | None) -> Finding:
    who, mend = "another program", f"find it with `ss -ltnp 'sport = {where.rpartition(':')[2]}'` and stop it"
    if by is not None and by.pid is not None:
        who, mend = f"process {by.pid} ({quoted(by.name, 32)})", f"stop it with `kill {by.pid}`"
    return wrong(_ABOUT, f"{where} is taken by {who}: {mend}, or choose another address in {setup.config.path}")


def _resolved(listener: Listener) -> list[tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]]:
    found = socket.getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, tuple(address)) for family, _, _, _, address in found]


def _addresses(listener: Listener) -> set[str]:
    try:
        return {str(address[0]) for _, address in _resolved(listener)}
    except OSError:
        return set()


def _where(listener: Listener) -> str:
    return f"[{listener.host}]:{listener.port}" if ":" in listener.host else f"{listener.host}:{listener.port}"
