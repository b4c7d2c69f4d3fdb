"""`order-actions init` and `sandbox`: the first steps of an administrator, with accounts or without any."""

import secrets
import signal
import threading
from pathlib import Path

import click

from plugin.errors import FixTheSetup

SHOP = "my-shop.myshopify.com"


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Put a copy of the bundle that came with the program into FOLDER, to make it yours."""
    from plugin.app import PARTS, copy_bundle, shipped_bundle

    source = shipped_bundle()
    taken = [name for name in PARTS if (folder / name).exists()]
    if taken:
        raise FixTheSetup(f"{folder} has {', '.join(taken)} already.")
    folder.mkdir(parents=True, exist_ok=True)
    copy_bundle(source, folder)
    click.echo(f"{folder} is a bundle of your own. Look at it with: order-actions check --bundle {folder}")


@click.command()
@click.option("--port", type=click.IntRange(0, 65534), default=9100, show_default=True, help="First of two; 0: any.")
@click.option("--plugin", "public", default="http://127.0.0.1:8001", show_default=True, help="Where you will serve.")
@click.option("--command-secret", default="", help="The app's setting of this name, to practise the probe of identity.")
def sandbox(port: int, public: str, command_secret: str) -> None:
    """Play a Shopify store and a Kustomer organisation on this machine, to practise connecting them.

    Prints the variables that take the place of those of real accounts. Both forget everything when this ends.
    """
    from plugin.app import shipped_bundle
    from plugin.sandbox import kustomer, store

    stop = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())
    app = store.App("sandbox-app", secrets.token_hex(16))
    schema = next((shipped_bundle() / "schemas").glob("shopify-*.graphql"))
    shop = store.Shop(domain=SHOP)
    try:
        crm = kustomer.serve(port + 1 if port else 0)
        crm.state.command_secret = command_secret
        played = store.serve(
            port, token=secrets.token_hex(16), schema_path=schema, webhook_secret=app.secret, shop=shop, app=app
        )
    except (OSError, SystemExit) as error:
        raise FixTheSetup(f"Port {port} or {port + 1} is taken; choose another with --port.") from error
    variables = {
        "PUBLIC_URL": public,
        "SANDBOX_STORE": played.url,
        "SHOPIFY_CLIENT_ID": app.id,
        "SHOPIFY_CLIENT_SECRETS": app.secret,
        "SANDBOX_KUSTOMER": crm.url,
        "KUSTOMER_ORG": "acme",
        "KUSTOMER_KEY": crm.state.key,
    }
    click.echo(f"The store {SHOP} is played at {played.url}, Kustomer at {crm.url}.\n")
    for name, value in variables.items():
        click.echo(f"ORDER_ACTIONS_{name}={value}")
    click.echo("\nPress Ctrl-C to end.")
    stop.wait()
    played.close()
    crm.close()
