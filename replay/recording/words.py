"""A verification in lines for a person: the verdict first, then what was and what was not checked."""

from recorder.model import State
from recorder.safe import printable
from replay.recording.clock import clock
from replay.recording.findings import Fault, Trouble
from replay.recording.verify import Report, fingerprint


def words(report: Report) -> list[str]:
    """The report in lines for a person: the verdict first."""
    return [*_verdict(report), *_facts(report)]


def _verdict(report: Report) -> list[str]:
    if not report.faults:
        return [_GOOD[report.state]]
    lines = [_fault(fault, several=report.segments > 1) for fault in report.faults]
    if report.more_faults:
        lines.append(f"and {report.more_faults} more")
    return lines


_GOOD = {
    State.LIVE: "live so far: everything up to now is unchanged",
    State.CLOSED: "complete and unchanged",
    State.RECOVERED: "complete and unchanged: recovered after the gateway had stopped",
}


def _fault(fault: Fault, *, several: bool) -> str:
    place = [f"segment {fault.segment}"] if several and fault.trouble is not Trouble.OTHER_KEY else []
    if fault.chunk is not None:
        place.append(f"chunk {fault.chunk}")
    if fault.first_t is not None and fault.last_t is not None:
        place.append(f"{clock(fault.first_t)}–{clock(fault.last_t)}")
    where = f"{', '.join(place)}: " if place else ""
    return f"{fault.trouble.value}: {where}{printable(fault.text)}"


def _facts(report: Report) -> list[str]:
    size = f"{report.segments} segments, " if report.segments > 1 else ""
    lines = [f"session {printable(report.session, limit=64)}"] if report.session else []
    chunks = "1 chunk" if report.chunks == 1 else f"{report.chunks} chunks"
    lines.append(f"{size}{chunks}, {report.frames} frames, {clock(report.duration)}")
    lines += map(printable, report.facts)
    if report.unsealed:
        lines.append(f"of them {report.unsealed} at the end are not signed yet")
    if report.gaps:
        lines.append(f"{report.gaps} gaps are recorded")
    for name, key in report.signers:
        named = "the key that you named" if report.key_named else "no key was named: compare it, or name one (--key)"
        if all(fault.trouble is not Trouble.OTHER_KEY for fault in report.faults):
            lines.append(f"signed by {printable(name, limit=64)}, {fingerprint(key)} ({named})")
    if not report.heads_known:
        lines.append("not compared with a catalogue: a missing tail shows only as a missing close")
    lines.append("not witnessed")
    return lines
