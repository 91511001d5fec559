"""The page of a summary in a browser, where there is one: filters, order, and links to rows that are hidden."""

import os
import shutil

import pytest
from support.runs import mixed, write_run

from abele_py.distributed import summarize
from abele_py.views import write_summary

pytestmark = pytest.mark.slow


@pytest.fixture
def open_page():
    """Opens a page in a browser that reaches no network; in the end it has had nothing to complain of."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    named = (os.environ.get("CHROMIUM"), *map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    said = []
    with playwright.sync_playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=next(filter(None, named), None), args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no browser: install chromium, or name one in CHROMIUM ({str(error).splitlines()[0]})")

        def opened(path, width=1200):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
            page.goto(path.as_uri())
            return page

        yield opened
        browser.close()
    assert said == []


def test_the_list_is_filtered_and_sorted(tmp_path, open_page):
    folder = write_run(tmp_path, mixed(), ("a", "b", "<b>'c"))
    entries = summarize(folder).listed
    page = open_page(write_summary(folder))

    def shown():
        rows = page.locator("#images tbody tr:visible").all()
        return [int(row.get_attribute("data-index")) for row in rows]

    def choose(by, value):
        page.select_option(f"select[data-by={by}]", value)

    assert shown() == [e.index for e in entries]
    choose("right", "no")
    assert shown() == [e.index for e in entries if not e.is_right]
    choose("notes", "not-typical")
    assert shown() == [e.index for e in entries if not e.is_right and "not-typical" in e.notes]
    assert page.locator(".count").text_content() == str(len(shown()))
    choose("right", "")
    choose("label", "2")
    assert shown() == [e.index for e in entries if e.label == 2 and "not-typical" in e.notes]
    choose("notes", "")
    choose("label", "")
    page.select_option("select.order", "probability")
    assert shown() == [e.index for e in sorted(entries, key=lambda e: round(e.probability, 4))]
    page.select_option("select.order", "margin")
    assert shown()[:3] == [e.index for e in summarize(folder).least[:3]]
    choose("right", "yes")
    hidden = next(e for e in entries if not e.is_right)
    page.evaluate(f"location.hash = 'image-{hidden.index}'")
    page.wait_for_function("document.querySelector('select[data-by=right]').value === ''")
    assert hidden.index in shown()


def test_a_phone_shows_all_of_it(tmp_path, open_page):
    page = open_page(write_summary(write_run(tmp_path, mixed())), 360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
