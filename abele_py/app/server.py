"""The interactive page is served: on this machine, with a policy that lets nothing leave it."""

import errno
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from ..checking.parameters import between, checked
from ..errors import ParameterError
from .backend import Studio
from .guard import Guard
from .interface import FILES, LARGEST_UPLOAD, MOST_WAITING, build

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}  # read when gradio is imported
PORTS = range(7860, 7960)
FONTS = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]  # no font is fetched


@checked
def serve(
    studio: Studio,
    host: str = "127.0.0.1",
    port: Annotated[int, between(1, 65535)] | None = None,
    browser: bool = True,
    write: Callable[[str], Any] = lambda line: None,
) -> None:
    """Show the page until the process is interrupted (Ctrl+C) or told to end.

    Args:
        studio: what is behind it.
        host: the address it listens at; only this machine reaches the default.
        port: the first free one from 7860 if None.
        browser: open it.
        write: is given the line that says where it is.

    Raises:
        MissingExtraError: gradio is not installed.
        ParameterError: it cannot listen there.
    """
    port = _free(host, port)
    with tempfile.TemporaryDirectory(prefix="abele-app-") as folder:
        os.environ |= QUIET | {"GRADIO_TEMP_DIR": folder}
        page = build(studio, Path(folder))
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            max_file_size=LARGEST_UPLOAD,
            ssr_mode=False,
            enable_monitoring=False,
            footer_links=[],
            state_session_capacity=MOST_WAITING,
            app_kwargs={"lifespan": _guarded(host)},
            theme=_theme(),
            css_paths=[FILES / "app.css"],
        )
        write(f"abele app: {address} (Ctrl+C ends it)")
        if host not in ("127.0.0.1", "localhost", "::1"):
            write("abele app: everybody who can reach this machine can use it, without a password")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended so too, its temporary files are removed
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            write("abele app: ended")
        finally:
            studio.close()
            page.close(verbose=False)


def _free(host: str, port: int | None) -> int:
    """The port, or the first free one where none is named."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in PORTS if port is None else [port or -1]:  # 0 would be any port
        try:
            with socket.create_server((host, candidate), family=family):
                return candidate
        except (OSError, OverflowError) as error:
            if port is None and getattr(error, "errno", None) == errno.EADDRINUSE:
                continue
            raise ParameterError(
                f"got --host {host} --port {candidate}, where nothing can listen ({error}); expected an address of "
                "this machine and a free port from 1 to 65535; choose others, or leave them out"
            ) from error
    raise ParameterError(f"got no free port from {PORTS[0]} to {PORTS[-1]}; expected one; choose another with --port")


def _theme() -> Any:
    import gradio as gr

    theme = gr.themes.Default(primary_hue="blue", font=FONTS[0], font_mono=FONTS[1])
    light, dark = "#5c5b57", "#aeaca5"  # as in the report: Gradio's own are hard to read
    return theme.set(
        body_text_color_subdued=light, body_text_color_subdued_dark=dark,
        block_info_text_color=light, block_info_text_color_dark=dark,
    )  # fmt: skip


def _guarded(host: str) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """What begins and ends with the server: a guard around all of it, before it takes the first request.

    Around what Gradio adds too, which would allow foreign pages to read the answers of a foreign name.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        app.middleware_stack = Guard(app.middleware_stack, host)
        yield

    return lifespan
