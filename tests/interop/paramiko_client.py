"""A client on paramiko: a program for Debian's own Python, started by test_interop_paramiko.py and never imported.

usage: paramiko_client.py WHAT PORT USER KEY KNOWN_HOSTS FOLDER; prints as JSON what it saw.
"""

import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import paramiko  # type: ignore[import-untyped] # only the Python that runs this has it

_MIB = 1024 * 1024
_LIMIT_S = 60.0

Seen = dict[str, object]


def digest(data: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(data).hexdigest()


def noise(size: int, seed: str) -> bytes:
    """Bytes that do not repeat."""
    return hashlib.shake_256(seed.encode()).digest(size)


def execute(client: paramiko.SSHClient, _folder: Path) -> Seen:
    """Commands with both streams, a status, the environment, input."""
    seen: Seen = {}
    commands = {"both": "echo out; echo err >&2; exit 3", "environment": "echo $TEST_X", "input": "cat; exit 255"}
    for name, command in commands.items():
        stdin, stdout, stderr = client.exec_command(command, timeout=_LIMIT_S, environment={"TEST_X": "y"})
        if name == "input":
            stdin.write(b"given")
            stdin.channel.shutdown_write()
        ends = (stdout.read().decode(), stderr.read().decode(), stdout.channel.recv_exit_status())
        seen[name] = ends
    return seen


def channels(client: paramiko.SSHClient, _folder: Path) -> Seen:
    """Ten commands at once on one transport, each with input, output and errors of its own."""
    seen: Seen = {}

    def talk(number: int) -> None:
        channel = client.get_transport().open_session(timeout=_LIMIT_S)
        channel.settimeout(_LIMIT_S)
        channel.exec_command(f"cat; head -c {number * 10_000} /dev/zero >&2; exit {number}")
        errors = bytearray()
        draining = threading.Thread(target=lambda: errors.extend(channel.makefile_stderr("rb").read()))
        draining.start()
        sent = noise(200_000 + number, str(number))
        writing = threading.Thread(target=lambda: (channel.sendall(sent), channel.shutdown_write()))
        writing.start()
        received = channel.makefile("rb").read()
        writing.join()
        draining.join()
        seen[str(number)] = (received == sent, len(errors), channel.recv_exit_status())

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LIMIT_S)
    return seen


def shell(client: paramiko.SSHClient, _folder: Path) -> Seen:
    """A shell on a terminal that changes its size."""
    channel = client.invoke_shell(term="vt100", width=100, height=30)
    channel.settimeout(_LIMIT_S)
    channel.sendall(b"exec sh\n")  # which draws nothing by itself
    channel.sendall(b"PS1=; stty -echo; echo r''eady\n")
    _until(channel, b"ready\r\n")
    sizes = []
    for size in ((100, 30), (132, 43), (80, 24)):
        channel.resize_pty(width=size[0], height=size[1])
        channel.sendall(b"stty size; echo e''nd\n")
        sizes.append(_until(channel, b"end\r\n").decode())
    channel.sendall(b"echo $TERM; exit 5\n")
    rest = bytearray()
    while piece := channel.recv(4096):
        rest += piece
    return {"sizes": sizes, "rest": rest.decode(), "status": channel.recv_exit_status()}


def _until(channel: paramiko.Channel, end: bytes) -> bytes:
    text = bytearray()
    while not text.endswith(end):
        piece = channel.recv(4096)
        if not piece:
            raise EOFError(bytes(text))
        text += piece
    return bytes(text)


