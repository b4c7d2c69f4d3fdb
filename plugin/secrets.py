"""The secret of the installation, a separate key made from it for every purpose, and its change."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from plugin.errors import FixTheSetup


class Keys:
    """HKDF keys: `form` and `session` sign tokens, `at rest` encrypts, `e-mail` hashes.

    The first secret writes, every one reads: an old secret stays until `order-actions keys rotate` was run.
    `email_key` is kept in the database, sealed, since hashes cannot be made anew; None for one that is derived.
    """

    def __init__(self, secrets: Sequence[str], email_key: bytes | None = None) -> None:
        if not secrets or any(len(one) < 32 for one in secrets):
            raise FixTheSetup("The secret of the installation needs at least 32 characters.")
        self._secrets = tuple(one.encode() for one in secrets)
        self._email_key = email_key or self.key("e-mail")

    def key(self, purpose: str) -> bytes:
        return _derived(self._secrets[0], purpose)

    def keys(self, purpose: str) -> tuple[bytes, ...]:
        """The key to write with, then those that may still be read."""
        return tuple(_derived(one, purpose) for one in self._secrets)

    def box(self, purpose: str = "at rest") -> MultiFernet:
        return MultiFernet([Fernet(urlsafe_b64encode(one)) for one in self.keys(purpose)])

    def handle_hash(self, handle: str) -> str:
        """What is kept of a handle; it outlives a change of the secret, like the hash of an e-mail."""
        return hmac.new(_derived(self._email_key, "handle"), handle.encode(), hashlib.sha256).hexdigest()

    def email_hash(self, email: str) -> str:
        """E-mails are matched case-folded, and stored only like this."""
        return hmac.new(self._email_key, email.strip().casefold().encode(), hashlib.sha256).hexdigest()

    def phone_hash(self, phone: str) -> str:
        """Of a number in E.164; empty where there is none."""
        return self.email_hash(f"phone {phone}") if phone else ""


def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, b"order-actions", purpose.encode()).derive(secret)
