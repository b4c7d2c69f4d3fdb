"""A fake CRM desk over real HTTP: customers, conversations, agents, notes, and the card in its iframes."""

from .server import Running, serve

__all__ = ["Running", "serve"]
