"""Who may ask the page for what: browsers that show it, from names of this machine, so much each and so much in all.

Gradio answers whatever name it was asked by, which lets a foreign page reach it under a name of its own (DNS
rebinding), and takes requests that foreign pages send. Here both end before Gradio sees them.
"""

import ipaddress
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

LARGEST_REQUEST = 6 * 2**20  # one picture of the largest size, and what stands around it
EACH, TOGETHER = 100 * 2**20, 400 * 2**20  # bytes that one visitor, and all of them, may send within WITHIN
WITHIN = 3600.0  # seconds; after as many, files are deleted
SMALL = 2**16  # requests below this do not count: clicks, not pictures
LOCAL = ("localhost", "127.0.0.1", "::1")
# A browser that keeps to this asks no other machine for anything, whatever a library of the page may want.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self' about:; form-action 'self'; frame-ancestors 'self'"
)


class Refused(Exception):
    """A request is not answered: a status of HTTP, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Budget:
    """Bytes that visitors have sent lately.

    Args:
        each, together: the most of one visitor, and of all, within :data:`WITHIN` seconds.
        clock: seconds.
    """

    def __init__(self, each: int = EACH, together: int = TOGETHER, clock: Callable[[], float] = time.monotonic) -> None:
        self._each, self._together, self._clock = each, together, clock
        self._sent: deque[tuple[float, str, int]] = deque()

    def spend(self, visitor: str, n_bytes: int) -> None:
        """Count what a visitor has sent.

        Raises:
            Refused: it is too much.
        """
        now = self._clock()
        while self._sent and self._sent[0][0] <= now - WITHIN:
            self._sent.popleft()
        own = sum(n for _, who, n in self._sent if who == visitor)
        if own + n_bytes > self._each or sum(n for *_, n in self._sent) + n_bytes > self._together:
            raise Refused(429, f"too many bytes within {WITHIN / 60:g} minutes; wait, or start the page again")
        self._sent.append((now, visitor, n_bytes))


class Guard:
    """An ASGI application around another one: checks whom it answers, and forbids the browser to ask other machines.

    Args:
        app: the page.
        host: the address that it listens at.
        budget: of its visitors.
    """

    def __init__(self, app: Any, host: str, budget: Budget | None = None) -> None:
        self._app, self._names, self._budget = app, names_of(host), budget or Budget()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal: Refused | None = None
        started = gone = False

        async def send_on(message: Any) -> None:
            nonlocal started
            if refusal is not None and not started:  # what the page makes of a request that was cut off is not told
                return
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        async def receive_on() -> Any:
            nonlocal refusal, gone
            message = await receive()
            gone = message["type"] == "http.disconnect"
            try:
                count(0 if said else len(message.get("body", b"")))
            except Refused as found:
                refusal = found
                return {"type": "http.disconnect"}  # the page stops reading
            return message

        try:
            headers = _headers(scope)
            check_host(headers, self._names)
            check_origin(scope.get("method", "GET"), headers)
            visitor = str((scope.get("client") or ("",))[0])
            said = headers.get("content-length", [""])[0]
            count = _Counter(visitor, self._budget)
            if said:  # and the server holds the sender to it
                count(int(said) if said.isdecimal() and len(said) < 19 else LARGEST_REQUEST + 1)
            await self._app(scope, receive_on, send_on)
        except Refused as found:
            refusal = found
        except Exception:
            if refusal is None and not gone:  # whoever hangs up while sending is no error of the page
                raise
        if refusal is not None and not started:
            await _refuse(scope, refusal, send)


class _Counter:
    """Counts the bytes of one request."""

    def __init__(self, visitor: str, budget: Budget) -> None:
        self._visitor, self._budget, self._size, self._spent = visitor, budget, 0, 0

    def __call__(self, n_bytes: int) -> None:
        self._size += n_bytes
        if self._size > LARGEST_REQUEST:
            raise Refused(413, f"a request of more than {LARGEST_REQUEST >> 20} MB; send one picture at a time")
        if self._size - self._spent > SMALL:
            self._budget.spend(self._visitor, self._size - self._spent)
            self._spent = self._size


def names_of(host: str) -> tuple[str, ...]:
    """The names by which a page that listens at ``host`` may be asked.

    One that listens everywhere has as many addresses as the machine, and is asked by any address in numbers: that is
    safe, for it takes a name to lead a browser from a foreign page to this machine.
    """
    own = (*LOCAL, host.lower().strip("[]"))
    return own if host not in ("", "0.0.0.0", "::") else (*own, socket.gethostname().lower(), ANY_ADDRESS)


ANY_ADDRESS = "any address"


def check_host(headers: dict[str, list[str]], names: tuple[str, ...]) -> None:
    """Refuse a request that asks for another machine.

    Raises:
        Refused: so it does, or it does not say for which.
    """
    given = headers.get("host", [])
    name = _name(given[0]) if len(given) == 1 else ""
    if name not in names and not (ANY_ADDRESS in names and _is_address(name)):
        raise Refused(403, "this page is not served under that name; use the address that abele app has shown")


def check_origin(method: str, headers: dict[str, list[str]]) -> None:
    """Refuse what another page makes a browser send; following a link to this page is fine.

    Raises:
        Refused: it comes from another page.
    """
    own = headers["host"][0].lower()
    for origin in headers.get("origin", []):
        if origin.lower() not in (f"http://{own}", f"https://{own}"):
            raise Refused(403, "a request from another page")
    site, mode = (headers.get(f"sec-fetch-{what}", [""])[0] for what in ("site", "mode"))
    follows = method in ("GET", "HEAD") and mode == "navigate"
    if site not in ("", "none", "same-origin") and not follows:
        raise Refused(403, "a request from another page")


def _name(host: str) -> str:
    """``localhost:7860`` -> ``localhost``; ``[::1]:7860`` -> ``::1``; empty where it is no such thing."""
    name, colon, port = host.lower().rpartition(":") if not host.endswith("]") else (host.lower(), "", "")
    name, port = (name, port) if colon else (host.lower(), "")
    if port and not port.isdecimal():
        return ""
    return name[1:-1] if name.startswith("[") and name.endswith("]") else "" if ":" in name else name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _headers(scope: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


async def _refuse(scope: Any, refusal: Refused, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    content = f"abele app: {refusal}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(content)),
               (b"connection", b"close"), (b"content-security-policy", POLICY.encode())]  # fmt: skip
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
