"""Requests per second that `tlcourse serve` answers, with one client and with several.

    python -m benchmarks.serve [--requests 100]

The default network with a new head, at its own size, and a photograph of 640 x 427 pixels as JPEG.
Each client sends its next request when the last one was answered, on a new connection. Printed are
the requests per second of all clients together, the milliseconds of a request, those that the
server's threads computed for it, and how much memory it took since the first requests.
"""

import argparse
import http.client
import io
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil

import tlcourse as tl
from tests.helpers.serving import served_by_command
from tlcourse.base.machine import MIB, describe

CLIENTS = (1, 4)


def photograph() -> bytes:
    """Return a photograph, 640 pixels wide, as JPEG."""
    content = io.BytesIO()
    picture = tl.photographs("coffee")["coffee"]
    picture.resize((640, round(640 * picture.height / picture.width))).save(
        content, "JPEG", quality=90
    )
    return content.getvalue()


def seconds_of(address: str, content: bytes, requests: int) -> list[float]:
    """Send a file so many times, one after another, and return the seconds of each."""
    seconds = []
    for _ in range(requests):
        started = time.perf_counter()
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        connection.request("POST", "/predict", content)
        response = connection.getresponse()
        response.read()
        connection.close()
        if response.status != 200:
            raise RuntimeError(f"the server answered with status {response.status}")
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    """Print a line for each number of clients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100, help="of each client")
    requests = parser.parse_args().requests
    print(describe())
    task, content = tl.load_task("things"), photograph()
    result = tl.patterns.standalone_extractor(tl.load_backbone(), task, progress=False)
    with tempfile.TemporaryDirectory() as place:
        model = result.save(Path(place) / "model")
        with served_by_command(model) as (process, address):
            watched = psutil.Process(process.pid)
            seconds_of(address, content, 5)  # the first ones warm up
            before = watched.memory_info().rss
            for clients in CLIENTS:
                started, computed = time.perf_counter(), sum(watched.cpu_times()[:2])
                with ThreadPoolExecutor(clients) as pool:
                    asked = [
                        pool.submit(seconds_of, address, content, requests) for _ in range(clients)
                    ]
                    each = [1000 * s for one in asked for s in one.result()]
                rate = len(each) / (time.perf_counter() - started)
                computed = 1000 * (sum(watched.cpu_times()[:2]) - computed) / len(each)
                last = statistics.quantiles(each, n=20)[-1]
                print(
                    f"{clients} at a time: {rate:5.1f} requests/s, median "
                    f"{statistics.median(each):.0f} ms, 95th percentile {last:.0f} ms, "
                    f"computed {computed:.0f} ms, "
                    f"{(watched.memory_info().rss - before) / MIB:+.0f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
