"""What every command of ``abele`` takes, with its help."""

from importlib.metadata import version

from jsonargparse import ActionYesNo, ArgumentParser

from ..attribution.registry import families
from ..black_boxes.preprocessing import ORDERS
from ..evaluation.parts import PARTS
from ..latent.neighborhood import STRATEGIES

_IMAGE_HELP = "picture file, .npy array, or DATASET:SPLIT:INDEX such as mnist:test:7"
_NAMES_HELP = "of the labels 0, 1, ..., with commas between; default: those that the black box carries, else numbers"


def parser() -> ArgumentParser:
    whole = ArgumentParser(
        prog="abele",
        version=version("abele-py"),
        description="Explain single decisions of image classifiers.",
        exit_on_error=False,
    )
    commands = whole.add_subcommands(required=True, dest="command")

    explain = ArgumentParser(
        description="Explain decisions, one for each image: figure (PNG), explanation (.npz), JSON, and a page (HTML) "
        "if asked for.",
        exit_on_error=False,
    )
    explain.add_argument("images", type=str, nargs="+", metavar="image", help=_IMAGE_HELP)
    _add_models(explain)
    explain.add_argument("--out", type=str, default="abele_out", help="folder for the results")
    explain.add_argument("--resize", action="store_true", help="scale a picture of another size")
    explain.add_argument("--class-names", type=str, help=_NAMES_HELP)
    explain.add_argument("--target", type=str, help="label or class name: look for counter-exemplars of this one only")
    explain.add_argument("--neighborhood", type=str, help=f"one of: {', '.join(STRATEGIES)}; default: the preset's")
    explain.add_argument("--preset", type=str, default="default", help="default, or paper: the paper's own definitions")
    explain.add_argument("--samples", type=int, default=1000, help="number of neighbors")
    explain.add_argument(
        "--html", action="store_true", help="write pages for a browser too, of several images also index.html"
    )

    compare_ = ArgumentParser(
        description="Compare what ABELE and other explainers say of the same decisions: one figure (PNG), and the raw "
        "maps (.npz). Methods: "
        + "; ".join(f"{family}: {', '.join(names)}" for family, names in families().items())
        + ".",
        exit_on_error=False,
    )
    compare_.add_argument("images", type=str, nargs="+", metavar="image", help=_IMAGE_HELP)
    compare_.add_argument("--methods", type=str, help="names from the list above, with commas between; default: all")
    _add_models(compare_)
    compare_.add_argument("--out", type=str, default="abele_out", help="folder for the results")
    compare_.add_argument("--resize", action="store_true", help="scale a picture of another size")
    compare_.add_argument("--class-names", type=str, help=_NAMES_HELP)
    compare_.add_argument(
        "--overlay",
        action=ActionYesNo(no_prefix="no-"),
        default=True,
        help="draw the maps over a pale copy of the image",
    )

    evaluate_ = ArgumentParser(
        description="Measure the explanations of random images of a data set: every figure with a bootstrap interval, "
        "tables (Markdown, CSV, JSON) and plots. Interrupted, the same command goes on where it stopped. "
        f"Parts: {', '.join(PARTS)}. Methods: as in abele compare.",
        exit_on_error=False,
    )
    evaluate_.add_argument("data", type=str, help="DATASET:SPLIT or DATASET:SPLIT:N, such as mnist:test:100")
    _add_models(evaluate_)
    evaluate_.add_argument("--out", type=str, default="abele_out", help="folder for the results")
    evaluate_.add_argument("--oracle", type=str, help="a second black box, trained apart, for figures that need one")
    evaluate_.add_argument("--methods", type=str, help="names with commas between; default: all")
    evaluate_.add_argument("--parts", type=str, help="names with commas between; default: all")
    evaluate_.add_argument("--map-images", type=int, help="images of which every method makes a map; default: all")
    evaluate_.add_argument(
        "--costly-images",
        type=int,
        default=30,
        help="images for stability and sanity, which ask a method many times",
    )

    app = ArgumentParser(
        description="Explain pictures on an interactive page: draw, upload or pick one, ask what would change its "
        "label, move its code, compare explainers. Everything stays on this machine; needs the extra [app].",
        exit_on_error=False,
    )
    _add_models(app, autoencoder="digits", black_box=None)
    app.add_argument(
        "--data", type=str, help="DATASET:SPLIT to pick pictures from; default: the autoencoder's test images"
    )
    app.add_argument(
        "--host",
        type=str,
        default="127.0.0.1",
        help="address to listen at. The default is reached from this machine only; another one, such as 0.0.0.0, lets "
        "everybody who can reach this machine use the black box and upload pictures, without a password",
    )
    app.add_argument("--class-names", type=str, help=_NAMES_HELP)
    app.add_argument("--port", type=int, help="default: the first free one from 7860")
    app.add_argument("--browser", action=ActionYesNo(no_prefix="no-"), default=True, help="open the page in a browser")

    demo = ArgumentParser(
        description="Explain a few of scikit-learn's digits with the shipped models.", exit_on_error=False
    )
    demo.add_argument("--out", type=str, default="abele_out", help="folder for the results")
    demo.add_argument("--images", type=int, default=3, help="number of digits, drawn at random from the test split")
    demo.add_argument("--seed", type=int, default=0, help="of the draw and of the explanations")

    models = ArgumentParser(description="List the shipped checkpoints with their metrics.", exit_on_error=False)

    commands.add_subcommand("explain", explain, help="explain one decision of a classifier")
    commands.add_subcommand("compare", compare_, help="compare explainers on the same decisions")
    commands.add_subcommand("app", app, help="explain pictures on an interactive page")
    commands.add_subcommand("evaluate", evaluate_, help="measure how good explanations are")
    commands.add_subcommand(
        "train", ArgumentParser(), help="train an autoencoder or a classifier: abele train RECIPE.yaml [options]"
    )
    commands.add_subcommand("models", models, help="list the shipped checkpoints")
    commands.add_subcommand("demo", demo, help="explain a few digits, nothing needed")
    return whole


def _add_models(parser: ArgumentParser, **defaults: str | None) -> None:
    """What all that explains has in common; a model without a default must be named."""
    parser.add_argument(
        "--autoencoder",
        type=str,
        required="autoencoder" not in defaults,
        default=defaults.get("autoencoder"),
        help="name of a shipped autoencoder, or a checkpoint folder",
    )
    parser.add_argument(
        "--black-box",
        type=str,
        required="black_box" not in defaults,
        default=defaults.get("black_box"),
        help="name of a shipped classifier, a checkpoint folder, a file .onnx, .pt2 or .skops, http://... of an "
        "endpoint, or package.module:name of a function, torch module or scikit-learn classifier",
    )
    parser.add_argument(
        "--mean", type=str, help="of pixels in [0, 1], as the black box wants them: 0.5, or one a channel"
    )
    parser.add_argument(
        "--std", type=str, help="the same; --std 0.229,0.224,0.225: divided by it after --mean is taken off"
    )
    parser.add_argument("--channel-order", type=str, default="rgb", help=f"of the black box: {' or '.join(ORDERS)}")
    parser.add_argument("--channels-last", action="store_true", help="the black box takes (N, H, W, C)")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds of one attempt at an HTTP endpoint")
    parser.add_argument(
        "--data-dir", type=str, help="folder of the data sets; else ABELE_DATA_DIR, else ~/.cache/abele_py"
    )
    parser.add_argument("--download", action="store_true", help="fetch a missing data set into the data folder")
    parser.add_argument("--batch-size", type=int, default=256, help="most images in one call of the black box")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same result")
