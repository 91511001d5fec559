"""How long until `abele app` is open, and until it has explained, beside the same call of the library.

    python benchmarks/app.py            # needs the extra [app], playwright and chromium; prints, stores nothing

The page is used as a person uses it, in headless Chromium: seconds from the click on Explain to the report's heading.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from playwright.sync_api import Page, sync_playwright

from abele_py import Abele, load_autoencoder, load_classifier, load_image

NAMES = ("chromium", "chromium-browser", "google-chrome")


def seconds(do: Callable[[], Any]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def library(images: Sequence[int]) -> list[float]:
    """Seconds of each explanation, models loaded and landmarks labelled, as the page has them when it opens."""
    explainer = Abele(load_classifier("digits-cnn"), load_autoencoder("digits"))
    return [seconds(lambda i=i: explainer.explain(load_image(f"digits:test:{i}"))) for i in images]


def explained(page: Page, index: int) -> float:
    page.get_by_label("Number", exact=True).fill(str(index))
    page.get_by_text(f"digits:test:{index}, 28 x 28").wait_for()

    def explain() -> None:
        page.get_by_role("button", name="Explain").click()
        page.locator("h2", has_text=f"for digits:test:{index}").wait_for()
        page.frame_locator(f"iframe[title$='digits:test:{index}']").locator("h1").wait_for()

    return seconds(explain)


def served(images: Sequence[int]) -> tuple[float, float, list[float]]:
    """Seconds until the command says where the page is, until it is open, and of each explanation."""
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        start = time.perf_counter()
        command = [sys.executable, "-m", "abele_py.cli", "app", "--no-browser"]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=one_thread)
        try:
            address = re.search(r"http://\S+", process.stdout.readline())[0]  # type: ignore[index,union-attr]
            told = time.perf_counter() - start
            page = browser.new_page()
            page.goto(address)
            page.get_by_text("as the black box gets it").wait_for()
            opened = time.perf_counter() - start
            return told, opened, [explained(page, index) for index in images]
        finally:
            process.terminate()  # Ctrl+C is ignored by what a script starts in its background
            process.wait(30)
            browser.close()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, nargs="+", default=[7, 44, 71, 100, 123], help="of the digits' test images"
    )
    images = parser.parse_args(argv).images
    torch.set_num_threads(1)
    told, opened, app = served(images)
    calls = library(images)
    print(f"abele app says where it is after {told:.1f} s, the page is open after {opened:.1f} s")
    for what, choose in (
        ("first explanation", lambda times: times[0]),
        (f"median of {len(images)}", statistics.median),
    ):
        mine, its = choose(app), choose(calls)
        print(f"{what}: page {mine:.2f} s, library {its:.2f} s, ratio {mine / its:.2f}")


if __name__ == "__main__":
    main()
