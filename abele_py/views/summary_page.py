"""What a run says in sum as one HTML page: no network, no other file, no script for what matters.

Only filters and the order of the list of images are ``summary.js``.
"""

from ..distributed.records import N_BARS, ClassOver, Summary, TrustOver
from ..explanation.trust import ANSWERS
from . import sentences
from .components import document, link, section
from .html import Content, Html, tag
from .summary_classes import borders, classes
from .summary_graph import most_bordering
from .summary_images import images
from .summary_mistakes import mistakes
from .summary_parts import Shown, grade_bar, note_words, number, share, table

N_LEAST = 12  # images whose explanations can be trusted least; the list below can be sorted by that
MOST_ROWS = 200  # of a table on the page; the files beside it have all


def page_of_summary(shown: Shown) -> str:
    """The page of a summary."""
    summary = shown.summary
    title = f"{_source(summary)} as {_black_box(summary)} sees it"
    parts = (_top, _trust, mistakes, borders, classes, _failures, images, _made)
    content: list[Content] = [part(shown) for part in parts]
    return document(title, content, ("page.css", "summary.css"), "summary.js")


def _source(summary: Summary) -> str:
    return str(summary.run.data.get("source", "images"))


def _black_box(summary: Summary) -> str:
    model = summary.run.models.get("black_box", {})
    name = model.get("name") or model.get("type") if isinstance(model, dict) else None
    return str(summary.run.named.get("black_box") or name or "the black box")


def _top(shown: Shown) -> Html:
    s = shown.summary
    whole = s.run.data.get("n")
    state = None
    if not s.is_whole:
        state = tag("p", f"The run is not finished: {s.n:,} of {whole:,} images are in this summary.", class_="note")
    answers: list[tuple[str, Content]] = [
        ("Can the explanations be believed?", _believe(shown)),
        ("How often is it right?", _right(shown)),
        ("Which classes are closest?", _closest(shown)),
    ]
    if s.n_failed:
        failed = f"{s.n_failed:,} of {s.n:,} images could not be explained. "
        answers.append(("What is missing?", tag("p", failed, link("#failed", "See why"))))
    return tag(
        "header",
        tag("h1", f"{_source(s)}, as ", tag("strong", _black_box(s)), " sees it"),
        tag(
            "p",
            f"{s.n:,} images, {s.trust.n:,} of them explained. What the classifier does in general, and where it is "
            "wrong.",
            class_="hint",
        ),
        state,
        tag(
            "dl", (tag("div", tag("dt", question), tag("dd", answer)) for question, answer in answers), class_="answers"
        ),
    )


def _believe(shown: Shown) -> Content:
    t = shown.summary.trust
    if not t.n:
        return tag("p", "Nothing was explained.")
    return [grade_bar(t.grades["explanation"]), tag("p", _fidelity(t), link("#trust", "See the checks"))]


def _fidelity(t: TrustOver) -> str:
    if t.held_out is None or t.constant is None:
        return "How well the rules agree with it was not measured. "
    rule, constant = (sentences.percent(value, 1) for value in (t.held_out, t.constant))
    return f"Near an image its rule agrees with the black box in {rule} of the cases; a constant answer in {constant}. "


def _right(shown: Shown) -> Content:
    found = shown.summary.mistakes
    if found is None:
        return tag("p", "It is not known: the images came without true labels.")
    known = found.wrong.n + found.right.n
    share_right = sentences.percent(found.right.n / known, 1)
    text = f"For {share_right} ({found.right.n:,} of {known:,}) of the images whose true class is known. "
    most = [f"{shown.name(c.true_label)} taken for {shown.name(c.label)} ({c.side.n:,})" for c in found.confusions[:3]]
    return tag(
        "p", text, f"Most frequent mistakes: {sentences.enumeration(most)}. " if most else None,
        link("#mistakes", "See the mistakes") if most else None,
    )  # fmt: skip


