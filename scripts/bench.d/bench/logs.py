"""A colour log as services write it, the same at every run."""

import random
from collections.abc import Iterator

_ROUTES = ("/api/orders", "/api/orders/{}/items", "/api/users/{}", "/healthz", "/api/search?q={}", "/static/app.js")
_METHODS = ("GET", "GET", "GET", "POST", "PUT", "DELETE")
_TABLES = ("orders", "items", "users", "sessions", "audit")
_WARNINGS = ("pool exhausted, waiting", "slow query", "retrying upstream", "token expires soon", "cache miss")
_COLOURS = {"INFO": 32, "DEBUG": 36, "WARN": 33, "ERROR": 31}


def colour_log(size: int) -> bytes:
    """`size` bytes of log lines with SGR colours."""
    pieces: list[bytes] = []
    total = 0
    for line in _lines(random.Random(7)):
        pieces.append(line)
        total += len(line)
        if total >= size:
            break
    return b"".join(pieces)[:size]


def _lines(chance: random.Random) -> Iterator[bytes]:
    clock = 36_000_000
    while True:
        clock += chance.randrange(1, 40)
        seconds, millis = divmod(clock, 1000)
        stamp = f"2026-01-05T{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{millis:03}Z"
        level, text = _message(chance)
        colour = _COLOURS[level]
        yield f"\x1b[2m{stamp}\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m {text}\r\n".encode()


def _message(chance: random.Random) -> tuple[str, str]:
    kind = chance.random()
    if kind < 0.6:
        route = chance.choice(_ROUTES).format(chance.randrange(10_000))
        status = chance.choice((200, 200, 200, 200, 201, 304, 404, 500))
        colour = 32 if status < 400 else 31
        millis = chance.randrange(1, 400)
        return "INFO", f"web: {chance.choice(_METHODS)} {route} \x1b[{colour}m{status}\x1b[0m {millis} ms"
    if kind < 0.85:
        table = chance.choice(_TABLES)
        return (
            "DEBUG",
            f"db: SELECT * FROM {table} WHERE id = {chance.randrange(100_000)} ({chance.randrange(1, 90)} rows)",
        )
    if kind < 0.97:
        return "WARN", f"worker-{chance.randrange(8)}: {chance.choice(_WARNINGS)}"
    return "ERROR", f"web: unhandled exception in request {chance.getrandbits(32):08x}: connection reset by peer"
