"""A black box behind an address: what is tried again, what is an error at once, and what is not shown."""

import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler

import pytest
import torch
from support.servers import Server, endpoint, serving
from support.worlds import hard, seeded, soft

from abele_py import BlackBox, load_black_box
from abele_py.black_boxes import http
from abele_py.black_boxes.http import HttpClassifier
from abele_py.black_boxes.loading import identity
from abele_py.errors import BlackBoxError, ParameterError

IMAGES = torch.rand(5, 1, 1, 2, generator=seeded())


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def slept(monkeypatch):
    """The waits between attempts, which nobody waits for."""
    found = []
    monkeypatch.setattr(http, "sleep", found.append)
    return found


def failure(url, **options):
    with pytest.raises(BlackBoxError) as caught:
        BlackBox(HttpClassifier(url, **options))(IMAGES)
    text = str(caught.value)
    assert url in text
    assert "got" in text
    assert "expected" in text
    return text


@pytest.mark.parametrize("function", [soft, hard])
def test_an_endpoint_of_scores_and_one_of_labels(function):
    with endpoint(function) as (url, requests):
        answer = BlackBox(load_black_box(url).classifier, batch_size=2)(IMAGES)
        last = load_black_box(url, channels_last=True, mean=0.5).classifier(IMAGES)
    assert torch.equal(answer.labels, hard(IMAGES))
    assert answer.scores is None if function is hard else torch.equal(answer.scores, soft(IMAGES))
    assert [len(r["body"]["instances"]) for r in requests] == [2, 2, 1, 5]
    assert torch.equal(torch.tensor(requests[0]["body"]["instances"]), IMAGES[:2])
    assert torch.equal(torch.tensor(requests[3]["body"]["instances"]), (IMAGES - 0.5).permute(0, 2, 3, 1))
    assert requests[0]["Content-Type"] == "application/json"
    assert requests[0]["path"] == "/predict"
    assert len(last) == 5


@pytest.mark.parametrize("state", [429, 500, 503])
def test_what_may_pass_is_tried_again_after_longer_and_longer_waits(state, slept):
    with endpoint((state, {}, b"busy"), (state, {}, b"busy"), soft) as (url, requests):
        answer = BlackBox(HttpClassifier(url))(IMAGES)
    assert torch.equal(answer.scores, soft(IMAGES))
    assert len(requests) == 3
    assert slept == [0.5, 1.0]


def test_retries_end(slept):
    with endpoint((503, {}, b"busy as a bee")) as (url, requests):
        text = failure(url, retries=3, backoff=20)
    assert len(requests) == 4
    assert slept == [20, 40, 60]
    assert "HTTP 503" in text
    assert "busy as a bee" in text
    assert "tried 4 times" in text


@pytest.mark.parametrize(("said", "low", "high"), [("7", 7, 7), ("date", 5, 9), ("soon", 0.5, 0.5), ("-3", 0.5, 0.5)])
def test_retry_after_is_honoured(said, low, high, slept):
    header = formatdate(time.time() + 9, usegmt=True) if said == "date" else said
    with endpoint((429, {"Retry-After": header}, b""), soft) as (url, _):
        BlackBox(HttpClassifier(url))(IMAGES)
    assert low <= slept[0] <= high


def test_retry_after_a_day_is_an_error_at_once(slept):
    with endpoint((503, {"Retry-After": "86400"}, b"")) as (url, requests):
        assert "86400 seconds" in failure(url)
    assert len(requests) == 1
    assert slept == []


def test_a_timeout_is_tried_again():
    with endpoint(3.0, soft) as (url, requests):
        answer = BlackBox(HttpClassifier(url, timeout=1, backoff=0.01))(IMAGES)
        assert torch.equal(answer.scores, soft(IMAGES))
        assert len(requests) >= 2
    with endpoint(3.0) as (url, _):
        assert "timed out" in failure(url, timeout=0.2, retries=0)


