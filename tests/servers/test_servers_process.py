"""What the tests start ends with them, however they end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.process import Server, ServerError
from tests.servers.tapes import until

ROOT = Path(__file__).parents[2]
_STARTER = """
import sys
from pathlib import Path
from tests.servers.process import Server
server = Server(["sleep", "300"], Path(sys.argv[1]))
sys.stdout.write(f"{server.pid}\\n")
sys.stdout.flush()
server.wait(300)
"""


def test_server_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _STARTER, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    until(lambda: True if not _runs(pid) else None, "the end of the server")


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_line_of_a_server_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    with Server(["echo", "something else"], tmp_path / "log") as server, pytest.raises(ServerError, match="something"):
        server.line("ready")
