"""A fake Kustomer over real HTTP: its API, its sign-in, its command proxy in two tempers, and a page with the card."""

from .server import Running, serve

__all__ = ["Running", "serve"]