def test_an_answer_that_drips_is_a_timeout():
    class Dripping(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            for _ in range(200):
                self.wfile.write(b" ")
                time.sleep(0.05)

        def log_message(self, *_):
            pass

    with serving(Server(("127.0.0.1", 0), Dripping)) as url:
        start = time.monotonic()
        assert "longer than 0.5 s" in failure(url, timeout=0.5, retries=0)
        assert time.monotonic() - start < 5


def test_a_server_that_is_not_there_or_hangs_up_is_tried_again(slept):
    with endpoint(soft) as (url, _):
        pass
    assert "refused" in failure(url)
    assert len(slept) == 4
    with endpoint((200, {"Content-Length": "1000"}, b"cut"), soft) as (url, requests):
        BlackBox(HttpClassifier(url))(IMAGES)
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, {}, b"wants [H][W]"), ["HTTP 400", "wants [H][W]"]),
        ((404, {}, b"\xff" * 10**6), ["HTTP 404"]),
        ((401, {}, b""), ["HTTP 401"]),
        ((302, {"Location": "http://elsewhere.example/"}, b""), ["HTTP 302", "elsewhere.example", "not followed"]),
        ((307, {"Location": "file:///etc/passwd"}, b""), ["HTTP 307", "not followed"]),
        ((200, {}, b"<html>welcome</html>"), ["not JSON", "<html>welcome"]),
        ((200, {}, b""), ["not JSON"]),
        ((200, {}, b"[" * 10**5), ["not JSON"]),
        ((200, {}, b"[1, 2]"), ["not JSON with predictions"]),
        ((200, {}, b'{"scores": [1]}'), ["not JSON with predictions"]),
        ((200, {}, b'{"predictions": [1, 0]}'), ["a list of 5 but 2"]),
        ((200, {}, b'{"predictions": 3}'), ["a list of 5 but no list"]),
        ((200, {}, b'{"predictions": [[1, 2], [1], [1], [1], [1]]}'), ["different lengths"]),
        ((200, {}, b'{"predictions": ["a", "b", "c", "d", "e"]}'), ["neither labels nor"]),
        ((200, {}, b'{"predictions": [{}, {}, {}, {}, {}]}'), ["neither labels nor"]),
        ((200, {}, b'{"predictions": [true, true, true, true, true]}'), ["neither labels nor"]),
    ],
)
def test_another_answer_is_an_error_at_once(answer, words, slept):
    with endpoint(answer) as (url, requests):
        text = failure(url)
    assert len(requests) == 1
    assert slept == []
    assert all(word in text for word in words), text
    assert len(text) < 700


def test_an_endless_answer_is_cut_off(monkeypatch):
    monkeypatch.setattr(http, "MOST_BYTES", 1000)
    with endpoint((200, {}, b" " * 10**5)) as (url, _):
        assert "more than 1000 bytes" in failure(url)


def test_headers_are_sent_and_secrets_are_not_shown(slept):
    with endpoint((403, {}, b"")) as (url, requests), pytest.raises(BlackBoxError) as caught:
        HttpClassifier(f"{url}?key=secret", headers={"Authorization": "Bearer secret"})(IMAGES)
    assert requests[0]["Authorization"] == "Bearer secret"
    assert requests[0]["path"] == "/predict?key=secret"
    assert "secret" not in str(caught.value)
    assert identity(f"{url}?key=secret") == {"name": url}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://", {}),
        ("http:///predict", {}),
        ("http://host:port/", {}),
        ("http://host/a b", {}),
        ("http://höst/", {}),
        ("http://me:secret@host/", {}),
        ("file:///etc/passwd", {}),
        ("http://host/", {"timeout": 0}),
        ("http://host/", {"timeout": float("nan")}),
        ("http://host/", {"retries": -1}),
        ("http://host/", {"backoff": -1}),
    ],
)
def test_impossible_endpoints_are_refused_at_once(url, options):
    with pytest.raises(ParameterError, match="expected") as caught:
        HttpClassifier(url, **options)
    assert "secret" not in str(caught.value)
