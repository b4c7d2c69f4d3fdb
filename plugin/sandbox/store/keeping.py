"""What the store still knows after it was killed: one file of its own, replaced before anybody gets an answer."""

import os
import pickle
from pathlib import Path

from .state import Store


class Kept:
    """The file of one store; takes up what is in it. It is read as code is: only the store may write there."""

    def __init__(self, file: Path, store: Store) -> None:
        self._file, self._store, self._written = file, store, b""
        if file.exists():
            store.orders, store.keys, store.subscriptions, store.last_id = pickle.loads(file.read_bytes())  # noqa: S301

    def write(self) -> None:
        """A call that was cut in its work is forgotten, as if it had never come."""
        store = self._store
        with store.lock:
            keys = {key: use for key, use in store.keys.items() if use.refund is not None}
            made = pickle.dumps((store.orders, keys, store.subscriptions, store.last_id))
            if made == self._written:
                return
            part = self._file.with_suffix(".part")
            with part.open("wb") as file:
                file.write(made)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._file)
            self._written = made
