"""Servers on this machine, while a test asks them; one answers as a black box."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch

from .worlds import soft


class Server(ThreadingHTTPServer):
    block_on_close = False

    def handle_error(self, *_):
        """The client may be gone before its answer is."""


@contextmanager
def serving(server):
    """Its address, while it runs in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/predict"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def endpoint(*answers):
    """A server that gives these answers, one after the other, the last for ever; and the requests it got.

    An answer is a function from images to predictions, or (state, headers, body), or seconds to sleep before `soft`.
    """
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = answers[min(len(requests), len(answers) - 1)]
            requests.append(dict(self.headers) | {"path": self.path, "body": body})
            if isinstance(answer, float):
                time.sleep(answer)
                answer = soft
            if callable(answer):
                content = {"predictions": answer(torch.tensor(body["instances"])).tolist()}
                answer = 200, {}, json.dumps(content).encode()
            state, headers, content = answer
            self.send_response(state)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with serving(Server(("127.0.0.1", 0), Handler)) as url:
        yield url, requests
