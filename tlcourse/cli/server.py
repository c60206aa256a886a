"""The command `tlcourse serve`: one page of a saved result, for this machine only.

The page takes a file and shows what the network answers. Programs use the same address:

    curl --data-binary @picture.jpg http://127.0.0.1:8000/predict

Nothing of what is uploaded is written to a disk or to the terminal, and no file of the disk is ever
given out. The server has no users and no passwords, so it listens on 127.0.0.1 alone, and a page
from elsewhere that a browser shows cannot use it.
"""

import asyncio
import math
import re
import secrets
import signal
import socket
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tlcourse.errors import CourseError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI, Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tlcourse.patterns.result import Result

MAX_BYTES = 20_000_000  # of a file
MAX_PIXELS = 25_000_000  # of a picture; decoded, with its transparency, 100 MB
_MAX_SIDE = 1024  # pixels; larger photographs are read at a reduced size, which is faster
_SECONDS = 30.0  # until a file must have arrived
_STALLED = 5.0  # seconds without a part of it
_AT_ONCE = 4  # files in memory; further requests wait
_MOST = 64  # requests at a time; further ones are told to come again
_CONNECTIONS = 256
_SHOWN = 20  # classes that the page names

_HOST = "127.0.0.1"
_OWN_NAME = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", re.IGNORECASE)
# For each status of a refusal that the framework makes, its sentence.
_SENTENCES = {
    404: "There is nothing at this address. The page is at /, and files go to /predict.",
    405: "This address does not take {method}. GET / is the page, and POST /predict takes a file.",
}
_BROKEN = "The server failed to answer; its terminal says why."
_MISSING = (
    "tlcourse serve needs the package {name}. Install what it needs with: "
    'python -m pip install "fastapi>=0.110" "uvicorn>=0.29"'
)


