"""Who may come in: whoever started the server, by a token, and on the local network whoever knows the password."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from app.ui.web.access import OWNER, Access
from app.ui.web.passwords import Password, Tries

PARAMETER = "token"
MOST_SECRET = 1_000


def new_token() -> str:
    """A token that nobody guesses: 256 random bits."""
    return secrets.token_urlsafe(32)


class MustWait(Exception):
    """A password came too soon after wrong ones; `seconds` says how long to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(frozen=True)
class Door:
    """Who is let in, and as what.

    `token` opens for the owner, from this computer only unless `anywhere`; without a token (empty) everyone is the owner. `password` opens
    for guests. Once in, a cookie stands for it: a random value for each of the two, made anew with every start. Its name ends in the port,
    because browsers send the cookies of one host to all of its ports.
    """

    owner: Access = OWNER
    guest: Access | None = None
    token: str = field(default_factory=new_token, repr=False)
    password: Password | None = field(default=None, repr=False)
    anywhere: bool = False
    _cookies: tuple[str, str] = field(default_factory=lambda: (new_token(), new_token()), repr=False)
    _tries: Tries = field(default_factory=Tries, repr=False)
    _hashing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "password"), repr=False)

    def who(self, scope: Scope) -> Access | None:
        """The access of a request by its cookie or its `Authorization: Bearer`; None where it has none."""
        if not self.token:
            return self.owner
        headers = Headers(scope=scope)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.knows(bearer.strip(), scope):
            return self.owner
        shown = cookie_parser(headers.get("cookie", "")).get(self.cookie_name(scope), "")
        if _same(shown, self._cookies[0]) and self.near(scope):
            return self.owner
        return self.guest if _same(shown, self._cookies[1]) else None

    def knows(self, token: str, scope: Scope) -> bool:
        """Whether this is the owner's token, shown from where it counts."""
        return bool(self.token) and _same(token, self.token) and self.near(scope)

    async def opens(self, secret: str, scope: Scope) -> Access | None:
        """What a typed secret opens: a token, an address with one, or the password. Raises MustWait."""
        secret = secret.strip()[:MOST_SECRET]
        if self.knows(token_in(secret), scope):
            return self.owner
        if self.password is None or not secret:
            return None
        address = str((scope.get("client") or ("",))[0])
        if wait := self._tries.begin(address, time.monotonic()):
            raise MustWait(wait)
        right = await asyncio.get_running_loop().run_in_executor(self._hashing, self.password.fits, secret)
        if not right:
            return None
        self._tries.right(address)
        return self.guest

    def cookie(self, access: Access, scope: Scope) -> str:
        """The value of Set-Cookie for one who was let in."""
        value = self._cookies[0] if access is self.owner else self._cookies[1]
        secure = "; Secure" if scope["scheme"] == "https" else ""
        return f"{self.cookie_name(scope)}={value}; Path=/; HttpOnly; SameSite=Strict{secure}"

    @staticmethod
    def cookie_name(scope: Scope) -> str:
        """`triptych-` and the port on which the request came in."""
        return f"triptych-{(scope.get('server') or ('', 0))[1]}"

    def near(self, scope: Scope) -> bool:
        """Whether a request comes from this very computer: over loopback, or from the address at which it arrived."""
        if self.anywhere:
            return True
        client, server = ((scope.get(end) or ("",))[0] for end in ("client", "server"))
        return is_own(client) or (bool(client) and client == server)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def is_own(address: str) -> bool:
    """Whether an IP address is a loopback one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)


def token_in(text: str) -> str:
    """The token of a pasted address; any other text as it is."""
    if "://" not in text and f"{PARAMETER}=" not in text:
        return text
    try:
        query = urlsplit(text).query
    except ValueError:
        return text
    return next((value for key, value in parse_qsl(query, max_num_fields=None) if key == PARAMETER), text)


def parted(query: bytes) -> tuple[str | None, bytes]:
    """(token, the rest as it was) of the query of an address; None where it has no token."""
    token, rest = None, []
    for pair in query.split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == PARAMETER.encode():
            token = value.decode("ascii", "replace")
        elif pair:
            rest.append(pair)
    return token, b"&".join(rest)
