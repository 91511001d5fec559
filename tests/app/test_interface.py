"""``abele app``: its options, its refusals, and the page's promises that need no browser."""

import builtins
import re
import threading

import pytest

from abele_py.app import interface, server
from abele_py.app.backend import Studio
from abele_py.app.panels import report, told
from abele_py.cli.commands import main
from abele_py.cli.parser import parser
from abele_py.errors import MissingExtraError, ParameterError


@pytest.fixture(scope="module")
def studio():
    studio = Studio()
    yield studio
    studio.close()


def config(studio, folder):
    return interface.build(studio, folder).get_config_file()


def test_options_default_to_the_digits_on_this_machine():
    options = parser().parse_args(["app"])["app"]
    assert (options.autoencoder, options.black_box, options.host, options.port) == ("digits", None, "127.0.0.1", None)
    assert options.browser
    assert not options.download
    assert not parser().parse_args(["app", "--no-browser"])["app"].browser


def test_help_says_what_another_host_means(capsys):
    with pytest.raises(SystemExit):
        main(["app", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "everybody who can reach this machine" in said
    assert "without a password" in said
    for option in ("--autoencoder", "--black-box", "--mean", "--std", "--channel-order", "--data-dir", "--port"):
        assert option in said


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--autoencoder", "digit"], "Did you mean 'digits'"),
        (["--black-box", "digits-cnm"], "Did you mean 'digits-cnn'"),
        (["--black-box", "mnist-cnn", "--std", "2"], "its own preprocessing"),
        (["--port", "99999"], "expected at most 65535"),
        (["--port", "many"], "port"),
        (["--host", "256.0.0.1", "--no-browser"], "nothing can listen"),
    ],
)
def test_a_mistake_is_one_line(arguments, word, capsys):
    assert main(["app", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert word in err
    assert err.count("\n") == 1


def test_without_gradio_the_extra_is_named(studio, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "gradio":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"'gradio', which abele app needs; .*pip install 'abele_py\[app\]'"):
        interface.build(studio, tmp_path)
    with pytest.raises(ParameterError, match="port=0; expected at least 1"):
        server.serve(studio, port=0)


@pytest.mark.slow
def test_the_page_waits_in_one_queue_and_tells_nobody(studio, tmp_path):
    page = interface.build(studio, tmp_path)
    assert page.analytics_enabled is False
    limits = {(f.concurrency_id, f.concurrency_limit) for f in page.fns.values() if f.fn and f.name != "on_cancel"}
    assert limits == {("models", 1)}, "one piece of work at a time"


@pytest.mark.slow
def test_every_axis_has_a_slider_and_every_method_a_box(studio, tmp_path):
    components = config(studio, tmp_path)["components"]
    sliders = [c["props"] for c in components if c["type"] == "slider"]
    assert [s["label"] for s in sliders] == [f"z{i}" for i in range(12)]
    (methods,) = (c["props"] for c in components if c["type"] == "checkboxgroup")
    assert len(methods["choices"]) == 20
    assert set(methods["value"]) <= {value for _, value in methods["choices"]}


def last(updates):
    """What the page shows in the end."""
    return list(updates)[-1]


@pytest.mark.slow
def test_the_handlers_show_what_the_studio_gives(studio, tmp_path):
    page, own = interface.Page(studio, tmp_path), []
    spec = studio.black_boxes[0]
    shown = last(page.on_number(own, 7, spec, interface.ANY))
    chosen = shown[page._picture]
    assert chosen.name == "digits:test:7"
    assert list(page.on_upload(own, None, False, spec, interface.ANY)) == []
    assert [*last(page.on_explain(own, None, spec, interface.ANY)).values()] == [told("Choose a picture first.")]

    explained = last(page.on_explain(own, chosen, spec, interface.ANY))
    e = explained[page._explained]
    z = e.explanation.latent.tolist()
    assert [explained[slider]["value"] for slider in page._sliders] == z
    assert explained[page._report] == report(e.explanation.to_html(title=e.name), e.name)
    moved = last(page.on_slider(own, e, *z))
    assert moved[page._moved] == last(page.on_back(own, e))[page._moved] == explained[page._moved]
    assert last(page.on_slider(own, e, *[-x for x in z]))[page._moved] != moved[page._moved]

    (asked,) = last(page.on_compare(own, e, [])).values()
    assert asked == told("Choose at least one explainer.")
    compared = last(page.on_compare(own, e, ["edge-detector"]))
    assert "Edge detector" in compared[page._compared]


@pytest.mark.slow
def test_a_cancelled_work_says_so(studio, tmp_path):
    page, own = interface.Page(studio, tmp_path), []
    updates = page.on_number(own, 7, studio.black_boxes[0], interface.ANY)
    held = threading.Event()
    studio.start(lambda: held.wait(60))  # so that the next piece of work has not begun
    next(updates)
    page.on_cancel(own)
    held.set()
    assert last(updates)[page._status] == interface._STOPPED


@pytest.mark.slow
def test_no_font_is_fetched():
    style = server._theme()._get_theme_css()
    assert set(re.findall(r"url\(.{6}", style)) <= {'url("data:'}
    assert server._theme()._stylesheets == []