def serve(
    model: Annotated[Path, typer.Argument(help="Folder of a saved result, such as DIR/model.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
) -> None:
    """Show a saved result as a page on this machine: choose a file, see its classes.

    Programs send files to /predict. Only this machine is served, and no upload is kept. Ctrl-C
    stops it. Two more packages are needed: python -m pip install fastapi uvicorn
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise CourseError(_MISSING.format(name=error.name)) from error
    from tlcourse import load_result

    # To be stopped is no failure, at whatever moment: Ctrl-C and `kill` end it alike.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt), _listening(model, port) as listener:
            address = f"http://{_HOST}:{listener.getsockname()[1]}/"
            said = f"Open {address} in a browser on this machine. Ctrl-C stops it."
            result = load_result(model)
            result.predict(result.backbone.preprocess.example())  # the first answer takes longest
            server = make_server(result, lambda: print(said, flush=True))
            server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def _listening(model: Path, port: int) -> socket.socket:
    """Take the port, before anything slow."""
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        raise CourseError(
            f"Port {port} cannot be used ({error.strerror}); another program may have it. Choose "
            f"another port: tlcourse serve {model} --port {port + 1 if 1023 < port < 65535 else 0}"
        ) from error


class _RefusedError(Exception):
    """A request that is not answered: its status, and the sentence that says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class _Kind:
    """What a network takes: its noun, the files a browser offers, and how one is opened."""

    noun: str
    accept: str
    open: Callable[..., Any]


def _kind_of(result: "Result") -> _Kind:
    """What a saved result takes: what its task held."""
    from tlcourse import open_picture, open_sound

    if result.holds == "sounds":
        return _Kind("sound", "audio/*", open_sound)
    opened = partial(open_picture, max_side=_MAX_SIDE, max_pixels=MAX_PIXELS)
    return _Kind("picture", "image/*", opened)


def make_server(result: "Result", on_start: Callable[[], None] = lambda: None) -> "uvicorn.Server":
    """Make the server of a result, which says nothing of what comes in and stops within a second.

    Args:
        result: What is served.
        on_start: Called once, when a signal would stop the server in order.
    """
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            make_app(result, on_start),
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
    )


def make_app(result: "Result", on_start: Callable[[], None]) -> "FastAPI":
    """Make the page and the addresses for programs.

    `GET /` is the page, `GET /health` says that the server is there, and `POST /predict` takes the
    content of a file and gives its classes, the most probable first. All else, and what cannot be
    answered, is a status of 400 or more with {"error": a sentence}.

    One thread opens files and one runs the network, whatever comes in at a time, so that memory
    stays bounded and the server goes on answering.
    """
    from fastapi import FastAPI, Request
    from fastapi.responses import HTMLResponse, JSONResponse
    from starlette.exceptions import HTTPException

    kind = _kind_of(result)
    reader = ThreadPoolExecutor(1, "reader")
    network = ThreadPoolExecutor(1, "network")
    room = asyncio.Semaphore(_AT_ONCE)

    def classify(opened: Any) -> list[dict[str, Any]]:
        rows = result.predict(opened, calibrated=True).itertuples(index=False)
        return [{"class": name, "probability": probability} for name, probability in rows]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        on_start()
        yield
        for pool in (reader, network):
            pool.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        lifespan=lifespan,
        redirect_slashes=False,
        # No page of the framework's own: it would load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(_Gate)

    @app.get("/")
    def page(request: Request) -> HTMLResponse:
        from tlcourse.base.html import render_template

        nonce = secrets.token_urlsafe(16)
        text = render_template(
            "served",
            title=f"{result.task}: {result.pattern.replace('_', ' ')}",
            kind=kind,
            facts=_facts(result),
            most_bytes=MAX_BYTES,
            shown=_SHOWN,
            address=str(request.base_url),
            nonce=nonce,
        )
        policy = "; ".join(
            (
                *("default-src 'none'", "connect-src 'self'", "img-src blob:", "media-src blob:"),
                *(f"script-src 'nonce-{nonce}'", f"style-src 'nonce-{nonce}'"),
                *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
            )
        )
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "ok", "takes": kind.noun, "task": result.task, "classes": result.classes}

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        async with room:
            content = await _content(request, kind.noun)
            try:
                opened = await loop.run_in_executor(reader, kind.open, content)
                del content
                rows = await loop.run_in_executor(network, classify, opened)
            except CourseError as error:
                raise _RefusedError(422, str(error)) from error
        return rows[0] | {"answers": rows}

    @app.exception_handler(_RefusedError)
    def refuse(_: Request, refused: _RefusedError) -> JSONResponse:
        return JSONResponse({"error": str(refused)}, refused.status)

    @app.exception_handler(HTTPException)
    def refuse_address(request: Request, error: HTTPException) -> JSONResponse:
        sentence = _SENTENCES.get(error.status_code, error.detail).format(method=request.method)
        return JSONResponse({"error": sentence}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    def fail(_: Request, error: Exception) -> JSONResponse:
        traceback.print_exception(error, file=sys.stderr)
        return JSONResponse({"error": _BROKEN}, 500)

    return app


async def _content(request: "Request", noun: str) -> bytes:
    """Read a file as it arrives. Of one that is too large nothing is kept.

    The rest of such a file is read and dropped, up to a bound: who is still sending would not hear
    the answer. Who asks first ("Expect: 100-continue", as curl does) is told at once.
    """
    from starlette.requests import ClientDisconnect

    declared = request.headers.get("content-length", "0")
    too_large = not declared.isdecimal() or len(declared) > 20 or int(declared) > MAX_BYTES
    content, size = bytearray(), 0
    try:
        async with asyncio.timeout(_STALLED) as limit:
            last = asyncio.get_running_loop().time() + _SECONDS
            if not (too_large and "expect" in request.headers):
                async for part in request.stream():
                    limit.reschedule(min(asyncio.get_running_loop().time() + _STALLED, last))
                    size += len(part)
                    too_large = too_large or size > MAX_BYTES
                    if not too_large:
                        content += part
                        continue
                    content.clear()
                    if size > 10 * MAX_BYTES:
                        break
    except TimeoutError as error:
        raise _RefusedError(408, "The file arrived too slowly, or not to its end.") from error
    except ClientDisconnect as error:
        raise _RefusedError(400, "The file was not sent to its end.") from error
    if too_large:
        raise _RefusedError(
            413, f"The file is larger than {MAX_BYTES / 1e6:g} MB. Make the {noun} smaller."
        )
    if not size:
        raise _RefusedError(
            400, f"No file came. Send the content of a {noun}: curl --data-binary @FILE ADDRESS"
        )
    return bytes(content)


class _Gate:
    """Stands before the page: who may ask, how many at a time, and headers that browsers heed."""

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app
        self.inside = 0

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Let a request through, or refuse it."""
        from fastapi.responses import JSONResponse

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                headers = [
                    *((b"cache-control", b"no-store"), (b"referrer-policy", b"no-referrer")),
                    (b"x-content-type-options", b"nosniff"),
                    (b"cross-origin-resource-policy", b"same-origin"),
                ]
                if message["status"] >= 400:  # of whose request something may be unread
                    headers.append((b"connection", b"close"))
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        if scope["type"] != "http":  # the server's own start and end
            return await self.app(scope, receive, send)
        app, refused = self.app, self._refusal(scope)
        if refused is not None:
            app = JSONResponse({"error": str(refused)}, refused.status)
        self.inside += 1
        try:
            return await app(scope, receive, send_with_headers)
        finally:
            self.inside -= 1

    def _refusal(self, scope: "Scope") -> _RefusedError | None:
        """Why a request may not come in.

        A page from elsewhere can make its own name lead to 127.0.0.1 ("DNS rebinding"), and then
        read the answers: the name stays in the header Host. Without that trick its name is in Origin.
        """
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not _OWN_NAME.fullmatch(host):
            return _RefusedError(403, "This server answers as 127.0.0.1 or localhost only.")
        if origin and origin.lower() != f"http://{host.lower()}":
            return _RefusedError(403, "This server answers its own page only.")
        if self.inside >= _MOST:
            return _RefusedError(503, "Too many requests at a time. Send this one again later.")
        return None


def _facts(result: "Result") -> dict[str, str]:
    """What the page says of the model, from what was saved with it."""
    shown = ", ".join(result.classes[:_SHOWN])
    more = len(result.classes) - _SHOWN
    on = "validation" if math.isnan(result.test_accuracy) else "test"
    accuracy = result.val_accuracy if on == "validation" else result.test_accuracy
    low, high = result.interval
    return {
        "Classes": f"{len(result.classes)}: {shown}" + (f", and {more} more" if more > 0 else ""),
        "Accuracy": (
            f"{accuracy:.3f} on its {on} {result.holds}, 95 % interval {low:.3f} to {high:.3f}"
            if accuracy == accuracy
            else "not measured"
        ),
        "Probabilities": (
            f"calibrated on the validation {result.holds} (temperature {result.temperature:.2f})"
        ),
        "Network": f"{result.backbone.name}, cut at {result.layer}",
    }
