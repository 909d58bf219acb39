"""HTTP authentication of RTSP requests: Basic (RFC 7617) and Digest (RFC 7616, RFC 2069). Pure."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Authenticator", "Credentials"]

_PARAMETER: Final = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
HASHES: Final = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@dataclass(frozen=True)
class Credentials:
    """User and password, decoded."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class _Challenge:
    scheme: str
    parameters: dict[str, str]

    @property
    def algorithm(self) -> str:
        return self.parameters.get("algorithm", "MD5").upper()

    @property
    def rank(self) -> int:
        """Strength; 0 if unsupported."""
        if self.scheme == "basic":
            return 1
        if self.scheme != "digest" or "nonce" not in self.parameters:
            return 0
        return {"MD5": 2, "SHA-256": 3}.get(self.algorithm, 0)


class Authenticator:
    """Authorization headers for the challenges of a server.

    Args:
        credentials: user and password; None if the address contains none.
        new_nonce: source of client nonces.
    """

    MOST_CHALLENGES: Final = 3
    """Challenges of one request, with expired nonces, after which the server counts as broken."""

    def __init__(
        self, credentials: Credentials | None, *, new_nonce: Callable[[], str] = lambda: secrets.token_hex(8)
    ) -> None:
        self._credentials = credentials
        self._new_nonce = new_nonce
        self._challenge: _Challenge | None = None
        self._num_challenges = 0
        self._num_requests = 0

    def challenge(self, headers: Sequence[str]) -> bool:
        """Process the WWW-Authenticate headers of a 401; return whether another attempt can succeed.

        It cannot without credentials or a supported scheme, or if the server rejected the same credentials; an expired
        nonce is no rejection.
        """
        best = max((_parse(header) for header in headers), key=lambda challenge: challenge.rank, default=None)
        if self._credentials is None or best is None or not best.rank:
            return False
        self._challenge = best
        self._num_challenges += 1
        self._num_requests = 0
        is_stale = best.parameters.get("stale", "").lower() == "true"
        return self._num_challenges == 1 or (is_stale and self._num_challenges <= self.MOST_CHALLENGES)

    def accepted(self) -> None:
        """Report that the server accepted a request: from now on, a challenge means that its nonce has expired."""
        self._num_challenges = 0

    def header(self, method: str, url: str) -> str | None:
        """Return the value of the Authorization header of a request; None before the first challenge."""
        if self._challenge is None or self._credentials is None:
            return None
        user, password = self._credentials.user, self._credentials.password
        if self._challenge.scheme == "basic":
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        return self._digest(self._challenge, user, password, method, url)

    def _digest(self, challenge: _Challenge, user: str, password: str, method: str, url: str) -> str:
        given = challenge.parameters
        realm, nonce = given.get("realm", ""), given["nonce"]

        def digest(*parts: str) -> str:
            return HASHES[challenge.algorithm](":".join(parts).encode()).hexdigest()

        secret, request = digest(user, realm, password), digest(method, url)
        fields = {"username": user, "realm": realm, "nonce": nonce, "uri": url}
        bare = {}
        if "auth" in [name.strip() for name in given.get("qop", "").split(",")]:
            self._num_requests += 1
            count, own_nonce = f"{self._num_requests:08x}", self._new_nonce()
            fields["response"] = digest(secret, nonce, count, own_nonce, "auth", request)
            fields["cnonce"] = own_nonce
            bare = {"qop": "auth", "nc": count}
        else:
            fields["response"] = digest(secret, nonce, request)
        if "opaque" in given:
            fields["opaque"] = given["opaque"]
        if "algorithm" in given:
            bare["algorithm"] = given["algorithm"]
        quoted = [f'{name}="{_escaped(value)}"' for name, value in fields.items()]
        return "Digest " + ", ".join(quoted + [f"{name}={value}" for name, value in bare.items()])


def _parse(header: str) -> _Challenge:
    scheme, _, rest = header.strip().partition(" ")
    parameters = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
    return _Challenge(scheme.lower(), parameters)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
