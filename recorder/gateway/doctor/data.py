"""The data folder: whose it is, and who may read and write in it. Looks at rights and owners alone."""

import shlex
import stat
from collections.abc import Iterator

from recorder.config import guard
from recorder.gateway.doctor.finding import Finding, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup
from recorder.rights import account

_ABOUT = "data folder"


def check(setup: Setup) -> Iterator[Finding]:
    """Whose it is, and the rights of what lies in it."""
    config = setup.config
    found = [wrong(_ABOUT, fault) for fault in guard.faults(config, setup.uid)]
    for folder in (config.data, config.keys, config.tapes, config.journal, config.socket.parent):
        try:
            status = folder.stat()
        except OSError:
            continue  # not made yet, or in a folder that was just complained of
        shown = shlex.quote(str(folder))
        if not stat.S_ISDIR(status.st_mode):
            found.append(wrong(_ABOUT, f"{folder} is no folder: move it away"))
        elif status.st_mode & stat.S_IRWXU != stat.S_IRWXU and status.st_uid == setup.uid:
            found.append(wrong(_ABOUT, f"its owner may not read and write {folder}: run `chmod u+rwx {shown}`"))
        elif folder == config.data and status.st_mode & stat.S_IRWXO:
            what = f"every user of this machine may look into {folder}"
            found.append(warn(_ABOUT, f"{what}: run `chmod o-rwx {shown}`"))
    yield from found
    if not found:
        yield ok(_ABOUT, f"{config.data} is {account(setup.uid)}'s, who alone writes in it")


def missing(setup: Setup) -> Finding | None:
    """What to say when there is no data folder at all."""
    data = setup.config.data
    if data.is_dir():
        return None
    elsewhere = f"correct [gateway] data in {setup.config.path}, or begin anew with `tacho init NEW`"
    mend = f"put it back or mount its disk, {elsewhere}"
    return wrong(_ABOUT, f"there is no folder {data}: {mend}")
