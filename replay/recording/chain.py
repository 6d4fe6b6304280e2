"""Whether segments follow one another: each names the one before it, as far as it continues it.

What lies beyond was not on disk when the writer went on in the next segment: that is a fact, and no fault.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from recorder import tree
from recorder.format.blocks import Malformed, Source
from recorder.format.frame import FrameError
from recorder.format.reader import SegmentReader, UnreadableTape
from recorder.format.seal import Header, Previous
from replay.recording.findings import Audit, Fault, Trouble

_PIECE = 1 << 20


def continued(header: Header | None, others: Sequence[Header | None]) -> Previous | None:
    """What the next segment among `others` says of that of `header`; None when there is none by the same gateway."""
    for other in others:
        if header is None or other is None or (other.session, other.segment) != (header.session, header.segment + 1):
            continue
        if other.previous is not None and other.gateway_key == header.gateway_key and other.endorsed():
            return other.previous
    return None


def unbegun(found: Audit, others: Sequence[Audit]) -> int | None:
    """The number of a segment that has no HEADER, when the next one says so: the gateway died while it began it."""
    stem = found.path.stem
    if found.header is not None or not (stem.isascii() and stem.isdecimal()):
        return None
    for other in others:
        previous = other.header.previous if other.header is not None else None
        if other.header is None or other.header.segment != int(stem) + 1 or previous is None:
            continue
        nothing = not previous.frames and previous.root == tree.EMPTY_ROOT and other.header.endorsed()
        if nothing and previous.length <= found.length and previous.sha256 == _sha256(found.path, previous.length):
            return int(stem)
    return None


def chained(before: Audit, after: Audit, unbegun: Collection[int] = ()) -> list[Fault]:
    """What is wrong with the way in which `after` continues `before`: length, SHA-256, frames, their root.

    `unbegun` are the numbers of segments that may lie between them.
    """
    if before.header is None or after.header is None:
        return []
    own, number, previous = before.header, after.header.segment, after.header.previous
    between = sum(own.segment < other < number for other in unbegun)
    if 0 < between == number - own.segment - 1:
        if after.header.first_frame == own.first_frame + before.frames:
            return []
        text = f"it goes on from frame {after.header.first_frame}, segment {own.segment} ends before"
        return [Fault(Trouble.ALTERED, f"{text} {own.first_frame + before.frames}", number)]
    if number != own.segment + 1:
        return []
    if previous is None:
        return [Fault(Trouble.ALTERED, "it does not name the segment before it", number)]
    faults = []
    if previous.length != before.length or previous.sha256 != _sha256(before.path, before.length):
        faults.append(Fault(Trouble.ALTERED, f"segment {number - 1} is not the one that it continues", number))
    if previous.frames > before.frames or after.header.first_frame != own.first_frame + previous.frames:
        text = f"it continues {previous.frames} frames, segment {number - 1} has {before.frames}"
        faults.append(Fault(Trouble.ALTERED, text, number))
    if after.header.start != own.start:
        faults.append(Fault(Trouble.ALTERED, "it does not begin when the session began", number))
    if previous.root != before.root and not faults and not before.faults:
        text = f"the {previous.frames} frames that it continues are not those of segment {number - 1}"
        faults.append(Fault(Trouble.ALTERED, text, number))
    return faults


def written_again(before: Audit, after: Audit) -> str:
    """What lies at the end of `before` and is no part of the session, in words; empty when there is nothing.

    OSError when one of the two cannot be read.
    """
    if before.header is None or after.header is None or after.header.previous is None:
        return ""
    number, end = before.header.segment, before.header.first_frame + after.header.previous.frames
    ahead = _packed(after.path, after.header.first_frame)
    total, again = 0, True
    for packed in _packed(before.path, end):
        total += 1
        again = again and any(other == packed for other in ahead)
    if total:
        what = "were written again" if again else "do not count, and not all of them were written again"
        return f"{total} frames at the end of segment {number} {what} in segment {number + 1}"
    return f"{before.beyond} bytes at the end of segment {number} do not count" if before.beyond else ""


def _packed(path: Path, first: int) -> Iterator[bytes]:
    """The frames from number `first` on, as they are stored, as far as they read."""
    try:
        with closing(SegmentReader(path)) as reader:
            for chunk in reader.chunks[reader.chunk_for_frame(first) :]:
                for frame, packed in reader.packed_frames(chunk):
                    if frame.number >= first:
                        yield packed
    except (UnreadableTape, Malformed, FrameError):
        return  # what does not read is no frame


def _sha256(path: Path, length: int) -> bytes:
    """SHA-256 of the first `length` bytes of a file."""
    digest = hashlib.sha256()
    with closing(Source(path, length)) as source:
        offset = 0
        while piece := source.some(offset, _PIECE):
            digest.update(piece)
            offset += len(piece)
    return digest.digest()