def _closest(shown: Shown) -> Content:
    found = most_bordering(shown.summary)[:3]
    if not found:
        return tag("p", "No way from one class to another was found.")
    named = [f"{shown.name(a)} and {shown.name(b)} ({sentences.percent(weight)})" for (a, b), weight in found]
    words = "Most often nearest to each other, of the images of both: "
    return tag("p", f"{words}{sentences.enumeration(named)}. ", link("#borders", "See the borders"))


def _trust(shown: Shown) -> Html:
    s = shown.summary
    if not s.trust.n:
        return section("trust", "Can the explanations be believed?", tag("p", "Nothing was explained."))
    parts = [
        tag("tr", tag("th", _capital(part), scope="row"), tag("td", grade_bar(grades)))
        for part, grades in s.trust.grades.items()
    ]
    shown_classes = sorted(s.classes, key=lambda c: (_worst(c), c.label))[:MOST_ROWS]
    notes = table(
        ("What was noted", "Explanations"),
        ([note_words(code), share(n, s.trust.n)] for code, n in s.trust.notes.items()),
        "Notes",
    )
    more = None
    if len(s.classes) > len(shown_classes):
        more = tag("p", f"{len(shown_classes)} of {len(s.classes)} classes; classes.csv has all.", class_="hint")
    return section(
        "trust",
        "Can the explanations be believed?",
        tag("p", "Each explanation was checked, and so was each part of it. The bars say how many can be used."),
        tag("table", tag("caption", "Can it be used?"), parts, class_="checks parts"),
        tag("p", _fidelity(s.trust)),
        _histogram(s.trust),
        table(
            ("Predicted class", "Images", "Right", "Can it be believed?", "Rule agrees", "Constant", "Frequent notes"),
            (_class_row(shown, c) for c in shown_classes),
            "By class, the least trustworthy first",
        ),
        more,
        _least(shown),
        notes if s.trust.notes else tag("p", "Nothing had to be noted."),
    )


def _least(shown: Shown) -> Html:
    """The images whose explanations can be trusted least."""
    rows: list[list[Content]] = []
    for e in shown.summary.least[:N_LEAST]:
        grade = e.grades.get("explanation")
        believed = tag("span", ANSWERS[grade], class_=f"badge {grade}") if grade in ANSWERS else "-"  # type: ignore[index]
        first = [shown.picture(e), link(f"#image-{e.index}", e.name)]
        notes = ", ".join(map(note_words, e.notes)) or "none"
        rows.append([first, shown.name(e.label), believed, number(e.held_out), number(e.constant), notes])
    headings = ("Image", "Predicted", "Can it be believed?", "Rule agrees", "Constant", "Notes")
    return table(headings, rows, "Images with the least trustworthy explanations")


def _worst(c: ClassOver) -> float:
    grades = c.trust.grades["explanation"]
    return -(grades.get("bad", 0) + 0.5 * grades.get("care", 0)) / c.trust.n


def _class_row(shown: Shown, c: ClassOver) -> list[Content]:
    t = c.trust
    return [
        link(f"#class-{c.label}", shown.name(c.label)),
        f"{t.n:,}",
        share(c.n_right, c.n_known),
        grade_bar(t.grades["explanation"]),
        number(t.held_out, 3),
        number(t.constant, 3),
        ", ".join(f"{note_words(code)} ({n:,})" for code, n in list(t.notes.items())[:2]) or "none",
    ]


