"""The gateway's and the administrator's verbs. Heavy imports happen inside the verb that needs them."""

import gc
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from recorder.config import Config, ConfigError, find, load
from recorder.config.template import TEMPLATE

if TYPE_CHECKING:
    import asyncio

OK, ERROR, USAGE, NOT_FOUND, INTEGRITY, FINDINGS, FORBIDDEN = range(7)

_Command = TypeVar("_Command", bound=Callable[..., object])


class Failure(click.ClickException):
    """Ends a verb with one sentence on stderr and an exit code."""

    def __init__(self, message: str, code: int = ERROR) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = code  # click declares it on the class, for all its errors alike

    def show(self, file: object = None) -> None:
        """Prints the sentence."""
        click.echo(f"tacho: {self.message}", err=True)


def configured(command: _Command) -> _Command:
    """Adds --config to a verb."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The configuration file (else TACHO_CONFIG, ./tachograph.toml, the user's configuration folder).",
    )(command)


def configuration(named: Path | None) -> Config:
    """The configuration that --config and the environment lead to; Failure when it cannot be used."""
    try:
        return load(find(named, os.environ))
    except ConfigError as error:
        raise Failure(str(error)) from None


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Write a commented tachograph.toml, keys and an empty catalogue into FOLDER (here when left out)."""
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
        (data / "keys").mkdir(parents=True, mode=0o750)
        (data / "tapes").mkdir(mode=0o750)
        gateway = Ed25519PrivateKey.generate()
        _private(data / "keys/gateway", gateway.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        verifier = tree.verifier_key("gateway", tree.public_bytes(gateway))
        (data / "keys/gateway.pub").write_text(verifier + "\n")
        for name in ("ssh_host", "upstream"):
            private, public = make_key_pair(f"tachograph-{name}")
            _private(data / "keys" / name, private)
            (data / "keys" / f"{name}.pub").write_bytes(public)
        Catalogue(data / "catalogue.db", write=True).close()
        config_file.write_text(TEMPLATE)
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


@click.command()
@configured
@click.option("--grace", type=click.FloatRange(0), default=30.0, help="Seconds that sessions get to end at SIGTERM.")
@click.option("--debug", is_flag=True, help="Log in detail; show tracebacks.")
def gateway(config_file: Path | None, grace: float, debug: bool) -> None:
    """Serve agents until SIGTERM. Prints `ready PROTOCOL ADDRESS` for each listener."""
    import asyncio

    from recorder.catalogue.sqlite import CatalogueError
    from recorder.gateway import StartError, serve

    config = configuration(config_file)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("asyncssh").setLevel(logging.INFO if debug else logging.CRITICAL)
    # What is loaded by now stays: the collector need not look through it again and again while bytes flow.
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(config, grace, click.echo))
    except* (StartError, CatalogueError) as errors:
        if debug:
            raise
        raise Failure(str(errors.exceptions[0])) from None


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:
        return None  # where there is no uvloop, asyncio's own loop serves
    return uvloop.new_event_loop


COMMANDS: tuple[click.Command, ...] = (init, gateway)
