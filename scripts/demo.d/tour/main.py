"""The demo from its options to its exit status: what is started here is stopped here, whatever happens."""

import argparse
import asyncio
import io
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import asyncssh

from tour import gateway, project, story, target
from tour.failure import DemoError
from tour.review import Review

_STORY_LIMIT_S = 120.0
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; 0, or 1 after one sentence, 2 for a wrong option, 130 when interrupted."""
    options = _options(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    kept = options.keep is not None
    try:
        folder = _folder(options.keep)
    except DemoError as error:
        _say(str(error))
        return 1
    # Started in the background of a script, SIGINT is ignored, and would be in the agent's shell as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        review = asyncio.run(_record(folder, embedded=options.embedded))
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        if options.plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
            review.print()
            review.export(folder / "exports" if kept else Path(tempfile.mkdtemp(prefix="tachograph-demo-exports-")))
        else:
            review.play()
            if not kept:
                _say("nothing was kept: --keep DIR leaves everything for a look, --plain prints the transcript")
        if kept:
            _say(f"kept {folder}; look again with {review.again}")
    except DemoError as error:
        _say(str(error))
        return 1
    except BrokenPipeError:
        # What is still buffered has no reader; at exit Python would complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _say(f"the demo cannot go on: {error}")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("interrupted")
        return INTERRUPTED
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/demo", description=__doc__, allow_abbrev=False)
    parser.add_argument("--plain", action="store_true", help="print transcript, verification and export paths")
    parser.add_argument("--embedded", action="store_true", help="use the embedded SSH server even where there is sshd")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="work in DIR, new or empty, and leave everything there"
    )
    return parser.parse_args(arguments)


def _folder(keep: Path | None) -> Path:
    try:
        if keep is None:
            return Path(tempfile.mkdtemp(prefix="tachograph-demo-")).resolve()
        keep.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(keep.iterdir()):
            raise DemoError(f"{keep} is not empty: name a new or an empty folder")
        return keep.resolve()
    except OSError as error:
        raise DemoError(f"cannot make the folder {error.filename}: {error.strerror}") from None


async def _record(folder: Path, *, embedded: bool) -> Review:
    """Target, gateway, agent, and all of them stopped again."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    home = folder / "home"
    project.lay_out(home, os.environ.get("PATH", os.defpath))
    made = await asyncio.to_thread(gateway.make, folder / "gateway")
    agent = folder / "agent"
    agent.mkdir()
    key = asyncssh.generate_private_key("ssh-ed25519", comment=gateway.AGENT)
    run = story.new_run()
    async with target.running(folder / "target", home, made.upstream_key, embedded) as reached:
        _say(f"target {gateway.TARGET} is {reached.description}, 127.0.0.1:{reached.port}, login {reached.login}")
        gateway.configure(made, reached, key.export_public_key().decode().strip())
        async with gateway.serving(made) as port:
            _say(f"gateway listens on 127.0.0.1:{port}")
            _say(f"agent {gateway.AGENT} begins run {run}")
            errand = story.Errand(port, made.host_key, key, run, agent)
            try:
                async with asyncio.timeout(_STORY_LIMIT_S):
                    await story.work(errand, lambda step: _say(f"  {step}"))
            except TimeoutError:
                raise DemoError(f"the agent's work took more than {_STORY_LIMIT_S:.0f} s") from None
    sessions = made.sessions()
    if not sessions:
        raise DemoError(f"the gateway recorded no session in {made.folder}")
    _say(f"gateway and target stopped; {len(sessions)} sessions recorded")
    return Review(made, run, sessions)


def _say(text: str) -> None:
    sys.stdout.flush()
    print(f"demo: {text}", file=sys.stderr, flush=True)
