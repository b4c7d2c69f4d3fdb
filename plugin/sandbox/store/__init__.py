"""A fake Shopify store over real HTTP; rules without a recording behind them are listed in `UNPROVEN`."""

from .oauth import App
from .server import Running, serve
from .state import Shop
from .unproven import UNPROVEN

__all__ = ["UNPROVEN", "App", "Running", "Shop", "serve"]
