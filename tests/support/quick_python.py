"""A Python that has imported the libraries before: what it starts is forked, and begins at once, not after seconds.

The process that is forked has imported, when it was first asked, and done nothing else: it has no threads, and no state
of any test. Who starts it sees an executable like Python's own: arguments, environment, folder, streams, exit code and
signals are those of the program, and processes that the program starts with ``sys.executable`` are as quick.

    python quick_python.py serve SOCKET EXECUTABLE MODULE ...    # until it is ended
    python quick_python.py start SOCKET [-u] [-m | -c] PROGRAM ...    # what the executable does
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

FORWARDED = ("SIGTERM", "SIGINT")


@contextmanager
def quick_python(modules: Sequence[str]) -> Iterator[Path]:
    """The executable; Python's own where processes cannot be forked."""
    if not hasattr(os, "fork"):
        yield Path(sys.executable)
        return
    with tempfile.TemporaryDirectory() as folder:  # addresses of sockets must be short
        yield from served(Path(folder), modules)


def served(folder: Path, modules: Sequence[str]) -> Iterator[Path]:
    address, executable = folder / "socket", folder / "python"
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{__file__}" start "{address}" "$@"\n')
    executable.chmod(0o700)
    command = [sys.executable, __file__, "serve", str(address), str(executable), *modules]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout.readline() == "ready\n"
            yield executable
        finally:
            server.terminate()


def serve(address: str, executable: str, modules: Sequence[str]) -> None:
    """Fork for everyone who asks; import before the first. Returns in the processes that are to be the program."""
    sys.executable = executable
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        os.write(1, b"ready\n")
        watching: set[int] = set()
        while True:
            connection, _ = listening.accept()
            for name in modules:
                importlib.import_module(name)
            gc.freeze()  # at its end a program would look for garbage in all that was imported
            watching = {pid for pid in watching if os.waitpid(pid, os.WNOHANG) == (0, 0)}
            if not (pid := os.fork()):
                break
            watching.add(pid)
            connection.close()
    _, streams, *_ = socket.recv_fds(connection, 1, 3)
    asked = json.loads(connection.makefile().readline())
    if program := os.fork():
        watch(program, connection)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    become(asked["arguments"])


def watch(program: int, connection: socket.socket) -> None:
    """Hand signals on to the program, and its end back; a program whose starter is gone is ended."""
    while True:
        ended, status = os.waitpid(program, os.WNOHANG)
        if ended:
            with suppress(BrokenPipeError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        if select.select([connection], [], [], 0.02)[0]:
            asked = connection.recv(1)
            os.kill(program, asked[0] if asked else signal.SIGKILL)


def become(arguments: list[str]) -> None:
    """Run what Python runs with these arguments."""
    if arguments[0] == "-u":
        arguments = arguments[1:]
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:1] = [os.getcwd() if arguments[0] in ("-m", "-c") else os.path.dirname(arguments[0]), *path]
    sys.argv = arguments[arguments[0] == "-m" :]
    if arguments[0] == "-m":
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv[1:2] = []
        exec(arguments[1], {"__name__": "__main__"})
    else:
        runpy.run_path(arguments[0], run_name="__main__")


def start(address: str, arguments: list[str]) -> None:
    """Have a program started, wait for it, and end as it does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        for name in FORWARDED:
            signal.signal(getattr(signal, name), lambda number, _: connection.sendall(bytes([number])))
        asked = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
        socket.send_fds(connection, [b" "], [0, 1, 2])
        connection.sendall(json.dumps(asked).encode() + b"\n")
        code = int(connection.makefile().readline() or 1)
    if code < 0:
        if -code != signal.SIGKILL:  # which nobody can answer
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    role, address, *rest = sys.argv[1:]
    if role == "start":
        start(address, rest)
    else:
        serve(address, rest[0], rest[1:])
