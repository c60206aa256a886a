"""A saved result that is served: by the command, in a process of its own, or in a thread."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tlcourse.cli.server import make_server


@contextmanager
def served_by_command(model: Path, *, cwd: Path | None = None) -> Iterator[tuple]:
    """`tlcourse serve` on a free port: its process and its address."""
    command = [sys.executable, "-m", "tlcourse", "serve", str(model), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=cwd, env=environment, **options) as process:
        try:
            first = process.stdout.readline()
            assert first, process.stderr.read()
            yield process, first.split()[1]
        finally:
            process.kill()


@contextmanager
def served_by_thread(result) -> Iterator[str]:
    """The same server in this process: its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = make_server(result)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


def ask(address: str, method: str = "GET", path: str = "/", body=None, **headers):
    """Status and JSON (or text) of the answer; the path goes out as it is."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        connection.putrequest(method, path, skip_host="host" in headers)
        if isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
        elif body is not None:
            connection.putheader("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body, encode_chunked=body is not None and not isinstance(body, bytes))
        response = connection.getresponse()
        text = response.read().decode()
        kind = response.getheader("Content-Type", "")
        return response.status, json.loads(text) if "json" in kind else text
    finally:
        connection.close()


def begin_upload(address: str, declared: int = 10_000) -> socket.socket:
    """Open an upload, and send its first bytes only."""
    place = urlsplit(address)
    opened = socket.create_connection((place.hostname, place.port), timeout=30)
    head = f"POST /predict HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {declared}\r\n\r\n"
    opened.sendall(head.encode() + b"begun")
    time.sleep(0.1)
    return opened
