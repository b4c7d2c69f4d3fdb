"""One hostile request: an honest one of any route, bent in one of many shapes; its number alone decides which."""

import base64
import hashlib
import hmac
import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import jwt

from plugin.web import MAX_BODY
from tests.test_web import token
from tests.world import BASE, CANCEL, DOMAIN, REFUND, SECRET

Environ = dict[str, Any]
NUMBERS = (1001, 1002, 1010, 1011)  # two orders of the first customer, two of another
EVIL = "<script>alert(1)</script>"
WORDS = (
    "", "0", "-1", "1", "1e9", "1e-9", "NaN", "Infinity", "-0", "0x10", "٣", "１", "1,5", "1.999", "9" * 40,
    "9" * 5000, "true",
    "null", "None", "undefined", "[]", "{}", "{{7*7}}", "${{ order }}", "${7*7}", "%s%n", "' or 1=1 --",
    '"; drop table runs; --',
    "../../etc/passwd", "..%2f..%2f", "%00", "\x00", "\r\nSet-Cookie: a=b", EVIL, "javascript:alert(1)", "\u202e",
    "\ud7ff",
    "\ufeff", "é" * 3000, "a" * 20000, "__class__", "__proto__", "constructor", "gid://shopify/Order/1", "localhost",
    "169.254.169.254", "sandbox.myshopify.com@evil.example", "sandbox.myshopify.com.evil.example",
    "SANDBOX.myshopify.com",
    str(BASE + 1001), str(BASE + 1002), str(BASE + 1010), "5000000000001001\n", "1" * 21, DOMAIN, REFUND, CANCEL,
)  # fmt: skip
BYTES = (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\x00", b"\xf8\x88\x80\x80\x80", b"%", b"%zz", b"%u0041", b"+", b";",
b"&&==")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get",
"P\x7fST", "")
TYPES = (
    "application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x", "multipart/form-data",
    "multipart/mixed; boundary=\xff", "text/plain", "text/html; charset=utf-7",
    "application/x-www-form-urlencoded; charset=utf-16",
    "application/json; charset=none", "", "a/b; " + "c=d; " * 200, "application/graphql",
)  # fmt: skip
TOPICS = ("orders/updated", "orders/create", "orders/edited", "refunds/create", "order_transactions/create",
          "app/scopes_update")  # fmt: skip
ALGORITHMS = ("none", "HS512", "RS256", None, 5, [])


@dataclass(frozen=True)
class Loot:
    """What an attacker may have got hold of: no form here was not pressed before, or is not somebody else's."""

    rules: Sequence[str]
    sessions: Sequence[str]
    forms: Sequence[str]
    replay: Sequence[tuple[str, str]]
    runs: Sequence[str]


