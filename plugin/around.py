"""What stands around the program: pages that may frame the card, proxies before it, and who asks through them."""

import re
from collections.abc import Collection, Sequence
from ipaddress import IPv6Address, ip_address, ip_network

from plugin.errors import FixTheSetup

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")  # never a wildcard, nor a whole scheme


def origins_of(chosen: Sequence[str]) -> tuple[str, ...]:
    """Raises FixTheSetup."""
    wrong = [one for one in chosen if not _ORIGIN.fullmatch(one)]
    if wrong:
        raise FixTheSetup(f"ORDER_ACTIONS_HOST_ORIGINS has {wrong[0]!r}; write each like https://crm.example.com.")
    return tuple(chosen)


def proxies_of(chosen: Sequence[str]) -> frozenset[str]:
    """Raises FixTheSetup."""
    try:
        return frozenset(str(ip_address(one)) for one in chosen)
    except ValueError as error:
        raise FixTheSetup(f"ORDER_ACTIONS_PROXIES: {error}.") from error


def sender(peer: str | None, forwarded: str, proxies: Collection[str]) -> str:
    """The address that asks: the last one that is no proxy of ours. A proxy on this machine is one.

    Of an IPv6 address the network counts, as one customer of a provider has all of it.
    """
    chain = [one.strip() for one in forwarded.split(",") if one.strip()]
    for one in reversed([*chain, peer or "127.0.0.1"]):
        try:
            address = ip_address(one)
        except ValueError:
            return "unknown"
        if not (address.is_loopback or str(address) in proxies):
            break
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return str(address)
