"""The interactive page, on Gradio: its layout and its events."""

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    try:
        import gradio as gr
    except ModuleNotFoundError as error:
        raise missing_extra(error, "abele app", "app") from error

    def html(value: str = "", **options: Any) -> Any:
        return gr.HTML(value, apply_default_css=False, elem_classes="abele", **options)

    with gr.Blocks(title="abele", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        picture, explained, jobs = gr.State(None), gr.State(None), gr.State([])
        html(tag("h1", "Why does it see that?") + tag("p", _INTRODUCTION))
        with gr.Row():
            with gr.Column(min_width=320):
                html(tag("h2", "1. A picture"))
                with gr.Tabs(selected="pick" if studio.images else "draw" if studio.drawn else "upload"):
                    with gr.Tab("Test image", id="pick"):
                        html(tag("p", studio.no_images or _picks(studio), class_="hint"))
                        with gr.Row(visible=studio.images is not None, equal_height=True):
                            number = gr.Number(FIRST_PICTURE, label="Number", precision=0, minimum=0)
                            another = gr.Button("A random one")
                    with gr.Tab("Draw", id="draw", visible=studio.drawn is not None):
                        script = (FILES / "app.js").read_text(encoding="utf-8")
                        drawing = html(html_template=_CANVAS, js_on_load=script)
                    with gr.Tab("Upload", id="upload"):
                        upload = gr.File(label=f"A picture or an .npy array, at most {LARGEST_UPLOAD.upper()}")
                        invert = gr.Checkbox(label="Invert: exchange light and dark", info=_invert_when(studio))
            with gr.Column(min_width=320):
                html(tag("h2", "2. The black box and your question"))
                seen = html()
                black_box = gr.Dropdown(studio.black_boxes, value=studio.black_boxes[0], label="Black box")
                target = gr.Dropdown([("anything else", ANY)], value=ANY, label="What would make it ...")
                html(tag("h2", "3. The explanation"))
                with gr.Row():
                    explain = gr.Button("Explain", variant="primary", min_width=120)
                    cancel = gr.Button("Cancel", interactive=False, min_width=120)
                status = html()
        with gr.Column(visible=False) as result:
            summary = html()
            with gr.Row():
                as_page = gr.DownloadButton("Download the report (HTML)", size="sm")
                as_data = gr.DownloadButton("Download the explanation (.npz)", size="sm")
            with gr.Tabs():
                with gr.Tab("Explanation"):
                    report = html()
                with gr.Tab("Sliders"):
                    html(tag("p", _SLIDERS))
                    with gr.Column(elem_classes="abele-moved"):
                        moved = html()
                    back = gr.Button("Back to the explained image", size="sm")
                    with gr.Row():
                        sliders = [
                            gr.Slider(low, high, label=f"z{i}", step=0.01, precision=2, min_width=280, buttons=[])
                            for i, (low, high) in enumerate(studio.ranges())
                        ]
                with gr.Tab("Compare"):
                    html(tag("p", _COMPARISON))
                    methods = gr.CheckboxGroup(_methods(), value=list(FEW_METHODS), label="Explainers")
                    compare = gr.Button("Compare")
                    compared = html()

        def work(own: Jobs, do: Callable[[], T], show: Callable[[T], Updates], stage: str = "") -> Iterator[Updates]:
            """Do something with the models, saying how far it is, and show what it gave or why it cannot be.

            Gradio closes this generator when its visitor is gone: then the work ends too.
            """
            job = studio.start(do, stage)
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

        def choose(own: Jobs, read: Callable[[], Chosen], spec: str, wanted: int) -> Iterator[Updates]:
            """A picture is chosen, or another black box for it: show it, and what is seen in it."""

            def do() -> Any:
                chosen = read()
                return chosen, studio.seen(chosen.image, spec), studio.load(spec).names

            def show(found: Any) -> Updates:
                chosen, answer, names = found
                targets = [("anything else", ANY), *((n, i) for i, n in enumerate(names) if i != int(answer.labels))]
                kept = wanted if wanted in [value for _, value in targets] else ANY
                return {
                    picture: chosen,
                    seen: panels.preview(chosen, answer, names),
                    target: gr.update(choices=targets, value=kept),
                }

            return work(own, do, show, "Looking at the picture")

        def on_number(own: Jobs, value: float | None, spec: str, wanted: int) -> Iterator[Updates]:
            if value is not None:
                yield from choose(own, lambda: studio.picked(value), spec, wanted)

        def on_another(own: Jobs, spec: str, wanted: int) -> Iterator[Updates]:
            yield from choose(own, lambda: studio.picked(None), spec, wanted)

        def on_drawing(own: Jobs, address: str, spec: str, wanted: int) -> Iterator[Updates]:
            yield from choose(own, lambda: studio.sketched(address), spec, wanted)

        def on_upload(own: Jobs, path: str | None, exchange: bool, spec: str, wanted: int) -> Iterator[Updates]:
            if path is not None:
                yield from choose(own, lambda: studio.uploaded(path, exchange), spec, wanted)

        def on_black_box(own: Jobs, chosen: Chosen | None, spec: str, wanted: int) -> Iterator[Updates]:
            if chosen is not None:
                yield from choose(own, lambda: chosen, spec, wanted)

        def on_explain(own: Jobs, chosen: Chosen | None, spec: str, wanted: int) -> Iterator[Updates]:
            if chosen is None:
                yield {status: panels.told("Choose a picture first.")}
                return

            def show(found: tuple[Explained, Updates]) -> Updates:
                e, at = found
                html_page = e.explanation.to_html(title=e.name)
                files = _written(e, html_page, folder)
                return {
                    status: panels.told("Done: the explanation is below."),
                    explained: e,
                    result: gr.update(visible=True),
                    summary: panels.summary(e),
                    report: panels.report(html_page, e.name),
                    as_page: files[0],
                    as_data: files[1],
                    compared: "",
                    **at,
                }

            def do() -> tuple[Explained, Updates]:
                e = studio.explain(chosen, spec, None if wanted == ANY else wanted)
                return e, at_first(e)

            yield from work(own, do, show, "Explaining")

        def moved_to(e: Explained, code: list[float]) -> Updates:
            points, realistic = studio.decoded(code, e.black_box)
            return {moved: panels.moved(e, points, realistic, studio.load(e.black_box).names)}

        def at_first(e: Explained) -> Updates:
            """The sliders at the code of the explained image, within ranges that hold it."""
            z = e.explanation.latent
            places = zip(sliders, z.tolist(), studio.ranges(z), strict=True)
            return moved_to(e, z.tolist()) | {
                slider: gr.update(value=value, minimum=low, maximum=high) for slider, value, (low, high) in places
            }

        def on_slider(own: Jobs, e: Explained, *code: float) -> Iterator[Updates]:
            yield from work(own, lambda: moved_to(e, list(code)), dict)

        def on_back(own: Jobs, e: Explained) -> Iterator[Updates]:
            yield from work(own, lambda: at_first(e), dict)

        def on_compare(own: Jobs, e: Explained, names: list[str]) -> Iterator[Updates]:
            if not names:
                yield {status: panels.told("Choose at least one explainer.")}
                return
            yield from work(
                own, lambda: studio.compared(e, names), lambda found: {compared: panels.compared(found)}, "Comparing"
            )

        def on_cancel(own: Jobs) -> None:
            for job in own:
                job.stop()  # `work` then says so, after all that it said before

        at_work: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "models", "show_progress": "hidden"}
        latest: dict[str, Any] = {"trigger_mode": "always_last", **at_work}
        told, chosen = [status, cancel], [black_box, target]
        shown = [picture, seen, target, *told]
        results = [explained, result, summary, report, as_page, as_data, compared, moved, *sliders]
        number.change(on_number, [jobs, number, *chosen], shown, **latest)
        another.click(on_another, [jobs, *chosen], shown, **at_work)
        drawing.input(on_drawing, [jobs, drawing, *chosen], shown, **latest)
        upload.upload(on_upload, [jobs, upload, invert, *chosen], shown, **at_work)
        invert.input(on_upload, [jobs, upload, invert, *chosen], shown, **latest)
        black_box.input(on_black_box, [jobs, picture, *chosen], shown, **latest)
        explain.click(on_explain, [jobs, picture, *chosen], [*results, *told], api_name="explain", **at_work)
        back.click(on_back, [jobs, explained], [moved, *sliders, *told], **at_work)
        compare.click(on_compare, [jobs, explained, methods], [compared, *told], **at_work)
        gr.on([s.input for s in sliders], on_slider, [jobs, explained, *sliders], [moved, *told], **latest)
        if studio.images:
            page.load(on_number, [jobs, number, *chosen], shown, **at_work)
        # Not by Gradio's `cancels`: it ends what is shown of the work, and what is shown of the next work with it.
        cancel.click(on_cancel, [jobs], None, queue=False)
    return page.queue(max_size=MOST_WAITING)


