"""From what a person names (a path, an ID or part of one, `latest`) to the segments of one recording.

It reads the catalogue and folder listings, never a tape's frames.
"""

import os
from pathlib import Path

from recorder.catalogue.sqlite import Catalogue, CatalogueError
from recorder.config import Config, ConfigError, find, load
from recorder.format import store
from recorder.model import Session
from recorder.safe import printable, quoted
from replay.recording.errors import NotFound, RecordingError, Unreadable
from replay.recording.recording import Recording

NEWEST = ("latest", "-")
"""What names the newest session."""
SHORT = 8
"""Characters at the end of an ID that lists show."""


def open(path_or_id: str | Path, config: Config | None = None) -> Recording:  # noqa: A001 - the public name
    """Opens one recording.

    A `Path`, a text with `/` in it or one that ends in `.tape` names a segment's file or a session's folder; the other
    segments beside it belong to the recording. `latest` and `-` are the newest session, anything else a session's ID
    or an unambiguous beginning or end of one, looked up in the catalogue of `config` (by default that of the
    configuration found as the commands find it).

    NotFound when nothing or more than one session answers; Unreadable when there is no readable tape; RecordingError
    when configuration or catalogue cannot be used; OSError when a file cannot be read.
    """
    if isinstance(path_or_id, Path) or is_path(path_or_id):
        return _by_path(Path(path_or_id), config)
    chosen = config or _configuration()
    session = look_up(path_or_id, chosen)
    return of_session(session, chosen)


def is_path(text: str) -> bool:
    """Whether an argument of a command names a file rather than a session."""
    return "/" in text or text.endswith(store.SUFFIX)


def look_up(part: str, config: Config) -> Session:
    """The session that `latest`, `-`, or a beginning or end of its ID names; NotFound, RecordingError."""
    catalogue = catalogue_of(config)
    try:
        if part in NEWEST:
            newest = catalogue.latest()
            if newest is None:
                raise NotFound(f"the catalogue {config.catalogue} has no session yet: let an agent connect first")
            return newest
        found = catalogue.matching(part) if part else []
    except CatalogueError as error:
        raise RecordingError(str(error)) from None
    finally:
        catalogue.close()
    if not found:
        raise NotFound(f"no session begins or ends with {quoted(part, 64)} in {config.catalogue}: see `tacho ls`")
    if len(found) > 1:
        names = ", ".join(session.id[-SHORT:] for session in found)
        raise NotFound(f"{quoted(part, 64)} means more than one session, name one of them: {printable(names)}")
    return found[0]


def of_session(session: Session, config: Config) -> Recording:
    """Opens the recording of a row of the catalogue; NotFound when its tape is not there, Unreadable, OSError."""
    paths = tapes_of(session, config)
    if not paths:
        raise NotFound(f"the tape of session {printable(session.id)} is not in {config.tapes}: restore it from a copy")
    return Recording(paths, session)


def tapes_of(session: Session, config: Config) -> list[Path]:
    """The segments of a row of the catalogue, in reading order; empty when there are none."""
    try:
        return store.segments(store.folder_of(config.tapes, session.id))
    except ValueError:
        return []  # an ID that the gateway never made has no tape


def catalogue_of(config: Config) -> Catalogue:
    """The catalogue of a configuration, for reading; RecordingError when it cannot be opened."""
    try:
        return Catalogue(config.catalogue)
    except CatalogueError as error:
        raise RecordingError(str(error)) from None


def paths_at(path: Path) -> list[Path]:
    """The files that may be segments of the recording at `path`, that file first unless `path` is a folder.

    NotFound when there is none.
    """
    path = path.resolve()
    if path.is_dir():
        paths = store.segments(path)
        if not paths:
            raise NotFound(f"{printable(str(path))} holds no tape: name a .tape file")
        return paths
    if not path.exists():
        raise NotFound(f"there is no tape at {printable(str(path))}")
    if not path.is_file():
        raise Unreadable(f"{printable(str(path))} is no tape: it is not a regular file")
    beside = store.segments(path.parent) if path.stem.isdigit() else []
    return [path, *(other for other in beside if other != path)]


def _by_path(path: Path, config: Config | None) -> Recording:
    recording = Recording(paths_at(path))
    if config is not None:
        recording.described_by(_row_of(recording, config))
    return recording


def _row_of(recording: Recording, config: Config) -> Session | None:
    """The catalogue's row, when the tape lies where the gateway of `config` keeps it."""
    try:
        if recording.paths[0].parent != store.folder_of(config.tapes, recording.id).resolve():
            return None
        catalogue = Catalogue(config.catalogue)
    except (ValueError, CatalogueError):
        return None  # a tape tells who made it by itself
    try:
        return catalogue.get(recording.id)
    except CatalogueError:
        return None
    finally:
        catalogue.close()


def _configuration() -> Config:
    try:
        return load(find(None, os.environ))
    except ConfigError as error:
        raise RecordingError(str(error)) from None
