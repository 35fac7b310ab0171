"""The password for other computers: kept as a hash only, and guessed slowly."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

from engine.errors import BadInput

MIN_PASSWORD = 8
COST = 2**14
"""scrypt's n; with r = 8 a try takes 16 MiB and some 50 ms."""
FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
FREE = 2
"""Wrong tries of one address before it has to wait."""
FREE_OVERALL = 30
"""Wrong tries of all addresses together before everyone has to wait."""
LONGEST_OVERALL = 4.0
"""Short enough that whoever knows the password is not locked out by those who guess."""
FORGET = 3600.0
MOST_ADDRESSES = 1_000


@dataclass(frozen=True, slots=True)
class Password:
    """A password's salted scrypt hash."""

    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, text: str) -> Password:
        """Hash a password. Raises BadInput where it is too short."""
        if len(text) < MIN_PASSWORD:
            raise BadInput(f"Serving other computers needs a password of at least {MIN_PASSWORD} characters.")
        salt = secrets.token_bytes(16)
        return cls(salt, _hash(text, salt))

    def fits(self, text: str) -> bool:
        """Whether this is the password. Takes some 50 ms whatever comes."""
        return hmac.compare_digest(_hash(text, self.salt), self.digest)


def _hash(text: str, salt: bytes) -> bytes:
    return hashlib.scrypt(text.encode("utf-8", "surrogatepass"), salt=salt, n=COST, r=8, p=1, dklen=32)


@dataclass(slots=True)
class _Tries:
    wrong: int = 0
    last: float = 0.0


class Tries:
    """How long one has to wait before the next try: twice as long after each wrong one, by address and, more mildly, for all together.

    A try counts as wrong from its beginning, so that many at once gain nothing; the right one takes its address's off again. At most
    `MOST_ADDRESSES` addresses are remembered, each for an hour. Times are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Tries] = OrderedDict()
        self._all = _Tries()
        self._guard = threading.Lock()

    def begin(self, address: str, now: float) -> float:
        """Begin a try: 0 where it may be made, else the seconds to wait, and then it does not count."""
        key = network(address)
        with self._guard:
            mine = self._by_address.get(key) or _Tries()
            for tries in (mine, self._all):
                if now - tries.last > FORGET:
                    tries.wrong = 0
            wait = max(
                mine.last + _wait(mine.wrong - FREE, LONGEST_WAIT) - now,
                self._all.last + _wait(self._all.wrong - FREE_OVERALL, LONGEST_OVERALL) - now,
            )
            if wait > 0:
                return wait
            for tries in (mine, self._all):
                tries.wrong, tries.last = tries.wrong + 1, now
            self._by_address[key] = mine
            self._by_address.move_to_end(key)
            while len(self._by_address) > MOST_ADDRESSES:
                self._by_address.popitem(last=False)
            return 0.0

    def right(self, address: str) -> None:
        """The try was right."""
        with self._guard:
            self._by_address.pop(network(address), None)
            self._all.wrong = max(0, self._all.wrong - 1)


def _wait(beyond: int, longest: float) -> float:
    return min(longest, FIRST_WAIT * 2.0 ** min(beyond, 30)) if beyond >= 0 else 0.0


def network(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that one IPv6 customer has."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
