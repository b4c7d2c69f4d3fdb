"""Run the store by itself: python -m plugin.sandbox.store --port 9100."""

import argparse
import threading
from pathlib import Path

from . import serve

SCHEMA = Path(__file__).parents[3] / "schemas" / "shopify-2026-10.graphql"


def main() -> None:
    words = argparse.ArgumentParser(description="A fake Shopify store on the loopback.")
    words.add_argument("--port", type=int, default=9100)
    words.add_argument("--token", default="sandbox-token")
    words.add_argument("--schema", type=Path, default=SCHEMA)
    words.add_argument("--webhook-url")
    words.add_argument("--webhook-secret", default="sandbox-secret")
    words.add_argument("--settle-delay", type=float, default=3.0)
    words.add_argument("--cancel-delay", type=float, default=1.0)
    given = words.parse_args()
    running = serve(
        given.port,
        token=given.token,
        schema_path=given.schema,
        webhook_url=given.webhook_url,
        webhook_secret=given.webhook_secret,
        settle_delay=given.settle_delay,
        cancel_delay=given.cancel_delay,
    )
    print(f"The sandbox store answers at {running.url}; its admin page is {running.url}/")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        running.close()


if __name__ == "__main__":
    main()
