"""A classifier behind an HTTP endpoint: a batch of images out as JSON, labels or scores back, retried with patience.

The rows of TensorFlow Serving and KServe (version 1): ``{"instances": [...]}`` and ``{"predictions": [...]}``. Only the
given URL is ever asked: redirects are refused.
"""

import email.utils
import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from time import sleep
from typing import Any, NoReturn

import numpy as np
from torch import Tensor

from ..checking.parameters import checked
from ..errors import BlackBoxError, ParameterError
from ..storage.reading import parse_json

MOST_BYTES = 64 * 2**20  # of an answer
LONGEST_WAIT = 60.0  # seconds between two attempts, also where a server asks for more
_CUT = 200  # characters of an answer in an error


class HttpClassifier:
    """Asks a server: images (N, C, H, W) or (N, H, W, C) -> (N,) integer labels or (N, K) scores.

    A connection that fails, a timeout, and the states 429 and 5xx are tried again, after ``backoff`` seconds, then
    twice as many, and so on; ``Retry-After`` is honoured. Other states are errors at once.

    Args:
        url: ``http://`` or ``https://``.
        timeout: seconds that one attempt may take.
        retries: attempts after the first one.
        backoff: seconds before the first of them.
        headers: more headers of the request, such as ``{"Authorization": "Bearer ..."}``.

    Raises:
        ParameterError: no such URL, or impossible numbers.
        BlackBoxError: at a call, where no usable answer came.
    """

    @checked
    def __init__(
        self,
        url: str,
        timeout: float = 30.0,
        retries: int = 4,
        backoff: float = 0.5,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        parts = _parts(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ParameterError(
                f"got the URL {_shown(url)!r}; expected http://HOST:PORT/PATH or https://..., without a password; "
                "give the classifier's own address, and a password as a header (HttpClassifier(url, headers=...))"
            )
        if not timeout > 0 or retries < 0 or not backoff >= 0:
            raise ParameterError(
                f"got timeout={timeout}, retries={retries}, backoff={backoff}; expected a timeout above 0 and no "
                "negative number; 30, 4 and 0.5 suit most servers"
            )
        self.url, self.timeout, self.retries, self.backoff = url, timeout, retries, backoff
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
        self._opener = urllib.request.build_opener(_NoRedirects)

    def __getstate__(self) -> dict[str, Any]:  # an opener cannot be pickled
        return {name: value for name, value in vars(self).items() if name != "_opener"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _opener=urllib.request.build_opener(_NoRedirects))

    def __call__(self, images: Tensor) -> np.ndarray:
        body = json.dumps({"instances": images.tolist()}).encode()
        return self._parsed(self._answer(body), len(images))

    def _answer(self, body: bytes) -> bytes:
        """The body of the first good answer."""
        attempt = 0
        while True:
            try:
                return self._once(body)
            except urllib.error.HTTPError as error:
                with error:
                    reason, wait = self._refusal(error), _asked_wait(error)
                    if error.code != 429 and error.code < 500:
                        self._fail(reason, "see what it says, and what it expects", error)
                    cause: Exception = error
            except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
                reason, wait, cause = f"{type(error).__name__}: {getattr(error, 'reason', error)}", 0.0, error
            if attempt == self.retries:
                tried = "" if attempt == 0 else f" {attempt + 1} times"
                self._fail(
                    reason,
                    f"it was tried{tried}; look whether the server runs, or give it a longer --timeout "
                    "or a smaller --batch-size",
                    cause,
                )
            if wait > LONGEST_WAIT:
                self._fail(reason, f"it asks to come back in {wait:.0f} seconds; do so", cause)
            sleep(min(max(wait, self.backoff * 2**attempt), LONGEST_WAIT))
            attempt += 1

    def _once(self, body: bytes) -> bytes:
        request = urllib.request.Request(self.url, body, self._headers, method="POST")
        end = time.monotonic() + self.timeout
        with self._opener.open(request, timeout=self.timeout) as response:
            parts, size = [], 0
            while part := response.read1(2**16):
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    self._fail(f"more than {MOST_BYTES} bytes", "use a smaller --batch-size")
                if time.monotonic() > end:
                    raise TimeoutError(f"the answer took longer than {self.timeout:g} s")
            if response.length:  # what the server announced and did not send
                raise http.client.IncompleteRead(b"", response.length)
            return b"".join(parts)

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        try:
            said = error.read(4 * _CUT).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            said = ""
        if 300 <= error.code < 400:
            said = f"to {error.headers.get('Location')}, which is not followed: give the address itself"
        return f"HTTP {error.code} {error.reason}: {' '.join(said.split())[:_CUT]}"

    def _parsed(self, content: bytes, n: int) -> np.ndarray:
        expected = 'send {"predictions": [...]} with one label, or one list of scores, for each image'
        said = " ".join(content[: 4 * _CUT].decode("utf-8", "replace").split())[:_CUT]
        try:
            rows = parse_json(content)["predictions"]
            count = len(rows) if isinstance(rows, list) else -1
        except (ValueError, KeyError, TypeError) as error:
            self._fail(f"an answer that is not JSON with predictions: {said}", expected, error)
        if count != n:
            self._fail(f"predictions that are not a list of {n} but {_count(count)}: {said}", expected)
        try:
            values = np.array(rows)
        except ValueError as error:  # lists of different lengths
            self._fail(f"predictions of different lengths: {said}", expected, error)
        if values.dtype.kind not in "iuf" or values.ndim not in (1, 2):
            self._fail(f"predictions that are neither labels nor lists of scores: {said}", expected)
        return values

    def _fail(self, got: str, advice: str, cause: Exception | None = None) -> NoReturn:
        raise BlackBoxError(
            f"got {got}, of the black box at {_shown(self.url)}; expected labels or scores of the images it was sent; "
            f"{advice}"
        ) from cause


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect stays what it is: an answer that is not the classifier's."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _asked_wait(error: urllib.error.HTTPError) -> float:
    """Seconds of ``Retry-After``, which is a number or a date; 0 where there is none."""
    text = str(error.headers.get("Retry-After", "")).strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # a wrong one is found only now
    except ValueError as error:
        raise ParameterError(f"got the URL {url!r} ({error}); expected http://HOST:PORT/PATH; correct it") from error
    if re.search(r"[^!-~]", url):
        raise ParameterError(f"got the URL {url!r}; expected printable ASCII without spaces; write others as %20, ...")
    return parts


def _shown(url: str) -> str:
    """Without what may be secret in it."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _count(n: int) -> str:
    return "no list" if n < 0 else str(n)
