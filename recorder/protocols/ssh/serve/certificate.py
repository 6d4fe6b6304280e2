"""SSH user certificates (OpenSSH's PROTOCOL.certkeys): what one says and grants, and the words for why it is refused.

asyncssh checks signatures, types and times; nothing here replaces those checks. Whom one names is the front's to say.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import cast

from asyncssh.packet import PacketDecodeError, SSHPacket, String
from asyncssh.public_key import (
    CERT_TYPE_USER,
    KeyImportError,
    SSHOpenSSHCertificate,
    decode_ssh_certificate,
)

from recorder.model import Agent
from recorder.protocol import Certificate, Refused
from recorder.protocols.ssh.serve.items import Request
from recorder.safe import printable, quoted

_TYPE_SUFFIX = b"-cert-v01@openssh.com"
_SIZE_LIMIT = 16 * 1024  # bytes; it bounds the key id, the principals and the forced command
_FOREVER = 0xFFFFFFFFFFFFFFFF
_INTERNAL_SFTP = b"internal-sftp"  # OpenSSH's name for its sftp server where no program is to be started
_SHA1 = b"ssh-rsa"  # RFC 4253 section 6.6: as a signature's algorithm, RSA with SHA-1


@dataclass(frozen=True, slots=True)
class Grants:
    """What the credential of a connection permits; a plain key permits all of it."""

    forced: bytes | None = None  # executed in place of whatever is asked for
    pty: bool = True
    forward: bool = True


@dataclass(frozen=True, slots=True)
class Proof:
    """A key, whose it is, and the certificate that says so, if it is not the configuration."""

    agent: Agent
    key: bytes
    certificate: Certificate | None = None
    grants: Grants = Grants()


@dataclass(frozen=True, slots=True)
class Vouched:
    """A certificate that names an agent; `cert` is asyncssh's, for its own checks."""

    proof: Proof
    cert: SSHOpenSSHCertificate


def is_certificate(blob: bytes) -> bool:
    """Whether an offered key is of a certificate's type."""
    try:
        return SSHPacket(blob).get_string().endswith(_TYPE_SUFFIX)
    except PacketDecodeError:
        return False


def examine(blob: bytes, address: str, name: Callable[[Certificate], Agent]) -> Vouched:
    """The agent and the grants of a certificate that a peer at `address` offers; `name` says whom it names.

    Refused with one sentence for the gateway's log.
    """
    if len(blob) > _SIZE_LIMIT:
        raise Refused(f"the certificate is refused: it is larger than {_SIZE_LIMIT} bytes")
    try:
        cert = cast("SSHOpenSSHCertificate", decode_ssh_certificate(blob))
    except KeyImportError as error:
        # asyncssh says what it was (an unknown critical option, a bad signature) only to itself.
        why = printable(str(error.__context__ or error), limit=128)
        raise Refused(f"the certificate is refused: it cannot be used ({why})") from None
    certificate = Certificate(
        key_id=cert._key_id,
        serial=cert._serial,
        authority=cert.signing_key.public_data,
        principals=tuple(cert.principals),
        valid_from=cert._valid_after,
        valid_until=None if cert._valid_before == _FOREVER else cert._valid_before,
    )
    if cert._cert_type != CERT_TYPE_USER:
        raise Refused(f"{_label(certificate)} is refused: it is a host's; sign one for a user, without ssh-keygen -h")
    try:
        agent = name(certificate)
    except Refused as refusal:
        raise Refused(f"{_label(certificate)} is refused: {refusal}") from None
    why = _fault(cert, blob, address)
    if why:
        raise Refused(f"{_label(certificate)} for agent {quoted(agent.name, 64)} is refused: {why}")
    return Vouched(Proof(agent, cert.key.public_data, certificate, _grants(cert)), cert)


def _label(certificate: Certificate) -> str:
    return f"certificate {quoted(certificate.key_id, 64)} (serial {certificate.serial})"


def _fault(cert: SSHOpenSSHCertificate, blob: bytes, address: str) -> str:
    """What is wrong with a certificate whose signature is good; empty when nothing is."""
    now = time.time()
    if now < cert._valid_after:
        return f"it is not valid before {_utc(cert._valid_after)}, and now it is {_utc(now)}"
    if now >= cert._valid_before:
        return f"it expired at {_utc(cert._valid_before)}"
    if _signature_algorithm(cert, blob) == _SHA1:
        return "its authority signed it with SHA-1: sign it with ssh-keygen -t rsa-sha2-512"
    if "source-address" in cert.options:
        networks = cast("list[IPv4Network | IPv6Network]", cert.options["source-address"])
        try:
            peer = ip_address(address)
        except ValueError:
            return "it is bound to source addresses, and the peer's is not known"
        if not any(peer in network for network in networks):
            allowed = ", ".join(map(str, networks[:3])) or "nowhere"
            return f"it may be used from {allowed}, not from {peer}"
    return ""


def _signature_algorithm(cert: SSHOpenSSHCertificate, blob: bytes) -> bytes:
    """The algorithm of the authority's signature, which is the certificate's last field, behind the authority's key."""
    signature = SSHPacket(blob.rpartition(String(cert.signing_key.public_data))[2])
    try:
        return SSHPacket(signature.get_string()).get_string()
    except PacketDecodeError:
        return _SHA1  # the key is not written as everybody writes it; nothing honest does that


def _grants(cert: SSHOpenSSHCertificate) -> Grants:
    forced = cert.options.get("force-command")
    return Grants(
        forced=None if forced is None else str(forced).encode(),
        pty="permit-pty" in cert.options,
        forward="permit-port-forwarding" in cert.options,
    )


def in_place_of(request: Request, forced: bytes) -> tuple[Request, bytes]:
    """The request that a forced command makes of an agent's, and its text."""
    if forced == _INTERNAL_SFTP:
        return Request("subsystem", request.want_reply, String("sftp")), b"sftp"
    return Request("exec", request.want_reply, String(forced)), forced


def original_command(asked: bytes) -> Request:
    """What tells a forced command, as OpenSSH does, which command was asked for; a server may ignore it."""
    return Request("env", False, String("SSH_ORIGINAL_COMMAND") + String(asked))


def _utc(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "the end of time"  # beyond the year 9999