def _histogram(t: TrustOver) -> Html:
    """How many rules agree how often, as SVG: bars for the rules, a line for constant answers."""
    width, height, left, bottom = 640.0, 200.0, 46.0, 30.0
    most = max(1, int(t.histogram.max()))
    step = (width - left - 10) / N_BARS

    def top(n: float) -> float:
        return height - bottom - (height - bottom - 12) * float(n) / most

    bars = [
        tag(
            "rect", tag("title", f"{i / N_BARS:.2f} to {(i + 1) / N_BARS:.2f}: {n:,}"), x=f"{left + i * step + 1:.1f}",
            y=f"{top(n):.1f}", width=f"{step - 2:.1f}", height=f"{height - bottom - top(n):.1f}", class_="bar-rule",
        )
        for i, n in enumerate(t.histogram[0].tolist())
    ]  # fmt: skip
    corners = [
        f"{left + i * step:.1f} {top(n):.1f}H{left + (i + 1) * step:.1f}" for i, n in enumerate(t.histogram[1].tolist())
    ]
    line = tag("path", d="M" + "L".join(corners), class_="line-constant")
    axis = [tag("path", d=f"M{left} {height - bottom}H{width - 10}", class_="axis")]
    axis += [
        tag("text", f"{v:g}", x=f"{left + v * N_BARS * step:.1f}", y=height - 12, text_anchor="middle")
        for v in (0, 0.25, 0.5, 0.75, 1)
    ]
    axis.append(tag("text", f"{most:,}", x=left - 6, y=20, text_anchor="end"))
    drawn = tag(
        "svg", bars, line, axis, viewBox=f"0 0 {width:.0f} {height:.0f}", role="img", class_="histogram",
        aria_label="Numbers of explanations by the share of cases in which their rule agrees with the black box",
    )  # fmt: skip
    keys = [
        tag("span", tag("i", class_="key-rule"), " the rule of an explanation"),
        tag("span", tag("i", class_="key-constant"), " the better constant answer"),
    ]
    words = "Explanations by the share of similar images for which the rule says what the black box says: "
    return tag("figure", drawn, tag("figcaption", words, keys, class_="keys"))


def _failures(shown: Shown) -> Html | None:
    s = shown.summary
    if not s.failures:
        return None
    return section(
        "failed",
        "Images that could not be explained",
        table(
            ("Reason", "Error", "Images", "The first"),
            ([f.reason, f.error, f"{f.n:,}", f.first] for f in s.failures),
            f"{s.n_failed:,} of {s.n:,} images",
        ),
    )


def _made(shown: Shown) -> Html:
    run = shown.summary.run
    terms = [
        (
            "Rule",
            "The path of a decision tree to an image, learned from the black box's predictions for similar images.",
        ),
        ("Can it be believed?", f"{', '.join(ANSWERS.values())}: grades of an explanation, from its own checks."),
        ("Counter-exemplar", "A near image that is predicted as another class, made by the autoencoder."),
        ("Distance", "Between the codes of two images, which the autoencoder makes; it has no unit."),
        ("Map", "What supports the predicted class in an image: red supports, blue opposes. Here in 8 x 8 cells."),
        (
            "Typical image",
            "A medoid: together they have the smallest sum of distances from the codes of the class (a sample of them) "
            "to the nearest.",
        ),
    ]
    record = {
        "Images": run.data, "Shape": run.image_shape, "Models": run.models, "Options": run.options, "Kept": run.keep,
        "Versions": run.versions,
    }  # fmt: skip
    told = _flat(record)
    return section(
        "made",
        "How this was made",
        tag("dl", ([tag("dt", term), tag("dd", text)] for term, text in terms), class_="terms"),
        tag(
            "details",
            tag("summary", "The run: images, models with hashes, options and versions"),
            tag("table", (tag("tr", tag("th", k, scope="row"), tag("td", v)) for k, v in told), class_="params"),
        ),
        tag(
            "p",
            "Made by abele_py. Method: Guidotti, Monreale, Matwin, Pedreschi: Black Box Explanation by Learning Image "
            "Exemplars in the Latent Feature Space, ECML PKDD 2019.",
            class_="hint",
        ),
    )


def _flat(record: object, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(record, dict):
        return [(prefix, "none" if record is None else str(record))]
    return [pair for k, v in record.items() for pair in _flat(v, f"{prefix}: {k}" if prefix else str(k))]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