_INTRODUCTION = (
    "Choose a picture and ask a classifier, the black box, why it sees in it what it sees: which similar pictures get "
    "the same label, what would change it, and how far to believe all that. Everything is computed on this machine."
)
_SLIDERS = (
    "The autoencoder describes the picture by a few numbers, its code. Move them, and see what image they stand for, "
    "and what the black box sees in it."
)
_COMPARISON = (
    "What other methods say of the same decision. Those that this black box cannot serve are left out, with the reason."
)
_CANVAS = (
    '<div class="pad"><p class="hint">White on black. What you draw is cut out, scaled and centred as in the data set, '
    'after every stroke.</p><canvas width="280" height="280" role="img" aria-label="Ground to draw on, with the '
    'mouse, a pen or a finger"></canvas><button type="button">Clear</button></div>'
)
_STOPPED = panels.told("Stopped. What is on the page stays.")


def _picks(studio: Studio) -> str:
    return f"{studio.data}: 0 to {len(studio.images or ()) - 1}."


def _invert_when(studio: Studio) -> str:
    return "For dark lines on a light ground: the black box learned from white on black." if studio.drawn else ""


def _methods() -> list[tuple[str, str]]:
    return [*((title, name) for name, (title, *_) in LATENT.items()), *((m.title, m.name) for m in METHODS.values())]


def _written(e: Explained, page: str, folder: Path) -> tuple[str, str]:
    """The report and the explanation as files, in a folder of their own, under a name that every system takes."""
    name = re.sub(r"[^\w.-]+", "-", f"{Path(e.name).stem}-{Path(e.black_box).stem}")[:80] + "-explanation"
    place = Path(tempfile.mkdtemp(dir=folder))
    (place / f"{name}.html").write_text(page, encoding="utf-8")
    return str(place / f"{name}.html"), str(e.explanation.save(place / f"{name}.npz"))
