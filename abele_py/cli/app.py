"""``abele app``: explanations on an interactive page."""

from jsonargparse import ActionYesNo, ArgumentParser, Namespace

from .options import Commands, Write, add_black_box, add_class_names, importing_from_here, names_in, pixels_of


def add_app(commands: Commands) -> None:
    parser = ArgumentParser(
        description="Explain pictures on an interactive page: draw, upload or pick one, ask what would change its "
        "label, move its code, compare explainers. Everything stays on this machine; needs the extra [app].",
        exit_on_error=False,
    )
    add_black_box(parser, autoencoder="digits", black_box=None)
    parser.add_argument(
        "--data", type=str, help="DATASET:SPLIT to pick pictures from; default: the autoencoder's test images"
    )
    parser.add_argument(
        "--host",
        type=str,
        default="127.0.0.1",
        help="address to listen at. The default is reached from this machine only; another one, such as 0.0.0.0, lets "
        "everybody who can reach this machine use the black box and upload pictures, without a password",
    )
    add_class_names(parser)
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument(
        "--browser", action=ActionYesNo(no_prefix="no-"), default=True, help="open the page in a browser"
    )
    commands.add_subcommand("app", parser, help="explain pictures on an interactive page")


def run_app(options: Namespace, write: Write) -> None:
    from ..app.backend import Studio
    from ..app.server import serve

    with importing_from_here():
        studio = Studio(
            options.autoencoder,
            options.black_box,
            data=options.data,
            data_dir=options.data_dir,
            download=options.download,
            batch_size=options.batch_size,
            random_state=options.seed,
            class_names=names_in(options.class_names),
            device=options.device,
            options={"timeout": options.timeout, **pixels_of(options)},
        )
    serve(studio, options.host, options.port, options.browser, write)
