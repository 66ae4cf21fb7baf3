"""Who asks: a browser on this machine, or somebody elsewhere.

A server may be reached by more than its owner: from the network, or through a proxy or a tunnel that runs on
the same machine, so that everybody seems to come from it. Whoever cannot be told to be here is elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

# What proxies and tunnels add to a request that they pass on.
PASSED_ON = (
    "forwarded", "via", "x-forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    "x-forwarded-server", "x-forwarded-port", "x-real-ip", "x-client-ip", "x-cluster-client-ip",
    "x-original-forwarded-for", "x-original-host", "x-envoy-external-address", "true-client-ip",
    "cf-connecting-ip", "cf-ray", "fastly-client-ip", "fly-client-ip", "x-azure-clientip",
    "tailscale-user-login",
)  # fmt: skip


def may_change(address: str | None, headers: Mapping[str, str], name: str | None) -> bool:
    """Whether a visitor may install, choose and remove models, which is for all visitors of a server.

    `address` is where the connection comes from, `headers` are the request's, their names in lower case;
    `name` is that of a visitor who has signed in.
    """
    return bool(name) or is_here(address, headers)


def is_here(address: str | None, headers: Mapping[str, str]) -> bool:
    """Whether a browser on this machine asks, of a page that it opened at this machine's own address.

    The latter is told by what the browser says it opened: a proxy that adds nothing to a request, and a
    foreign site that sends its visitors to this machine (DNS rebinding), are known by it.
    """
    if address is None or not _is_loopback(address) or any(name in headers for name in PASSED_ON):
        return False
    opened = [urlsplit(headers[name]).hostname for name in ("origin", "referer") if headers.get(name)]
    host = urlsplit(f"//{headers.get('host', '')}").hostname
    return all(map(_is_own_name, [host, *opened]))


def _is_own_name(host: str | None) -> bool:
    return host == "localhost" or (host is not None and _is_loopback(host))


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    inner = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (inner or found).is_loopback
