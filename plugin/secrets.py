"""One secret of the installation, and a separate key made from it for every purpose."""

import hashlib
import hmac
from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from plugin.errors import FixTheSetup


class Keys:
    """HKDF keys: `form` and `session` sign tokens, `at rest` encrypts, `e-mail` hashes."""

    def __init__(self, secret: str) -> None:
        if len(secret) < 32:
            raise FixTheSetup("The secret of the installation needs at least 32 characters.")
        self._secret = secret.encode()

    def key(self, purpose: str) -> bytes:
        return HKDF(SHA256(), 32, b"order-actions", purpose.encode()).derive(self._secret)

    def box(self) -> Fernet:
        return Fernet(urlsafe_b64encode(self.key("at rest")))

    def email_hash(self, email: str) -> str:
        """E-mails are matched case-folded, and stored only like this."""
        return hmac.new(self.key("e-mail"), email.strip().casefold().encode(), hashlib.sha256).hexdigest()
