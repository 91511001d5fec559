"""The guard of the page: foreign names and foreign pages are refused, and so is more than a visitor may send."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abele_py.app import guard
from abele_py.app.guard import LARGEST_REQUEST, POLICY, Budget, Guard, Refused, check_host, check_origin, names_of

HERE = "127.0.0.1:7860"


def answered(headers, method="POST", chunks=(b"",), host="127.0.0.1", budget=None, kind="http", visitor="127.0.0.1"):
    """Status, headers and body of the answer; of a page that reads all of the request, and says how much that was."""
    sent, waiting = [], list(chunks)

    async def page(scope, receive, send):
        n = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("cut off")
            n += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(n).encode()})

    async def receive():
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": kind, "method": method, "headers": pairs, "client": (visitor, 1)}
    asyncio.run(Guard(page, host, budget)(scope, receive, send))
    if kind == "websocket":
        return sent
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"].decode()


@pytest.mark.parametrize("host", [HERE, "localhost:7860", "LOCALHOST", "[::1]:7860", "[::1]", "127.0.0.1"])
def test_local_names_are_answered(host):
    status, headers, body = answered([("host", host), ("origin", f"http://{host}")], chunks=(b"ab", b"c"))
    assert (status, body) == (200, "3")
    assert headers[b"content-security-policy"] == POLICY.encode()


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.1.7:7860", "",
     "localhost@evil.example", "127.0.0.1:7860, evil.example", "127.0.0.1:x", "::1", "[::1", "2130706433", "null"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_other_names_are_refused(host, method):
    status, headers, body = answered([("host", host)], method)
    assert status == 403
    assert "not served under that name" in body
    assert not any(name.startswith(b"access-control") for name in headers)


@pytest.mark.parametrize("headers", [[], [("host", HERE), ("host", "evil.example")]])
def test_a_request_names_one_host(headers):
    assert answered(headers)[0] == 403


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:7861", "http://localhost:7860", "file://", "ftp://" + HERE],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_what_another_page_sends_is_refused(origin, method):
    status, headers, body = answered([("host", HERE), ("origin", origin)], method)
    assert (status, "from another page" in body) == (403, True)
    assert not any(name.startswith(b"access-control") for name in headers)


@pytest.mark.parametrize(
    ("method", "site", "mode", "status"),
    [
        ("GET", "cross-site", "navigate", 200),
        ("GET", "cross-site", "no-cors", 403),
        ("GET", "same-origin", "cors", 200),
        ("GET", "none", "navigate", 200),
        ("POST", "cross-site", "navigate", 403),
        ("POST", "same-site", "no-cors", 403),
        ("POST", "same-origin", "cors", 200),
    ],
)
def test_links_to_the_page_may_be_followed_and_no_more(method, site, mode, status):
    headers = [("host", HERE), ("sec-fetch-site", site), ("sec-fetch-mode", mode)]
    assert answered(headers, method)[0] == status


def test_a_page_for_others_is_asked_by_address_or_by_the_name_it_was_given():
    for host in ("192.168.1.7:7860", "[fe80::1]:7860", "10.0.0.1"):
        assert answered([("host", host)], host="0.0.0.0")[0] == 200
    assert answered([("host", "evil.example")], host="0.0.0.0")[0] == 403
    assert answered([("host", "lab.example:80")], host="lab.example")[0] == 200
    assert answered([("host", "192.168.1.7")], host="lab.example")[0] == 403


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_no_name_but_the_known_ones_passes(name):
    headers = {"host": [name]}
    try:
        check_host(headers, names_of("127.0.0.1"))
    except Refused:
        return
    known = name.lower().partition("]")[0].lstrip("[") if name.startswith("[") else name.lower().partition(":")[0]
    assert known in guard.LOCAL


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_no_origin_but_its_own_passes(origin):
    try:
        check_origin("POST", {"host": [HERE], "origin": [origin]})
    except Refused:
        return
    assert origin.lower() in (f"http://{HERE}", f"https://{HERE}")


def test_a_websocket_of_another_page_is_closed():
    assert (
        answered([("host", HERE), ("origin", "http://evil.example")], kind="websocket")[0]["type"] == "websocket.close"
    )


def test_a_request_that_says_it_is_too_large_is_refused_before_it_is_read():
    headers = [("host", HERE), ("content-length", str(LARGEST_REQUEST + 1))]
    status, _, body = answered(headers, chunks=())
    assert status == 413
    assert "more than 6 MB; send one picture at a time" in body
    for said in ("many", "9" * 30, "-1"):
        assert answered([("host", HERE), ("content-length", said)], chunks=())[0] == 413


def test_a_request_that_does_not_say_how_large_it_is_is_cut_off():
    part = b"x" * 2**20
    assert answered([("host", HERE)], chunks=[part] * 6)[::2] == (200, str(6 * 2**20))
    assert answered([("host", HERE)], chunks=[part] * 7)[0] == 413


@pytest.mark.parametrize("said", [True, False])
def test_a_visitor_and_all_of_them_may_send_so_much_and_later_more(said):
    now = [0.0]
    budget = Budget(each=2 * 2**20, together=3 * 2**20, clock=lambda: now[0])
    content = b"x" * 2**20
    headers = [("host", HERE), *([("content-length", str(len(content)))] if said else [])]

    def sends(visitor):
        return answered(headers, chunks=[content], budget=budget, visitor=visitor)[0]

    assert [sends("a"), sends("a"), sends("a")] == [200, 200, 429]
    assert [sends("b"), sends("c")] == [200, 429]
    assert answered([("host", HERE), ("content-length", "2")], chunks=[b"ab"], budget=budget, visitor="a")[0] == 200
    now[0] = guard.WITHIN
    assert [sends("c"), sends("a")] == [200, 200]


def test_what_goes_wrong_in_the_page_stays_an_error():
    async def page(scope, receive, send):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(Guard(page, "127.0.0.1")({"type": "http", "headers": [(b"host", b"localhost")]}, None, None))
