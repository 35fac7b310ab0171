"""Which servers may be asked: never those that only machines of a cloud or neighbors on the wire have, unless the user
names them.

Such addresses hand out credentials to whoever asks from the same machine (metadata services), or belong to whatever
happens to be plugged in (link-local), so a name, a redirect or a changed name server must not lead there. Names are
checked before they are looked up, and numbers where a connection is made, since a name may mean another number the next
time.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from typing import TypeAlias

from engine.errors import BadInput

ALLOW = "TRIPTYCH_ALLOW_HOST"
"""Hosts, separated by commas, that may be asked although their addresses are refused otherwise."""
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_NETS = tuple(
    ipaddress.ip_network(net)
    for net in (
        "169.254.0.0/16",  # link-local; most clouds have their metadata service here
        "fe80::/10",
        "100.100.100.200/32",  # Alibaba
        "192.0.0.192/32",  # Oracle
        "168.63.129.16/32",  # Azure
        "fd00:ec2::/32",  # Amazon
        "fd20:ce::254/128",  # Google
        "224.0.0.0/4",  # groups, not servers
        "ff00::/8",
        "255.255.255.255/32",
    )
)
_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def allowed_hosts(named: Iterable[str] = ()) -> frozenset[str]:
    """The hosts that the user names, with those of the environment. Raises BadInput on what is no host."""
    hosts = [one for one in (*named, *os.environ.get(ALLOW, "").split(",")) if one.strip()]
    for host in hosts:
        if not _HOST.fullmatch(plain_host(host)):
            raise BadInput(
                f"{host[:120]!r} is no host. Write a name or an IP address alone, like 169.254.1.7 or "
                "models.example.org."
            )
    return frozenset(map(plain_host, hosts))


def plain_host(host: str) -> str:
    """A host as it is compared: in small letters, without brackets and the dot at the end."""
    return host.strip().strip("[]").rstrip(".").lower()


def refuse_name(host: str, allowed: frozenset[str]) -> None:
    """Raises BadInput for a host that is refused by its name, or by the number that it is written as."""
    plain = plain_host(host)
    if plain in allowed:
        return
    if plain in _NAMES:
        raise BadInput(_refusal(host, "is the name of a cloud's metadata service"))
    number = as_number(plain)
    if number is not None:
        refuse_number(number, host, allowed)


def refuse_number(number: Address, host: str, allowed: frozenset[str]) -> None:
    """Raises BadInput where `host` means an address that is refused, however that is written."""
    if plain_host(host) in allowed or str(number) in allowed:
        return
    if any(inner in net for inner in _meanings(number) for net in _NETS):
        what = "is" if plain_host(host) == str(number) else f"leads to {number},"
        raise BadInput(_refusal(host, f"{what} a link-local address or one of a cloud's metadata service"))


def as_number(host: str) -> Address | None:
    """The address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _meanings(number: Address) -> tuple[Address, ...]:
    """The address and the older one inside it, which a gateway would make of it."""
    if isinstance(number, ipaddress.IPv4Address):
        return (number,)
    inside = [number.ipv4_mapped, number.sixtofour]
    if number in _TRANSLATED:
        inside.append(ipaddress.IPv4Address(int(number) & 0xFFFFFFFF))
    return (number, *(one for one in inside if one is not None))


def _refusal(host: str, why: str) -> str:
    return (
        f"{host} {why}, so it is not asked. If it is the server that you mean, name it with --allow-host {host}, or "
        f"in {ALLOW}."
    )