class Attack:
    """One request, made of its number."""

    def __init__(self, loot: Loot, number: int) -> None:
        self._loot = loot
        self._random = random.Random(number)

    def environ(self) -> Environ:
        shape = self._random.choice(SHAPES)
        made = {
            "REQUEST_METHOD": "POST", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost", "SCRIPT_NAME": "",
            "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": io.StringIO(), "wsgi.multithread": True,
            "wsgi.multiprocess": True, "wsgi.run_once": False, "wsgi.input_terminated": True,
        }  # fmt: skip
        self._to(made, self._of(self._loot.rules))
        shape(self, made)
        body = made.pop("body", b"")
        made["wsgi.input"] = io.BytesIO(body)
        made.setdefault("CONTENT_LENGTH", str(len(body)))
        return made

    def _of(self, of: Sequence[Any]) -> Any:
        return self._random.choice(of)

    def _often(self, part: float) -> bool:
        return self._random.random() < part

    def _word(self) -> str:
        return self._of(WORDS) if self._often(0.8) else "".join(chr(self._random.randrange(1,
        0xD7FF)) for _ in range(9))

    def _to(self, made: Environ, rule: str, honest: float = 0.7) -> None:
        """The address of a route, with some of its names replaced, and who asks."""
        method, path = rule.split(" ", 1)
        names = {
            "store": DOMAIN, "order": str(BASE + self._of(NUMBERS)), "action": self._of((REFUND, CANCEL)),
            "run": self._of(self._loot.runs), "name": "card.js",
        }  # fmt: skip
        for name, value in names.items():
            said = value if self._often(honest) else self._word()
            path = path.replace(f"<{name}>", said)
        made["REQUEST_METHOD"] = method
        made["PATH_INFO"] = path.encode("utf-8", "surrogatepass").decode("latin-1")
        if self._often(0.8):
            made["HTTP_AUTHORIZATION"] = f"Bearer {self._of(self._loot.sessions)}"

    # ------------------------------------------------------------ the shapes

    def wrong_names(self, made: Environ) -> None:
        self._to(made, self._of(self._loot.rules), honest=0.3)

    def wrong_token(self, made: Environ) -> None:
        whole = self._of((*self._loot.sessions, *self._loot.forms, token()))
        head, _, rest = whole.partition(".")
        claims, _, signature = rest.partition(".")
        made["HTTP_AUTHORIZATION"] = self._of((
            f"Bearer {_flipped(whole, self._random)}", f"Bearer {whole[: self._random.randrange(len(whole))]}",
            f"Bearer {head}.{claims}.", f"Bearer {head}.{claims}", f"Bearer {whole}.{whole}", f"Bearer  {whole}",
            f"Basic {whole}",
            f"bearer\t{whole}", "Bearer", "Bearer ", "Bearer " + "." * 3000, "Bearer " + "é" * 200,
            f"Bearer {_coded(self._word())}",
            f"Bearer {_coded(DEEP[:4000])}.{claims}.{signature}", f"Bearer {head}.{_coded(DEEP[:4000])}.{signature}",
            f"Bearer {_coded(json.dumps({'alg': self._of(ALGORITHMS), 'typ': 'JWT'}))}.{claims}.",
            f"Bearer {_coded(json.dumps({'handle': self._word(), 'customer': self._word(), 'ticket': self._word()}))}",
            f"Bearer {jwt.encode({'aud': 'session', 'sub': 'ana', 'exp': 9999999999, 'data': self._word()}, 'k' * 40)}",
        )).encode("utf-8", "replace").decode("latin-1")  # fmt: skip

    def wrong_form(self, made: Environ) -> None:
        self._to(made, self._of([one for one in self._loot.rules if one.startswith("POST")]))
        pairs = list(self._loot.replay)
        for _ in range(self._random.randrange(6)):
            pairs.insert(self._random.randrange(len(pairs)), (self._field(), self._word()))
        pairs = [(name, value) for name, value in pairs if name != "token"]
        whole = self._of(self._loot.forms)
        pairs.append(("token",
        self._of((whole, _flipped(whole, self._random), self._of(self._loot.sessions), self._word()))))
        made["body"] = urlencode(pairs).encode()
        made["CONTENT_TYPE"] = TYPES[0]

    def replayed_form(self, made: Environ) -> None:
        """What was pressed before, by the same agent: again, with another value, or at another order."""
        self._to(made, self._of([one for one in self._loot.rules if "<order>" in one and one.startswith("POST")]))
        pairs = [(name, value if self._often(0.95) else self._word()) for name, value in self._loot.replay]
        made["body"] = urlencode(pairs).encode()
        made["CONTENT_TYPE"] = TYPES[0]

    def wrong_body(self, made: Environ) -> None:
        made["CONTENT_TYPE"] = self._of(TYPES)
        made["body"] = self._of((*BODIES, *BYTES, urlencode(self._loot.replay).encode("utf-16"),
        self._random.randbytes(300)))
        self._maybe_secret(made)

    def wrong_length(self, made: Environ) -> None:
        made["body"] = urlencode(self._loot.replay).encode()
        made["CONTENT_TYPE"] = TYPES[0]
        made["CONTENT_LENGTH"] = self._of(("-1", "1e3", "x", "", "0", "99999", str(MAX_BODY + 1), "9" * 30, " 10",
        "1,2"))
        if self._often(0.5):
            made["HTTP_TRANSFER_ENCODING"] = self._of(("chunked", "gzip, chunked", "identity", "x"))

    def too_much(self, made: Environ) -> None:
        made["CONTENT_TYPE"] = self._of(TYPES)
        made["body"] = self._of((b"a=" + b"b" * MAX_BODY, b"&".join([b"a=b"] * 4000), b"--x\r\n" * 2000,
        DEEP.encode() * 4))
        self._maybe_secret(made)

    def wrong_path(self, made: Environ) -> None:
        path = made["PATH_INFO"]
        made["PATH_INFO"] = self._of((
            f"/{path}", f"{path}/", f"{path}//", path.replace("/", "//"), f"/static/..{path}",
            f"/static/%2e%2e{path}", path.encode("latin-1").upper().decode("latin-1"),
            f"{path};a=b", f"{path}/.", f"{path}%00", f"{path}\x00", f"http://evil.example{path}", path[1:], "", "*",
            "/" * 2000,
            path + self._of(BYTES).decode("latin-1"), f"/static/{self._of(BYTES).decode('latin-1')}",
            "/static/card.js/../../plugin.yaml",
            "/a" * 4000, quote(path, safe=""),
        ))  # fmt: skip

    def wrong_headers(self, made: Environ) -> None:
        for _ in range(self._random.randrange(1, 4)):
            name = self._of((
                "HTTP_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO",
                "HTTP_FORWARDED",
                "HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_ORIGINAL_URL", "HTTP_COOKIE", "HTTP_ACCEPT", "HTTP_RANGE",
                "HTTP_IF_NONE_MATCH",
                "HTTP_IF_MODIFIED_SINCE", "HTTP_EXPECT", "HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE", "HTTP_ACCEPT_ENCODING",
                "REMOTE_ADDR",
                "HTTP_X_KUSTOMER_USER_ID", "HTTP_X_KUSTOMER_ORG_ID", "HTTP_X_SHOPIFY_HMAC_SHA256",
                "HTTP_X_SHOPIFY_TOPIC",
                "HTTP_UPGRADE", "HTTP_X_SHOPIFY_SHOP_DOMAIN", "HTTP_REFERER", "HTTP_TE", "HTTP_X_ORDER_FOUND",
            ))  # fmt: skip
            value = self._of((self._word(), f"order-actions-connect={self._word()}", "https://evil.example",
            "bytes=0-1,5-9", "W/x,*"))
            made[name] = value.encode("utf-8", "surrogatepass").decode("latin-1")

    def wrong_method(self, made: Environ) -> None:
        made["REQUEST_METHOD"] = self._of(METHODS)
        made["CONTENT_TYPE"] = self._of(TYPES)
        made["body"] = urlencode(self._loot.replay).encode()

    def wrong_query(self, made: Environ) -> None:
        pairs = [(self._of(("q", "page", "state", "code", "shop", "hmac", "", "q[]", self._word())), self._word())
                 for _ in range(self._random.randrange(5))]  # fmt: skip
        made["QUERY_STRING"] = self._of((
            urlencode(pairs),
            "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "replace").decode("latin-1"),
            "a" * 20000, "%", "%ff=%fe", "&" * 3000, "page=" + "9" * 400, "q=%00%0d%0a",
        ))  # fmt: skip

    def signed_nonsense(self, made: Environ) -> None:
        """A webhook whose signature is right and whose body is no order."""
        made |= {"REQUEST_METHOD": "POST", "PATH_INFO": "/webhooks/shopify"}
        body = self._of((*NONSENSE, *BYTES)) if self._often(0.9) else self._random.randbytes(40)
        sign = hmac.new(b"hook" if self._often(0.9) else b"wrong", body, hashlib.sha256).digest()
        made |= {
            "body": body, "HTTP_X_SHOPIFY_HMAC_SHA256": base64.b64encode(sign).decode(),
            "HTTP_X_SHOPIFY_SHOP_DOMAIN": DOMAIN,
            "HTTP_X_SHOPIFY_TOPIC": self._of(TOPICS),
            "HTTP_X_SHOPIFY_WEBHOOK_ID": f"nonsense {self._random.random()}",
        }  # fmt: skip

    def _field(self) -> str:
        line = f"gid://shopify/LineItem/{BASE + 1002}001"
        return self._of((
            f"lines[{line}]", "lines[]", f"lines[{line}][x]", f"lines[{self._word()}]", "amount", "payments[x]",
            "notify", "reason",
            "shipping", "token", "__proto__", "lines", "how", "restock", self._word(),
        ))  # fmt: skip

    def _maybe_secret(self, made: Environ) -> None:
        """The command of Kustomer reads JSON: with its secret, but of no user."""
        if self._often(0.3):
            made |= {"REQUEST_METHOD": "POST", "PATH_INFO": "/kustomer/commands/open"}
            made["HTTP_AUTHORIZATION"] = f"Bearer {self._of((SECRET, 'wrong', ''))}"


