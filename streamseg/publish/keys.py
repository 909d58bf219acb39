"""CURVE keys: encryption and authentication of ZeroMQ sockets, and the files that hold the keys.

A key pair is two files of the format of ZeroMQ's own tools: `NAME.key` with the public key, which may be handed out,
and `NAME.key_secret` with both, which stays on its machine and is readable by its owner only. A key is 32 bytes,
written as 40 characters of Z85 (ZeroMQ RFC 32).
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import zmq

from streamseg.errors import PublishError, reason_of

__all__ = ["ClientKeys", "Role", "ServerKeys", "create_key_files", "load_public_key", "load_public_key_of"]

Role = Literal["read", "control"]
"""What a client may do: `read` receive messages; `control` receive messages and use the control channel."""

NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
MAX_KEYS: Final = 1000
"""Maximum number of keys per role."""

_KEY = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_FILE_TEXT: Final = """\
#   ZeroMQ CURVE {kind} of streamseg.
#   {advice}

metadata
curve
    public-key = "{public}"
"""
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerKeys:
    """The keys of a publisher and its control channel: its own pair, and the clients that may connect."""

    public: bytes
    """Public key, 40 characters of Z85; each client must know it."""
    secret: bytes = field(repr=False)
    read: frozenset[bytes]
    """Public keys of clients that may receive messages, in addition to those of `control`."""
    control: frozenset[bytes]
    """Public keys of clients that may receive messages and use the control channel."""

    @classmethod
    def load(cls, secret_key: str | Path, *, read: Iterable[str] = (), control: Iterable[str] = ()) -> ServerKeys:
        """Load the pair from its secret file, and the clients' keys, each a file or the key itself.

        Raises:
            PublishError: a key cannot be read, or no client is allowed.
        """
        public, secret = _load_pair(secret_key)
        allowed = {role: frozenset(load_public_key(key) for key in keys) for role, keys in _limited(read, control)}
        if not any(allowed.values()):
            raise PublishError(
                "no client may connect, because no key is allowed; name public keys under read or control"
                " (streamseg keys new NAME creates a pair)"
            )
        return cls(public, secret, allowed["read"], allowed["control"])

    def allowed(self, role: Role) -> frozenset[bytes]:
        """Return the public keys of the clients with a role."""
        return self.control if role == "control" else self.read | self.control


@dataclass(frozen=True)
class ClientKeys:
    """The keys of a subscriber or a control client: its own pair, and the server's public key."""

    public: bytes
    secret: bytes = field(repr=False)
    server: bytes
    """Public key of the server; a server with another key cannot be impersonated with it."""

    @classmethod
    def load(cls, secret_key: str | Path, server_key: str | Path) -> ClientKeys:
        """Load the pair from its secret file, and the server's public key, a file or the key itself.

        Raises:
            PublishError: a key cannot be read.
        """
        return cls(*_load_pair(secret_key), load_public_key(server_key))


def load_public_key(key: str | Path) -> bytes:
    """Return a public key: 40 characters of Z85.

    Args:
        key: path of a file `NAME.key`, or the key itself.

    Raises:
        PublishError: it is neither.
    """
    if isinstance(key, str) and _KEY.fullmatch(key):
        return key.encode("ascii")
    return _load_file(Path(key))[0]


def load_public_key_of(secret_key: str | Path) -> str:
    """Return the public key, 40 characters of Z85, of the pair in a secret file.

    Raises:
        PublishError: the file cannot be read.
    """
    return _load_pair(secret_key)[0].decode("ascii")


def create_key_files(folder: str | Path, name: str) -> tuple[Path, Path]:
    """Create a key pair; existing files are never replaced.

    Args:
        folder: created if it does not exist, for its owner only.
        name: base name of both files.

    Returns:
        The public file and the secret file, which only its owner can read.

    Raises:
        PublishError: the name is invalid, a file exists, or the folder cannot be written.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise PublishError(
            f"invalid name {name[:80]!r} of a key; use 1 to 64 letters, digits, '_', '-' and '.', the first a letter or"
            " digit"
        )
    _require_curve()
    public_path, secret_path = Path(folder) / f"{name}.key", Path(folder) / f"{name}.key_secret"
    public, secret = _new_pair()
    public_text = _FILE_TEXT.format(kind="public key", advice="It may be handed out.", public=public)
    secret_text = _FILE_TEXT.format(
        kind="secret key", advice="DO NOT hand it out, and do not commit it.", public=public
    )
    try:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (public_path, secret_path):
            if path.exists():
                raise PublishError(f"{path} exists; choose another name, or remove it if no machine uses it any longer")
        _write_new(secret_path, f'{secret_text}    secret-key = "{secret}"\n', mode=0o600)
        _write_new(public_path, public_text, mode=0o644)
    except OSError as error:
        raise PublishError(f"cannot write keys into {folder}: {reason_of(error)}") from error
    return public_path, secret_path


def _new_pair() -> tuple[str, str]:
    """Return a new public and secret key; a public key without `${`, which is a reference in a configuration."""
    while True:
        public, secret = (key.decode("ascii") for key in zmq.curve_keypair())
        if "${" not in public:
            return public, secret


def _limited(read: Iterable[str], control: Iterable[str]) -> list[tuple[Role, list[str]]]:
    roles: list[tuple[Role, list[str]]] = [("read", list(read)), ("control", list(control))]
    for role, keys in roles:
        if len(keys) > MAX_KEYS:
            raise PublishError(f"{len(keys)} keys under {role}; at most {MAX_KEYS} are allowed")
    return roles


def _load_pair(path: str | Path) -> tuple[bytes, bytes]:
    """Return the public and the secret key of a secret file."""
    _require_curve()
    path = Path(path)
    public, secret = _load_file(path)
    if secret is None:
        raise PublishError(f"{path} holds no secret key; name the file that ends in .key_secret")
    try:
        is_pair = zmq.curve_public(secret) == public
    except (ValueError, zmq.ZMQError):
        is_pair = False
    if not is_pair:
        raise PublishError(f"{path} is damaged: its keys are no pair; create new ones with streamseg keys new")
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        _LOGGER.warning("%s can be read by other users of this machine; run: chmod 600 %s", path, path)
    return public, secret


def _load_file(path: Path) -> tuple[bytes, bytes | None]:
    """Return the public key of a key file, and its secret key or None."""
    from zmq.auth import load_certificate  # imports asyncio, which nothing else here needs

    try:
        public, secret = load_certificate(path)
    except ValueError as error:
        raise PublishError(f"{path} holds no CURVE key; name a file of streamseg keys new, or a key") from error
    except OSError as error:
        # pyzmq raises an OSError without a number for a file that does not exist.
        reason = error.strerror or "it does not exist"
        raise PublishError(f"cannot read the key {str(path)[:200]}: {reason}") from error
    for key in (public, *([] if secret is None else [secret])):
        if _KEY.fullmatch(key.decode("ascii", "replace")) is None:
            raise PublishError(f"{path} is damaged: a key has 40 characters of Z85; create a new one")
    return public, secret


def _write_new(path: Path, text: str, *, mode: int) -> None:
    """Write a file that must not exist, with these permissions from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as file:
        file.write(text)


def _require_curve() -> None:
    if not zmq.has("curve"):
        raise PublishError("this libzmq is built without CURVE; install pyzmq from its wheel: pip install pyzmq")
