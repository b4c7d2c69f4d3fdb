"""Telephone numbers, as far as they can be compared without guessing."""

import re

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_BETWEEN = re.compile(r"[ .()/\u00a0-]")


def e164(text: str) -> str:
    """The number in E.164; empty where that is not certain.

    Without a country code it could be anybody's in another country; "(0)" belongs to some countries' numbers
    and not to others'; an extension is somebody behind the number.
    """
    plain = "" if "(0)" in text else _BETWEEN.sub("", text.strip())
    return plain if _NUMBER.fullmatch(plain) else ""
