"""What the scripted agent does through the gateway: looks, breaks a configuration, repairs it, deploys, checks."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from tour.failure import DemoError
from tour.gateway import TARGET
from tour.keyboard import Keyboard, shell

_SIZE = (100, 30)
_WIDER = (120, 34)
_CONNECT_LIMIT_S = 20.0
_COMMAND_LIMIT_S = 20.0
_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class Errand:
    """Whom the agent says it works for, and where the gateway is."""

    port: int
    host_key: str
    key: asyncssh.SSHKey
    run: str
    folder: Path  # of the agent's own: what it fetches, what it sends

    @property
    def asserted(self) -> dict[str, str]:
        """The variables with which an agent names its run, the request behind it and the person it acts for."""
        return {"TACHO_RUN": self.run, "TACHO_REQUEST": "https://tracker.example/SHOP-17", "TACHO_FOR": "ana"}


def new_run() -> str:
    """A fresh name for a run."""
    return f"demo-{secrets.token_hex(3)}"


async def work(errand: Errand, say: Callable[[str], None]) -> None:
    """The whole story, in two connections of one run; DemoError when it goes otherwise than told."""
    try:
        async with await _connect(errand) as connection:
            await _tell(errand, connection, say)
        async with await _connect(errand) as connection:
            say("comes back and looks at the service once more")
            await _run(connection, errand.asserted, "cd ~/shop && ./check && tail -n 1 shop.log", 0)
    except (asyncssh.Error, OSError) as error:
        raise DemoError(f"the agent's work through the gateway failed: {error}") from None


async def _connect(errand: Errand) -> asyncssh.SSHClientConnection:
    try:
        async with asyncio.timeout(_CONNECT_LIMIT_S):
            return await asyncssh.connect(
                "127.0.0.1",
                errand.port,
                config=[],
                username=TARGET,
                client_keys=[errand.key],
                known_hosts=([asyncssh.import_public_key(errand.host_key)], [], []),
                agent_path=None,
                preferred_auth="publickey",
            )
    except TimeoutError:
        raise DemoError(f"the gateway did not let the agent in within {_CONNECT_LIMIT_S:.0f} s") from None


async def _tell(errand: Errand, connection: asyncssh.SSHClientConnection, say: Callable[[str], None]) -> None:
    asserted = errand.asserted
    answer = await _run(
        connection, asserted, "cd ~/shop && pwd && for t in less vim vi nano; do command -v $t; done; :", 0
    )
    shop, *tools = answer.splitlines()
    found = {Path(tool).name for tool in tools}
    say("works in a terminal: looks around, breaks a configuration, repairs it, deploys")
    async with shell(connection, asserted, _SIZE) as keyboard:
        await keyboard.prompt()
        await _look(keyboard, pager="less" in found)
        await _change(keyboard, next((name for name in ("vim", "vi", "nano") if name in found), ""))
        await _deploy(keyboard)
        await keyboard.begin("exit")
    say("copies files, runs commands of which some fail, and asks for what it may not have")
    await _copy(connection, errand, shop)
    for command, status in (("cd ~/shop && ./health", 3), ("cat ~/shop/absent.conf", 1)):
        await asyncio.sleep(_PAUSE_S)
        await _run(connection, asserted, command, status)
    await _ask_too_much(connection)


async def _look(keyboard: Keyboard, *, pager: bool) -> None:
    await keyboard.command("cd ~/shop")
    await keyboard.command("ls -l")
    await keyboard.command("cat shop.conf")
    if pager:
        await keyboard.begin("less shop.log")
        if "RETURN" in await keyboard.expect(r"(?s)INFO.*shop\.log\s*\Z|RETURN"):
            await keyboard.press("\r")
            await keyboard.expect("INFO")
        await asyncio.sleep(_PAUSE_S)
        await keyboard.press(" ")
        await keyboard.expect(r"(?s)INFO.*:\s*\Z")
        await asyncio.sleep(_PAUSE_S)
        await keyboard.press("q")
        await keyboard.prompt()
    await keyboard.command("grep -c ERROR shop.log")
    await keyboard.begin("tail -n 4 -f shop.log")
    await keyboard.expect(r"(?:\d\d:\d\d:\d\d .*\s+){4}")
    await asyncio.sleep(_PAUSE_S)
    await keyboard.press("\x03")
    await keyboard.prompt()


async def _change(keyboard: Keyboard, editor: str) -> None:
    """Forgets the quote at the end of a value, is told so by the check, and mends it."""
    if editor in {"vim", "vi"}:
        await keyboard.begin(f"{editor} shop.conf")
        await keyboard.expect("expiry")
        await asyncio.sleep(_PAUSE_S)
        await keyboard.type("/timeout")
        await keyboard.press("\r")
        await asyncio.sleep(_PAUSE_S)
        await keyboard.press("C")
        await keyboard.type('timeout = "5s')
        await keyboard.press("\x1b")
        await asyncio.sleep(_PAUSE_S)
        await keyboard.type(":wq")
        await keyboard.press("\r")
        await keyboard.prompt()
    elif editor == "nano":
        await keyboard.begin("nano +5 shop.conf")
        await keyboard.expect("expiry")
        await asyncio.sleep(_PAUSE_S)
        await keyboard.press("\x0b")
        await keyboard.type('timeout = "5s\r')
        await keyboard.press("\x0f")
        await keyboard.expect("shop.conf")
        await keyboard.press("\r")
        await keyboard.expect("(?i)wrote")
        await keyboard.press("\x18")
        await keyboard.prompt()
    else:
        await keyboard.command("""sed -i.old 's/^timeout.*/timeout = "5s/' shop.conf""")
    await keyboard.begin("./check; echo status $?")
    await keyboard.expect(r"does not end[^$]*status 1\s")
    await keyboard.prompt()
    await asyncio.sleep(_PAUSE_S)
    await keyboard.command("""sed -i.bak 's/"5s$/"5s"/' shop.conf""")
    await keyboard.begin("./check")
    await keyboard.expect("is fine")
    await keyboard.prompt()


async def _deploy(keyboard: Keyboard) -> None:
    await keyboard.begin("./deploy")
    await keyboard.expect("deploy token: ")
    await keyboard.type("not-a-real-token")
    await keyboard.press("\r")
    await keyboard.expect(r"\b50%")
    keyboard.resize(*_WIDER)
    await keyboard.expect("is live")
    await keyboard.prompt()
    await keyboard.begin("stty size")
    await keyboard.expect(rf"\b{_WIDER[1]} {_WIDER[0]}\b")
    await keyboard.prompt()


async def _copy(connection: asyncssh.SSHClientConnection, errand: Errand, shop: str) -> None:
    note = errand.folder / "release-note.txt"
    note.write_text("shop 1.4.2: the upstream timeout is 5 s now\n")
    async with connection.start_sftp_client(env=errand.asserted) as sftp:
        await sftp.get(f"{shop}/shop.log", str(errand.folder / "shop.log"))
        await sftp.put(str(note), f"{shop}/release-note.txt")
        await sftp.rename(f"{shop}/release-note.txt", f"{shop}/RELEASE")
    if not (errand.folder / "shop.log").stat().st_size:
        raise DemoError("the agent fetched an empty shop.log")


async def _ask_too_much(connection: asyncssh.SSHClientConnection) -> None:
    """Asks for a port of the target: the gateway records no forwarded ports, and therefore refuses."""
    try:
        await connection.open_connection("127.0.0.1", 5432)
    except asyncssh.ChannelOpenError:
        return
    raise DemoError("the gateway forwarded a port, which it must refuse")


async def _run(
    connection: asyncssh.SSHClientConnection, environment: Mapping[str, str], command: str, status: int
) -> str:
    """Runs a command without a terminal; its stdout. DemoError when it ends otherwise than with `status`."""
    try:
        done = await connection.run(command, env=dict(environment), timeout=_COMMAND_LIMIT_S)
    except (asyncssh.TimeoutError, TimeoutError):
        raise DemoError(f"{command!r} did not end within {_COMMAND_LIMIT_S:.0f} s") from None
    if done.exit_status != status:
        raise DemoError(f"{command!r} ended with {done.exit_status or done.exit_signal}, not with {status}")
    return str(done.stdout or "")
