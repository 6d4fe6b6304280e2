"""The gateway of the demo: `tacho init`, a target and an agent added to its configuration, `tacho gateway`."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tour.child import Child
from tour.failure import DemoError
from tour.target import Target

ROOT = Path(__file__).resolve().parents[3]
AGENT = "scout"
TARGET = "web1"
_START_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A folder with a configuration, keys and a data folder, made by `tacho init`."""

    folder: Path

    @property
    def configuration(self) -> Path:
        """The configuration file."""
        return self.folder / "tachograph.toml"

    @property
    def upstream_key(self) -> Path:
        """The private key with which the gateway logs in on targets."""
        return self.folder / "var/keys/upstream"

    @property
    def host_key(self) -> str:
        """The public host key that agents see."""
        return (self.folder / "var/keys/ssh_host.pub").read_text()

    def sessions(self) -> list[str]:
        """The ids of the recorded sessions, oldest first."""
        return sorted({tape.parent.name for tape in (self.folder / "var/tapes").glob("*/*/*/*/0.tape")})


def tacho(*arguments: str) -> list[str]:
    """The command line of a verb, run by the Python that runs this."""
    return [sys.executable, "-m", "replay", *arguments]


def make(folder: Path) -> Gateway:
    """Makes the gateway's folder; DemoError when `tacho init` fails."""
    done = subprocess.run(tacho("init", str(folder)), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise DemoError(f"tacho init failed: {done.stderr.strip() or done.returncode}")
    return Gateway(folder)


def configure(gateway: Gateway, target: Target, agent_key: str) -> None:
    """Adds the target and the agent to the configuration; every listener takes a free port of 127.0.0.1."""
    text = gateway.configuration.read_text(encoding="utf-8")
    text = re.sub(r'^(address\s*=\s*)"127\.0\.0\.1:\d+"', r'\1"127.0.0.1:0"', text, flags=re.MULTILINE)
    text += f"""
[[target]]
name     = "{TARGET}"
protocol = "ssh"
address  = "127.0.0.1:{target.port}"
logins   = [{json.dumps(target.login)}]
key      = "file:var/keys/upstream"
host_key = "{target.host_key}"

[[agent]]
name    = "{AGENT}"
keys    = ["{agent_key}"]
targets = ["{TARGET}"]
"""
    gateway.configuration.write_text(text, encoding="utf-8")


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[int]:
    """Runs `tacho gateway` until the block ends; gives the port on which it takes SSH."""
    log = gateway.folder / "gateway.log"
    arguments = tacho("gateway", "--config", str(gateway.configuration), "--grace", "5")
    child = await Child.start(arguments, cwd=ROOT, errors=log)
    try:
        yield await _ready(child, log)
        if child.ended:
            raise DemoError(f"the gateway ended too early: {_last_line(log)}")
    finally:
        status = await child.stop()
    if status:
        raise DemoError(f"the gateway stopped with status {status}: {_last_line(log)}")


async def _ready(child: Child, log: Path) -> int:
    try:
        async with asyncio.timeout(_START_LIMIT_S):
            while line := await child.line():
                if found := re.match(r"ready ssh .*:(\d+)$", line.strip()):
                    return int(found[1])
    except TimeoutError:
        raise DemoError(f"the gateway was not ready within {_START_LIMIT_S:.0f} s: {_last_line(log)}") from None
    await child.wait()
    raise DemoError(f"the gateway does not start: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it said nothing{os.linesep}"
