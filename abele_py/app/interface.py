"""The interactive page, on Gradio: its layout and its events."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..attribution.comparison import Comparison
from ..attribution.registry import LATENT, METHODS
from ..errors import AbeleError, missing_extra
from ..views.html import tag
from . import panels
from .backend import Chosen, Explained, Studio
from .jobs import Job, Stopped, T

if TYPE_CHECKING:
    import gradio

Updates = dict[Any, Any]  # component of the page -> its new value
Jobs = list[Job[Any]]  # of one visitor
LARGEST_UPLOAD = "5mb"
MOST_WAITING = 16  # pieces of work in the queue
_RESULT, _KEPT = "result-", 16  # folders of files for download, and how many stay
FIRST_PICTURE = 7
ANY = -1  # the target that is none
FEW_METHODS = ("abele", "grad-cam", "lime", "rise")  # one of each family, chosen when the page opens
FILES = Path(__file__).parent


def build(studio: Studio, folder: Path) -> "gradio.Blocks":
    """The page: what it shows, and what happens when its user does something.

    Args:
        studio: what is behind it.
        folder: for the files that it offers for download.

    Raises:
        MissingExtraError: gradio is not installed.
    """
    return Page(studio, folder).blocks.queue(max_size=MOST_WAITING)


class Page:
    """The parts of the page, area by area, and what happens when its user does something with them.

    Everything that needs the models is a generator of updates, run by :meth:`_work`; its first argument is the jobs of
    one visitor.

    Args:
        studio, folder: as of :func:`build`.

    Attributes:
        blocks: the page itself.
    """

    def __init__(self, studio: Studio, folder: Path) -> None:
        self._gr = gr = _gradio()
        self._studio, self._folder = studio, folder
        with gr.Blocks(title="abele", analytics_enabled=False, delete_cache=(3600, 3600)) as self.blocks:
            self._picture, self._explained, self._jobs = gr.State(None), gr.State(None), gr.State([])
            self._html(tag("h1", "Why this prediction?") + tag("p", _INTRODUCTION))
            with gr.Row():
                with gr.Column(min_width=320):
                    self._add_pictures()
                with gr.Column(min_width=320):
                    self._add_question()
            with gr.Column(visible=False) as self._result:
                self._add_result()
            self._connect()

    # What the page shows.

    def _html(self, value: str = "", **options: Any) -> Any:
        return self._gr.HTML(value, apply_default_css=False, elem_classes="abele", **options)

    def _add_pictures(self) -> None:
        gr, studio = self._gr, self._studio
        self._html(tag("h2", "1. A picture"))
        with gr.Tabs(selected="pick" if studio.images else "draw" if studio.drawn else "upload"):
            with gr.Tab("Test image", id="pick"):
                self._html(tag("p", studio.no_images or _picks(studio), class_="hint"))
                with gr.Row(visible=studio.images is not None, equal_height=True):
                    self._number = gr.Number(FIRST_PICTURE, label="Number", precision=0, minimum=0)
                    self._another = gr.Button("A random one")
            with gr.Tab("Draw", id="draw", visible=studio.drawn is not None):
                script = (FILES / "app.js").read_text(encoding="utf-8")
                self._drawing = self._html(html_template=_CANVAS, js_on_load=script)
            with gr.Tab("Upload", id="upload"):
                self._upload = gr.File(label=f"A picture or an .npy array, at most {LARGEST_UPLOAD.upper()}")
                self._invert = gr.Checkbox(label="Invert: exchange light and dark", info=_invert_when(studio))

    def _add_question(self) -> None:
        gr, boxes = self._gr, self._studio.black_boxes
        self._html(tag("h2", "2. The black box and your question"))
        self._prediction = self._html()
        self._black_box = gr.Dropdown(boxes, value=boxes[0], label="Black box")
        self._target = gr.Dropdown([("anything else", ANY)], value=ANY, label="What would make it ...")
        self._html(tag("h2", "3. The explanation"))
        with gr.Row():
            self._explain = gr.Button("Explain", variant="primary", min_width=120)
            self._cancel = gr.Button("Cancel", interactive=False, min_width=120)
        self._status = self._html()

    def _add_result(self) -> None:
        gr = self._gr
        self._summary = self._html()
        with gr.Row():
            self._as_page = gr.DownloadButton("Download the report (HTML)", size="sm")
            self._as_data = gr.DownloadButton("Download the explanation (.npz)", size="sm")
        with gr.Tabs():
            with gr.Tab("Explanation"):
                self._report = self._html()
            with gr.Tab("Sliders"):
                self._add_sliders()
            with gr.Tab("Compare"):
                self._html(tag("p", _COMPARISON))
                self._methods = gr.CheckboxGroup(_methods(), value=list(FEW_METHODS), label="Explainers")
                self._compare = gr.Button("Compare")
                self._compared = self._html()

    def _add_sliders(self) -> None:
        gr = self._gr
        self._html(tag("p", _SLIDERS))
        with gr.Column(elem_classes="abele-moved"):
            self._moved = self._html()
        self._back = gr.Button("Back to the explained image", size="sm")
        with gr.Row():
            self._sliders = [
                gr.Slider(low, high, label=f"z{i}", step=0.01, precision=2, min_width=280, buttons=[])
                for i, (low, high) in enumerate(self._studio.ranges())
            ]

    def _connect(self) -> None:
        """Which handler follows what its user does, what it is given, and what it may change."""
        own, told, chosen = self._jobs, [self._status, self._cancel], [self._black_box, self._target]
        shown = [self._picture, self._prediction, self._target, *told]
        moved = [self._moved, *self._sliders]
        results = [self._explained, self._result, self._summary, self._report, self._as_page, self._as_data,
                   self._compared, *moved]  # fmt: skip
        uploaded, picked = [own, self._upload, self._invert, *chosen], [own, self._number, *chosen]
        about = [own, self._picture, *chosen]
        self._number.change(self.on_number, picked, shown, **_LATEST)
        self._another.click(self.on_another, [own, *chosen], shown, **_AT_WORK)
        self._drawing.input(self.on_drawing, [own, self._drawing, *chosen], shown, **_LATEST)
        self._upload.upload(self.on_upload, uploaded, shown, **_AT_WORK)
        self._invert.input(self.on_upload, uploaded, shown, **_LATEST)
        self._black_box.input(self.on_black_box, about, shown, **_LATEST)
        self._explain.click(self.on_explain, about, [*results, *told], api_name="explain", **_AT_WORK)
        self._back.click(self.on_back, [own, self._explained], [*moved, *told], **_AT_WORK)
        compared = [self._compared, *told]
        self._compare.click(self.on_compare, [own, self._explained, self._methods], compared, **_AT_WORK)
        slid = [slider.input for slider in self._sliders]
        self._gr.on(slid, self.on_slider, [own, self._explained, *self._sliders], [self._moved, *told], **_LATEST)
        if self._studio.images:
            self.blocks.load(self.on_number, picked, shown, **_AT_WORK)
        # Not by Gradio's `cancels`: it ends what is shown of the work, and what is shown of the next work with it.
        self._cancel.click(self.on_cancel, [own], None, queue=False)

    # What happens when its user chooses a picture, or a black box for it.

    def on_number(self, own: Jobs, value: float | None, spec: str, wanted: int) -> Iterator[Updates]:
        if value is not None:
            yield from self._choose(own, lambda: self._studio.picked(value), spec, wanted)

    def on_another(self, own: Jobs, spec: str, wanted: int) -> Iterator[Updates]:
        yield from self._choose(own, lambda: self._studio.picked(None), spec, wanted)

    def on_drawing(self, own: Jobs, address: str, spec: str, wanted: int) -> Iterator[Updates]:
        yield from self._choose(own, lambda: self._studio.sketched(address), spec, wanted)

    def on_upload(self, own: Jobs, path: str | None, exchange: bool, spec: str, wanted: int) -> Iterator[Updates]:
        if path is not None:
            yield from self._choose(own, lambda: self._studio.uploaded(path, exchange), spec, wanted)

    def on_black_box(self, own: Jobs, chosen: Chosen | None, spec: str, wanted: int) -> Iterator[Updates]:
        if chosen is not None:
            yield from self._choose(own, lambda: chosen, spec, wanted)

    def _choose(self, own: Jobs, read: Callable[[], Chosen], spec: str, wanted: int) -> Iterator[Updates]:
        """A picture is chosen, or another black box for it: show it, and the prediction for it."""

        def do() -> Any:
            chosen = read()
            return chosen, self._studio.predicted(chosen.image, spec), self._studio.load(spec).names

        def show(found: Any) -> Updates:
            chosen, answer, names = found
            targets = [("anything else", ANY), *((n, i) for i, n in enumerate(names) if i != int(answer.labels))]
            kept = wanted if wanted in [value for _, value in targets] else ANY
            return {
                self._picture: chosen,
                self._prediction: panels.preview(chosen, answer, names),
                self._target: self._gr.update(choices=targets, value=kept),
            }

        return self._work(own, do, show, "Looking at the picture")

    # What happens when its user wants an explanation, and looks closer at it.

    def on_explain(self, own: Jobs, chosen: Chosen | None, spec: str, wanted: int) -> Iterator[Updates]:
        if chosen is None:
            yield {self._status: panels.told("Choose a picture first.")}
            return

        def do() -> tuple[Explained, Updates]:
            e = self._studio.explain(chosen, spec, None if wanted == ANY else wanted)
            return e, self._at_first(e)

        yield from self._work(own, do, lambda found: self._results(*found), "Explaining")

    def on_slider(self, own: Jobs, e: Explained, *code: float) -> Iterator[Updates]:
        yield from self._work(own, lambda: self._moved_to(e, list(code)), dict)

    def on_back(self, own: Jobs, e: Explained) -> Iterator[Updates]:
        yield from self._work(own, lambda: self._at_first(e), dict)

    def on_compare(self, own: Jobs, e: Explained, names: list[str]) -> Iterator[Updates]:
        if not names:
            yield {self._status: panels.told("Choose at least one explainer.")}
            return

        def show(found: Comparison) -> Updates:
            return {self._compared: panels.compared(found)}

        yield from self._work(own, lambda: self._studio.compared(e, names), show, "Comparing")

    def on_cancel(self, own: Jobs) -> None:
        for job in own:
            job.stop()  # `_work` then says so, after all that it said before

    def _results(self, e: Explained, sliders: Updates) -> Updates:
        html_page = e.explanation.to_html(title=e.name)
        as_page, as_data = _written(e, html_page, self._folder)
        return {
            self._status: panels.told("Done: the explanation is below."),
            self._explained: e,
            self._result: self._gr.update(visible=True),
            self._summary: panels.summary(e),
            self._report: panels.report(html_page, e.name),
            self._as_page: as_page,
            self._as_data: as_data,
            self._compared: "",
            **sliders,
        }

    def _moved_to(self, e: Explained, code: list[float]) -> Updates:
        points, realistic = self._studio.decoded(code, e)
        return {self._moved: panels.moved(e, points, realistic, self._studio.load(e.black_box).names)}

    def _at_first(self, e: Explained) -> Updates:
        """The sliders at the code of the explained image, within ranges that hold it."""
        z = e.explanation.latent
        places = zip(self._sliders, z.tolist(), self._studio.ranges(z), strict=True)
        return self._moved_to(e, z.tolist()) | {
            slider: self._gr.update(value=value, minimum=low, maximum=high) for slider, value, (low, high) in places
        }

    def _work(self, own: Jobs, do: Callable[[], T], show: Callable[[T], Updates], stage: str = "") -> Iterator[Updates]:
        """Do something with the models, saying how far it is, and show what it gave or why it cannot be.

        Gradio closes this generator when its visitor is gone: then the work ends too.
        """
        status, cancel, gr = self._status, self._cancel, self._gr
        job = self._studio.start(do, stage)
        own[:] = [job]  # what this visitor can cancel
        try:
            while not job.done(0.2):
                yield {status: panels.progress(job), cancel: gr.update(interactive=True)}
            yield {status: "", cancel: gr.update(interactive=False), **show(job.result())}
        except AbeleError as error:
            yield {status: panels.refusal(error), cancel: gr.update(interactive=False)}
        except Stopped:
            yield {status: _STOPPED, cancel: gr.update(interactive=False)}
        finally:
            job.stop()


# How Gradio queues an event that needs the models: one at a time; of events that come faster, the last one.
_AT_WORK: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "models", "show_progress": "hidden"}
_LATEST: dict[str, Any] = {"trigger_mode": "always_last", **_AT_WORK}

_INTRODUCTION = (
    "Choose a picture, and see why a classifier, the black box, predicts what it predicts: which similar pictures get "
    "the same label, what would change it, and how far to believe all that. Everything is computed on this machine."
)
_SLIDERS = (
    "The autoencoder describes the picture by a few numbers, its code. Move them, and see what image they stand for, "
    "and what the black box predicts for it."
)
_COMPARISON = (
    "Maps of the same decision by other methods. Those that this black box cannot serve are left out, with the reason."
)
_CANVAS = (
    '<div class="pad"><p class="hint">White on black. What you draw is cut out, scaled and centred as in the data set, '
    'after every stroke.</p><canvas width="280" height="280" role="img" aria-label="Ground to draw on, with the '
    'mouse, a pen or a finger"></canvas><button type="button">Clear</button></div>'
)
_STOPPED = panels.told("Stopped. What is on the page stays.")


def _gradio() -> Any:
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise missing_extra(error, "abele app", "app") from error
    return gradio


def _picks(studio: Studio) -> str:
    return f"{studio.data}: 0 to {len(studio.images or ()) - 1}."


def _invert_when(studio: Studio) -> str:
    return "For dark lines on a light ground: the black box learned from white on black." if studio.drawn else ""


def _methods() -> list[tuple[str, str]]:
    return [*((title, name) for name, (title, *_) in LATENT.items()), *((m.title, m.name) for m in METHODS.values())]


def _written(e: Explained, page: str, folder: Path) -> tuple[str, str]:
    """The report and the explanation as files, in a folder of their own, under a name that every system takes."""
    name = re.sub(r"[^\w.-]+", "-", f"{Path(e.name).stem}-{Path(e.black_box).stem}")[:80] + "-explanation"
    place = Path(tempfile.mkdtemp(prefix=_RESULT, dir=folder))
    for old in sorted(folder.glob(f"{_RESULT}*"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)  # Gradio has copies of those that are offered
    (place / f"{name}.html").write_text(page, encoding="utf-8")
    return str(place / f"{name}.html"), str(e.explanation.save(place / f"{name}.npz"))