def sftp(client: paramiko.SSHClient, folder: Path) -> Seen:
    """8 MB up and down, and what else there is to do with files."""
    session = client.open_sftp()
    sent = noise(8 * _MIB, "sftp")
    (folder / "sent").write_bytes(sent)
    at = str(folder / "at")
    session.mkdir(at, 0o750)
    session.chdir(at)
    calls: list[int] = []
    put = session.put(str(folder / "sent"), "large", callback=lambda done, _whole: calls.append(done))
    session.get("large", str(folder / "back"))  # prefetches
    with session.open("large", "rb") as file:
        file.prefetch()
        prefetched = file.read()
    with session.open("large", "rb") as file:
        file.seek(5 * _MIB)
        middle = file.read(1000)
    with session.open("small", "wx") as file:
        file.write("small\n")
    with session.open("small", "a") as file:
        file.write("more\n")
    session.symlink("small", "link")
    session.rename("small", "renamed")
    session.posix_rename("renamed", "small")
    session.chmod("small", 0o604)
    session.utime("small", (1_700_000_000, 1_700_000_001))
    session.truncate("small", 8)
    status = session.stat("small")
    refusals = [_refusal(call) for call in (lambda: session.stat("none"), lambda: session.mkdir("small"))]
    session.open("gone", "w").close()
    session.remove("gone")
    return {
        "put": (put.st_size, calls[-1]),
        "back": digest((folder / "back").read_bytes()) == digest(sent),
        "prefetched": prefetched == sent,
        "middle": middle == sent[5 * _MIB : 5 * _MIB + 1000],
        "list": sorted((entry.filename, entry.st_mode, entry.st_size) for entry in session.listdir_attr(".")),
        "link": (session.readlink("link"), session.normalize("link") == f"{at}/small"),
        "small": (oct(status.st_mode), status.st_size, status.st_atime),
        "refusals": refusals,
    }


def rekey(client: paramiko.SSHClient, _folder: Path) -> Seen:
    """New keys thrice while a command echoes 4 MB."""
    transport = client.get_transport()
    channel = transport.open_session(timeout=_LIMIT_S)
    channel.settimeout(_LIMIT_S)
    channel.exec_command("cat")
    sent = noise(4 * _MIB, "rekey")
    received = bytearray()

    def read() -> None:
        while piece := channel.recv(65_536):
            received.extend(piece)

    def write(part: bytes) -> None:
        channel.sendall(part)

    reading = threading.Thread(target=read)
    reading.start()
    for number in range(4):
        writing = threading.Thread(target=write, args=(sent[number * _MIB : (number + 1) * _MIB],))
        writing.start()
        if number:
            transport.renegotiate_keys()
        writing.join(_LIMIT_S)
    channel.shutdown_write()
    reading.join(_LIMIT_S)
    _, stdout, _ = client.exec_command("echo after", timeout=_LIMIT_S)
    after = stdout.read().decode()
    return {"echo": bytes(received) == sent, "status": channel.recv_exit_status(), "after": after}


def forward(client: paramiko.SSHClient, _folder: Path) -> Seen:
    """A direct-tcpip channel to the target's own SSH port; what comes of it, and that a command still runs."""
    port = int(os.environ["FORWARD_TO"])
    try:
        channel = client.get_transport().open_channel("direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 1))
        opened: object = channel.recv(4).decode()
    except paramiko.ChannelException as error:
        opened = (error.code, error.text)
    _, stdout, _ = client.exec_command("echo on", timeout=_LIMIT_S)
    return {"opened": opened, "after": stdout.read().decode()}


def _refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except OSError as error:
        return f"{type(error).__name__} {error.errno}: {error}"
    return "none"


def main() -> None:
    """Connects, does what was asked for, prints it."""
    what, port, user, key, known_hosts, folder = sys.argv[1:]
    doings = {"exec": execute, "channels": channels, "shell": shell, "sftp": sftp, "rekey": rekey, "forward": forward}
    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    limits = {"timeout": _LIMIT_S, "banner_timeout": _LIMIT_S, "auth_timeout": _LIMIT_S}
    client.connect(
        "127.0.0.1", int(port), user, key_filename=key, allow_agent=False, look_for_keys=False, **limits
    )  # fmt: skip
    with client:
        seen = doings[what](client, Path(folder))
    json.dump(seen, sys.stdout, sort_keys=True)


main()