SHAPES: tuple[Callable[[Attack, Environ], None], ...] = (
    Attack.wrong_names, Attack.wrong_token, Attack.wrong_form, Attack.replayed_form, Attack.wrong_body,
    Attack.wrong_length,
    Attack.too_much, Attack.wrong_path, Attack.wrong_headers, Attack.wrong_method, Attack.wrong_query,
    Attack.signed_nonsense,
)  # fmt: skip
DEEP = "[" * 50_000
_MONEY = {"presentment_money": {"amount": "1.00", "currency_code": "USD"}}
_ORDER = {"id": BASE + 1001, "name": "#1", "email": "x@example.com", "created_at": "2026-01-01T00:00:00Z",
          "updated_at": "2026-01-01T00:00:00Z", "total_price_set": _MONEY}  # fmt: skip
BODIES = tuple(one.encode() for one in (
    "", "{}", "[]", "null", "NaN", "{", '{"a":', DEEP, '{"a":' * 30_000, "[1" + ",1" * 20_000 + "]",
    '{"probe": {"a": [1]}}', '{"probe": 1e999}',
    '{"a": 1, "a": 2}', "9" * 6000, '"\\ud800"', "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    "a" * 9000, "token=x&token=y",
    "--x\r\nContent-Disposition: form-data; name=\"token\"; filename=\"a\"\r\n\r\nb\r\n--x--", "--x\r\n\r\n", "--x--",
))  # fmt: skip
NONSENSE = tuple(json.dumps(one).encode() for one in (
    {}, [], None, 5, "order", [_ORDER], {**_ORDER, "total_price_set": None}, {**_ORDER, "total_price_set": []},
    {**_ORDER, "total_price_set": {"presentment_money": 5}}, {**_ORDER, "created_at": 5},
    {**_ORDER, "updated_at": "yesterday"}, {**_ORDER, "created_at": None}, {**_ORDER, "refunds": 5},
    {**_ORDER, "refunds": [5]}, {**_ORDER, "refunds": [{"transactions": [5]}]}, {**_ORDER, "financial_status": 5},
    {**_ORDER, "fulfillment_status": []}, {**_ORDER, "email": 5},
    {**_ORDER, "email": {}}, {**_ORDER, "name": None}, {**_ORDER, "name": {}}, {**_ORDER, "name": 5},
    *({**_ORDER, "id": one} for one in (None, {}, "x", -1, 0, 1.5, True, 10**30)),
    *({"order_id": one} for one in (None, {}, "x", -1, 0, 1.5, True, 10**30)),
    {**_ORDER, "total_price_set": {"presentment_money": {"amount": 5, "currency_code": []}}},
    {"current": 5}, {"current": "abc"}, {"current": [5]}, {"order_edit": {"order_id": [5]}}, {"order_edit": 5},
)) + (DEEP.encode(), b'{"id":' * 30_000, b"\xff\xfe", b'{"id": NaN}', b"9" * 6000)  # fmt: skip


def _coded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def _flipped(text: str, chance: random.Random) -> str:
    """Another character somewhere; the last one of base64 may not count, so it stays."""
    at = chance.randrange(len(text) - 2)
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


