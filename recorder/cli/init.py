"""`tacho init`: a folder with a commented configuration, keys and an empty catalogue."""

import os
from pathlib import Path

import click

from recorder.cli.verb import Failure
from recorder.config import ConfigError, guard
from recorder.config.template import TEMPLATE

_UMASK = 0o027  # the group may read what is not a key, others nothing; written by the owner alone


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Write a commented tachograph.toml, keys and an empty catalogue into FOLDER (here when left out)."""
    before = os.umask(_UMASK)
    try:
        _write(folder)
    finally:
        os.umask(before)


def _write(folder: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from recorder import tree
    from recorder.catalogue.sqlite import Catalogue
    from recorder.protocols.ssh.serve import make_key_pair

    config_file = folder / "tachograph.toml"
    data = folder / "var"
    if config_file.exists() or data.exists():
        raise Failure(f"{config_file if config_file.exists() else data} exists already: name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        guard.check_folder(folder)
        for kept in (data, data / "keys", data / "tapes"):
            kept.mkdir()
        gateway = Ed25519PrivateKey.generate()
        _private(data / "keys/gateway", gateway.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        verifier = tree.verifier_key("gateway", tree.public_bytes(gateway))
        (data / "keys/gateway.pub").write_text(verifier + "\n")
        for name in ("ssh_host", "upstream"):
            private, public = make_key_pair(f"tachograph-{name}")
            _private(data / "keys" / name, private)
            (data / "keys" / f"{name}.pub").write_bytes(public)
        catalogue = Catalogue(data / "catalogue.db", write=True)
        catalogue.settle()
        catalogue.close()
        config_file.write_text(TEMPLATE)
    except ConfigError as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"cannot write {error.filename or folder}: {error.strerror}; name another folder") from None
    click.echo(f"wrote {config_file} and {data}/")
    click.echo("next:")
    click.echo(f"  1. put {data}/keys/upstream.pub into authorized_keys of the account on your server")
    click.echo(f"  2. uncomment [[target]] and [[agent]] in {config_file} and fill them in")
    click.echo(f"  3. tacho gateway --config {config_file}")


def _private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
