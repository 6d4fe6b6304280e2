"""The catalogue's rows of sessions that were recovered at start. Writes rows; the tapes are written by then."""

import logging
from dataclasses import replace

from recorder import identity
from recorder.catalogue.sqlite import Catalogue
from recorder.format.recovery import REASON, Recovered
from recorder.model import Attribution, Session, Source, State

log = logging.getLogger("tacho.gateway")


def enter(catalogue: Catalogue, found: Recovered) -> Session:
    """Enters a recovered session: its row as it was, or made from the tape, with its end."""
    account = found.account
    known = catalogue.get(found.session)
    totals = account.closed or {}
    reason = totals.get("reason")
    row = replace(
        known or _from_tape(found),
        ended=found.start + account.last_t * 1000,
        state=State.CLOSED if found.complete and found.segments == 1 else State.RECOVERED,
        reason=reason if isinstance(reason, str) else REASON,
        bytes_in=account.bytes_in,
        bytes_out=account.bytes_out,
        verdicts=dict(account.verdicts),
        gaps=account.gaps,
        segments=found.segments,
        size=found.size,
    )
    catalogue.put(row)
    for facts in account.asserted:
        if facts.get("run"):
            catalogue.add_run(found.session, facts["run"])
    for head in found.heads:
        catalogue.put_head(head, running=False)
    if not found.complete:
        journal = f"{found.journal} more from the journal"
        log.warning(
            "session %s recovered: %d frames kept, %s, %d bytes cut", found.session, found.kept, journal, found.cut
        )
    return row


def _from_tape(found: Recovered) -> Session:
    """The row of a session that the catalogue had not heard of, by its open frame."""
    opened = found.account.opened

    def text(name: str) -> str:
        value = opened.get(name)
        return value if isinstance(value, str) else ""

    given = opened.get("sources")
    sources = {str(name): Source(value) for name, value in given.items()} if isinstance(given, dict) else {}
    who = Attribution(
        text("agent"),
        text("run"),
        request=text("request") or None,
        on_behalf_of=text("on_behalf_of") or None,
        credential=text("credential") or None,
        client=text("client") or None,
        sources=sources,
        unattributed=opened.get("unattributed") is not False,
    )
    for facts in found.account.asserted:
        who = identity.asserted(who, facts)
    return Session(found.session, text("protocol"), who, text("target"), text("login"), found.start)
