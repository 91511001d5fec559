"""The page as its users meet it: started as a command, asked over HTTP, and used in a browser where there is one.

Its process may reach no other machine, and is told of everything it tries.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from support.results import content

from abele_py import Abele, Explanation
from abele_py.models.checkpoints import find_checkpoint

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=alert(1)>"
GUARDED = """
import signal, socket, sys
from abele_py.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored by what a script starts in its background
HERE = ("127.0.0.1", "::1", "localhost", "0.0.0.0", None, "")
def guarded(function, host):
    def call(*args, **kwargs):
        if host(*args) not in HERE:
            sys.stderr.write(f"foreign: {host(*args)}\\n")
            raise OSError("no network in this test")
        return function(*args, **kwargs)
    return call
class Socket(socket.socket):
    connect = guarded(socket.socket.connect, lambda self, at: at[0] if isinstance(at, tuple) else "")
    connect_ex = guarded(socket.socket.connect_ex, lambda self, at: at[0] if isinstance(at, tuple) else "")
socket.socket = Socket
socket.getaddrinfo = guarded(socket.getaddrinfo, lambda host, *_: host.decode() if isinstance(host, bytes) else host)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page is started: the CNN of the digits again, with names that want to be more than text."""
    folder = tmp_path_factory.mktemp("served")
    named = folder / HOSTILE
    shutil.copytree(find_checkpoint("digits-cnn"), named)
    manifest = named / "manifest.json"
    names = ",".join(f'"{HOSTILE}{i}"' for i in range(10))
    text = re.sub(r'("class_names": )\[[^\]]*\]', lambda found: f"{found[1]}[{names}]", manifest.read_text())
    manifest.write_text(text)
    (folder / "secret.txt").write_text("secret")
    (folder / "temporary").mkdir()
    return folder


@pytest.fixture(scope="module")
def address(folder, python):
    """Where the page is, while it is served."""
    environment = {**os.environ, "TMPDIR": str(folder / "temporary"), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [python, "-c", GUARDED, "app", "--no-browser", f"--port={port}", "--black-box", f"./{HOSTILE}"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    found = re.fullmatch(r"abele app: (http://127\.0\.0\.1:\d+/) \(Ctrl\+C ends it\)\n", line)
    if not found:
        process.kill()
        pytest.fail(f"{line}{process.communicate()[1]}")
    yield found[1]
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert out == "abele app: ended\n"
    assert "foreign" not in err
    assert "Traceback" not in err
    assert list((folder / "temporary").glob("abele-app-*")) == []


@pytest.fixture(scope="module")
def client(address):
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # of the client, for the page's own process is guarded
    from gradio_client import Client

    return Client(address, verbose=False, analytics_enabled=False)


def answer_of(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, "", error.headers


def test_an_image_is_explained_without_a_browser(client, digits_models, digit_images):
    shown = client.predict(44, "digits-cnn", -1, api_name="/on_number")
    assert any("digits:test:44, 28 x 28 pixels" in str(part) for part in shown)
    found = [str(part) for part in client.predict("digits-cnn", -1, api_name="/explain")]
    summary = next(part for part in found if "Can I believe the explanation?" in part)
    assert "digits:test:44" in summary
    assert any(part.startswith("<iframe ") and 'sandbox="allow-scripts"' in part for part in found)
    (saved,) = (Path(part) for part in found if part.endswith(".npz"))
    autoencoder, classifier = digits_models
    expected = Abele(classifier, autoencoder, class_names="0123456789").explain(digit_images[44])
    assert saved.name == "digits-test-44-digits-cnn-explanation.npz"
    assert content(Explanation.load(saved)) == content(expected)


def test_files_of_this_machine_are_not_served(address, folder):
    for path in ("/etc/passwd", folder / "secret.txt", "secret.txt", folder / HOSTILE / "manifest.json"):
        status, text, _ = answer_of(f"{address}gradio_api/file={urllib.request.quote(str(path))}")
        assert status in (403, 404)
        assert "secret" not in text


def status_of(address, method, path, headers, body=b""):
    """Status and headers of an answer to a request as no browser would send it."""
    connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower() for name in answer.headers}
    except (BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
        return 413, set()
    finally:
        connection.close()


def test_foreign_names_and_foreign_pages_are_refused_without_cors(address):
    own = address.removeprefix("http://").rstrip("/")
    foreign = {"Host": "evil.example", "Origin": "http://evil.example"}
    for headers in (foreign, {"Host": "evil.example"}, {"Host": own, "Origin": "http://evil.example"}):
        for method, path in (("GET", "/config"), ("POST", "/gradio_api/queue/join"), ("POST", "/gradio_api/upload")):
            status, names = status_of(address, method, path, headers, b"{}")
            assert status == 403
            assert not any(name.startswith("access-control") for name in names)
    asked = {**foreign, "Access-Control-Request-Method": "POST"}
    status, names = status_of(address, "OPTIONS", "/gradio_api/upload", asked)
    assert status == 403
    assert not any(name.startswith("access-control") for name in names)
    assert status_of(address, "GET", "/config", {"Host": own, "Origin": f"http://{own}"})[0] == 200


def multipart(*sizes):
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="%d.png"\r\n\r\n%b\r\n' % (i, b"p" * size)
        for i, size in enumerate(sizes)
    ]
    return b"".join([*parts, b"--x--\r\n"]), {"Content-Type": "multipart/form-data; boundary=x"}


def test_uploads_are_bounded_together_too(address):
    body, headers = multipart(1000, 1000)
    assert status_of(address, "POST", "/gradio_api/upload", headers, body)[0] == 200
    body, headers = multipart(*[4_900_000] * 12)
    assert status_of(address, "POST", "/gradio_api/upload", headers, body)[0] == 413
    body, headers = multipart(5_300_000)
    assert status_of(address, "POST", "/gradio_api/upload", headers, body)[0] == 413
    body, headers = multipart(*[4_000_000] * 2)
    chunks = (body[i : i + 2**16] for i in range(0, len(body), 2**16))  # sent without its length
    assert status_of(address, "POST", "/gradio_api/upload", headers, chunks)[0] == 413
    body, headers = multipart(4_000_000)
    answers = [status_of(address, "POST", "/gradio_api/upload", headers, body)[0] for _ in range(26)]
    assert answers[0] == 200
    assert answers[-1] in (413, 429)  # the first stands for a connection closed while it was sending
    assert 20 <= answers.count(200) <= 25


def test_every_answer_forbids_the_browser_to_ask_other_machines(address):
    status, text, headers = answer_of(address)
    assert status == 200
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "class_names" not in text
    assert f"{HOSTILE}" not in text.replace("\\u003c", "<").split("window.gradio_config")[0]


def chromium():
    named = (os.environ.get("CHROMIUM"), *map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    return next(filter(None, named), None)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no browser: install chromium, or name one in CHROMIUM ({str(error).splitlines()[0]})")
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The open page; in the end nothing went wrong in it, and it asked no other machine for anything."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(15_000)
    wrong = []
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda r: r.url.startswith((address, "data:", "blob:")) or wrong.append(r.url))
    page.goto(address)
    page.get_by_text("as the black box gets it").wait_for()
    yield page
    assert wrong == []
    page.close()


def chosen(page, label, option):
    page.get_by_label(label).click()
    page.get_by_role("option", name=option, exact=True).click()


def explained(page):
    """Ask for an explanation; the report in its frame."""
    page.get_by_role("button", name="Explain").click()
    page.get_by_text("Done: the explanation is below.").wait_for()
    frame = page.frame_locator("iframe.report")
    frame.locator("h1").wait_for(state="attached")  # it may stand behind another tab
    return frame


def drawn(page, *points):
    page.get_by_role("tab", name="Draw").click()
    place = page.locator("canvas").bounding_box()
    at = [(place["x"] + x * place["width"], place["y"] + y * place["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=6)
    page.mouse.up()


SEVEN = ((0.3, 0.2), (0.7, 0.2), (0.5, 0.5), (0.42, 0.85))


def test_a_drawing_is_explained_for_a_target_and_its_code_is_moved(page):
    chosen(page, "Black box", "digits-cnn")
    drawn(page, *SEVEN)
    page.get_by_text("drawing, 28 x 28 pixels").wait_for()
    frame = explained(page)
    assert frame.locator("h1").inner_text() == "The black box predicts 7"
    assert frame.locator(".card").count() > 1
    frame.get_by_role("link", name="See the rule").click()
    assert frame.locator("h1").count() == 1, "links stay inside the report"

    chosen(page, "What would make it ...", "3")
    page.get_by_role("button", name="Explain").click()
    page.locator("h2", has_text="for drawing").wait_for()
    frame.locator("#change >> text=predicted as 3").first.wait_for()
    page.wait_for_function("document.querySelectorAll('iframe.report').length == 1")
    with page.expect_download() as download:
        page.get_by_text("Download the report (HTML)").click()
    assert download.value.suggested_filename == "drawing-digits-cnn-explanation.html"

    page.get_by_role("tab", name="Sliders").click()
    picture = page.locator('.moving img[alt^="The sliders"]')
    before = picture.get_attribute("src")
    page.get_by_label("range slider for z5").focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    page.wait_for_function("src => document.querySelectorAll('.moving img')[1].src != src", arg=before)
    page.get_by_role("button", name="Back to the explained image").click()
    page.wait_for_function("src => document.querySelectorAll('.moving img')[1].src == src", arg=before)


def test_what_cannot_be_used_is_refused_and_nothing_is_lost(page, tmp_path):
    (tmp_path / "text.png").write_text("hello")
    explained(page)
    page.get_by_role("tab", name="Draw").click()
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("got an empty drawing").wait_for()
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "text.png")
    refusal = page.locator("[role=alert]", has_text="text.png")
    refusal.wait_for()
    assert "is not a readable picture" in refusal.inner_text()
    assert "abele-app-" not in refusal.inner_text()
    assert page.get_by_text("digits:test:7, 28 x 28 pixels").is_visible()
    assert page.frame_locator("iframe.report").locator("h1").is_visible()


def test_an_upload_of_another_size_is_explained_and_inverted(page, tmp_path):
    Image.new("RGB", (60, 60), "white").save(tmp_path / f"{HOSTILE}.png")
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").set_input_files(tmp_path / f"{HOSTILE}.png")
    preview = page.locator("img[alt^='The chosen picture']")
    page.locator("figcaption", has_text=".png, 28 x 28").wait_for()
    light = preview.get_attribute("src")
    page.get_by_label("Invert").check()
    page.wait_for_function("src => document.querySelector(\"img[alt^='The chosen']\").src != src", arg=light)


def test_other_explainers_are_compared_and_a_comparison_is_cancelled(page):
    chosen(page, "Black box", "digits-forest")
    page.get_by_text("as the black box gets it").wait_for()
    explained(page)
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.locator(".maps figure").first.wait_for()
    assert page.locator(".maps figcaption").all_inner_texts()[0].startswith("ABELE")
    assert page.get_by_text("Left out: Grad-CAM: needs gradients").is_visible()
    maps = page.locator(".maps").inner_html()

    for name in ("KernelSHAP", "ANCHOR", "LORE", "Meaningful perturbation"):
        page.get_by_label(name, exact=True).check()
    page.get_by_role("button", name="Compare", exact=True).click()
    cancel = page.get_by_role("button", name="Cancel")
    page.wait_for_function("[...document.querySelectorAll('button')].some(b => b.innerText == 'Cancel' && !b.disabled)")
    cancel.click()
    page.get_by_text("Stopped. What is on the page stays.").wait_for()
    explained(page)  # the models are free again
    assert page.locator(".maps").count() == 0 or page.locator(".maps").inner_html() == maps


def test_hostile_names_are_only_text(page):
    page.get_by_text("The black box predicts").wait_for()
    explained(page)
    page.get_by_role("tab", name="Sliders").click()
    page.get_by_label("What would make it ...").click()
    page.get_by_role("option", name=HOSTILE).first.wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert page.get_by_text(f"{HOSTILE}1").count() > 0


def test_a_phone_shows_all_of_it_and_the_keyboard_reaches_it(page):
    page.set_viewport_size({"width": 390, "height": 844})
    explained(page)
    for tab in ("Explanation", "Sliders", "Compare"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_label("Number", exact=True).focus()
    for _ in range(4):
        page.keyboard.press("Tab")
    page.get_by_role("button", name="Explain").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Done: the explanation is below.").wait_for()
