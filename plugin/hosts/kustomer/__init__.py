"""Kustomer. Built to its documentation and tried on our sandbox; no account of Kustomer's was at hand."""

from plugin.hosts.kustomer.accounts import OAuthApp
from plugin.hosts.kustomer.client import Client, Org, Refused, org_id_of
from plugin.hosts.kustomer.host import KustomerHost, Proxy

__all__ = ["Client", "KustomerHost", "OAuthApp", "Org", "Proxy", "Refused", "org_id_of"]
