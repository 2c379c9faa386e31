"""M06, 2024: a small HTTP service for the bundles that compress.py wrote. Standard library only.

    python milestones/06_2024_mlperf/serve.py bundles/cifar10 bundles/tinytalks

    POST /predict   {"inputs": [[…]]}: pictures, pixels 0 to 255  -> {"predictions": [{"label", "index", …}]}
    POST /generate  {"prompt": "…", "max_new_tokens": 64, "temperature": 0, "seed": 0}  -> {"text": "…", …}
    GET  /          what is served     GET /health   200 while it serves     GET /metrics   for Prometheus

With several classifiers, "model" says which. Whatever a client sends is answered with JSON: 4xx says what is
wrong with the request, 503 that the service is busy or stopping. Nothing that a client does ends the service.
"""

import argparse
import io
import json
import signal
import socket
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bundle import Bundle, BundleError, read_bundle
from models import normalization, stop

# isort: split
import numpy as np

import tinytorch as tt
from tinytorch.core.memoization import Decoder


@dataclass(frozen=True)
class Limits:
    """body: bytes; batch: pictures in a request; prompt, tokens: characters; waiting: requests that may wait
    or run; connections: open at once; patience: seconds for a client to send a request; deadline: seconds
    that a request may take, waiting for its turn included; linger: seconds in which a refused body is read
    and thrown away.
    """

    body: int = 1 << 20
    batch: int = 64
    prompt: int = 64
    tokens: int = 256
    waiting: int = 32
    connections: int = 128
    patience: float = 10.0
    deadline: float = 5.0
    linger: float = 1.0


class RefusalError(Exception):
    """An answer that is an error of the client's, or a service that is busy."""

    def __init__(self, status: int, message: str, **headers: str):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


# What is served


class Writer(Decoder):
    """A decoder that stops in the middle when its time is over."""

    until = 0.0

    def __call__(self, *args: Any, **settings: Any) -> Any:
        if time.monotonic() > self.until:
            raise RefusalError(503, "it took too long; ask for fewer tokens", **{"Retry-After": "1"})
        return super().__call__(*args, **settings)


class Models:
    """The networks. One request at a time computes: `generate` sets the mode of the network that all threads
    share, and products of matrices can use all processors, so two at once would gain little.
    """

    def __init__(self, bundles: list[Bundle], limits: Limits):
        self.limits, self.rejected = limits, 0
        names = [bundle.name for bundle in bundles]
        if len(set(names)) < len(names):
            raise BundleError(f"each network can be served once, {', '.join(names)} came")
        self.classifiers = {bundle.name: bundle for bundle in bundles if bundle.labels}
        self.writer = next((bundle for bundle in bundles if bundle.tokenizer), None)
        self.decoder = Writer(self.writer.model) if self.writer else None
        self.turn, self.places = threading.Lock(), threading.BoundedSemaphore(limits.waiting)

    def describe(self) -> dict[str, Any]:
        about: dict[str, Any] = {
            name: {"post": "/predict", "shape": b.config["sample_shape"], "labels": b.labels}
            for name, b in self.classifiers.items()
        }
        if self.writer:
            about[self.writer.name] = {"post": "/generate", "prompt": self.limits.prompt}
        for bundle in [*self.classifiers.values(), *([self.writer] if self.writer else [])]:
            about[bundle.name] |= {
                "title": bundle.entry.title, "data": bundle.entry.data, "metric": bundle.entry.metric,
                "figures": bundle.figures,
            }  # fmt: skip
        return {"service": "TinyTorch", "models": about}

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        known = fields(request, inputs=None, model=None)
        name = known["model"]
        if name is None and len(self.classifiers) == 1:
            name = next(iter(self.classifiers))
        if not isinstance(name, str) or name not in self.classifiers:
            raise RefusalError(
                400, f"'model' has to be one of {', '.join(self.classifiers) or 'none: no classifier'}"
            )
        bundle = self.classifiers[name]
        pixels = pictures(known["inputs"], tuple(bundle.config["sample_shape"]), self.limits.batch)
        inputs = normalization(name)((pixels / 255).astype(np.float32))
        with Turn(self), tt.no_grad():
            p = tt.softmax(bundle.model(inputs), 1).numpy()
        answers = [
            {"label": bundle.labels[row.argmax()], "index": int(row.argmax()),
             "probabilities": [round(float(x), 6) for x in row]}
            for row in p
        ]  # fmt: skip
        return {"model": name, "predictions": answers}

    def generate(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.writer is None or self.decoder is None:
            raise RefusalError(404, "no language model is served here")
        known = fields(request, prompt=None, max_new_tokens=64, temperature=0, seed=0)
        prompt = known["prompt"]
        if not isinstance(prompt, str) or not 1 <= len(prompt) <= self.limits.prompt:
            raise RefusalError(400, f"'prompt' has to be text of 1 to {self.limits.prompt} characters")
        count = number(known, "max_new_tokens", 1, self.limits.tokens, whole=True)
        temperature = number(known, "temperature", 0, 2)
        seed = number(known, "seed", 0, 2**32 - 1, whole=True)
        tokenizer = self.writer.tokenizer
        try:
            ids = tokenizer.encode(prompt if prompt.endswith("\n") else f"{prompt}\n")
        except ValueError as error:
            raise RefusalError(400, f"'prompt' cannot be read: {error}") from None
        end = tokenizer.special_tokens["<end>"]
        count = min(count, self.writer.model.config.block_size - len(ids))
        with Turn(self) as turn, tt.no_grad():
            self.decoder.until = turn.until
            written = self.decoder.generate(
                tt.tensor([ids]), count, temperature=temperature, generator=int(seed), stop_tokens=[end]
            )
        new = [int(id) for id in written.numpy()[0, len(ids) :]]
        text = tokenizer.decode(new).removesuffix("<end>")
        return {"model": self.writer.name, "text": text, "tokens": len(new), "finished": new[-1:] == [end]}


class Turn:
    """A request's turn with the networks. Refuses with 503 where too many wait, or it takes too long."""

    def __init__(self, models: Models):
        self.models = models

    def __enter__(self) -> "Turn":
        self.until = time.monotonic() + self.models.limits.deadline
        if not self.models.places.acquire(blocking=False):
            self.models.rejected += 1
            raise RefusalError(503, "too many requests are waiting; try again", **{"Retry-After": "1"})
        if not self.models.turn.acquire(timeout=self.models.limits.deadline):
            self.models.places.release()
            self.models.rejected += 1
            raise RefusalError(
                503, "it took too long until it was this request's turn", **{"Retry-After": "1"}
            )
        return self

    def __exit__(self, *error: object) -> None:
        self.models.turn.release()
        self.models.places.release()


# What a request may say


def parsed(body: bytes) -> dict[str, Any]:
    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        request = json.loads(body.decode("utf-8"), parse_constant=no_constant)
    except RecursionError:
        raise RefusalError(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise RefusalError(400, f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise RefusalError(400, f"the body has to be a JSON object, a {type(request).__name__} came")
    return request


def fields(request: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    if unknown := sorted(set(request) - set(defaults)):
        raise RefusalError(400, f"there is no field {unknown[0]!r:.50}; there are {', '.join(defaults)}")
    return {**defaults, **request}


def number(request: dict[str, Any], name: str, low: float, high: float, whole: bool = False) -> Any:
    value = request[name]
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise RefusalError(
            400, f"{name!r} has to be a {'whole ' if whole else ''}number from {low} to {high}"
        )
    return value


def pictures(value: Any, shape: tuple[int, ...], limit: int) -> np.ndarray:
    """Pixels (N, *shape), from one picture or a list of them."""
    sizes = "x".join(map(str, shape))
    try:
        values = np.array(value, object)
        if not {type(x) for x in values.flat} <= {int, float}:  # text, true, null, or rows of other lengths
            raise TypeError
        pixels = values.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise RefusalError(
            400, f"'inputs' has to be a picture of {sizes} numbers, or a list of such pictures"
        ) from None
    if pixels.shape == shape:
        pixels = pixels[None]
    if pixels.shape[1:] != shape or not 1 <= len(pixels) <= limit:
        raise RefusalError(
            400, f"'inputs' has shape {pixels.shape}; 1 to {limit} pictures of {sizes} are taken"
        )
    if not (pixels.min() >= 0 and pixels.max() <= 255):
        raise RefusalError(400, "pixels have to be from 0 to 255")
    return pixels


# Metrics

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    def __init__(self) -> None:
        self.lock, self.requests, self.buckets = (
            threading.Lock(),
            Counter[tuple[str, int]](),
            Counter[float](),
        )
        self.seconds, self.in_flight = 0.0, 0

    def count(self, route: str, status: int, seconds: float) -> None:
        with self.lock:
            self.requests[route, status] += 1
            self.seconds += seconds
            for edge in BUCKETS:
                self.buckets[edge] += seconds <= edge

    def text(self, rejected: int) -> str:
        with self.lock:
            total = sum(self.requests.values())
            name = "tinytorch_request"
            lines = [f"# TYPE {name}s_total counter"]
            lines += [f'{name}s_total{{route="{route}",status="{status}"}} {count}'
                      for (route, status), count in sorted(self.requests.items())]  # fmt: skip
            lines.append(f"# TYPE {name}_seconds histogram")
            lines += [f'{name}_seconds_bucket{{le="{edge}"}} {self.buckets[edge]}' for edge in BUCKETS]
            lines += [f'{name}_seconds_bucket{{le="+Inf"}} {total}', f"{name}_seconds_sum {self.seconds:.6f}",
                      f"{name}_seconds_count {total}", f"# TYPE {name}s_in_flight gauge",
                      f"{name}s_in_flight {self.in_flight}",
                      f"# TYPE {name}s_rejected_total counter",
                      f"{name}s_rejected_total {rejected}"]  # fmt: skip
        return "\n".join(lines) + "\n"


# HTTP


class Patient(io.RawIOBase):
    """A connection to read from, with a time by which a whole request has to be there."""

    def __init__(self, connection: socket.socket):
        self.connection, self.deadline = connection, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connection.settimeout(left)
        return self.connection.recv_into(buffer)


class Handler(BaseHTTPRequestHandler):
    protocol_version, server_version, sys_version = "HTTP/1.1", "TinyTorch", ""
    disable_nagle_algorithm = True  # or the body waits until the client has confirmed the headers
    server: "Service"

    def setup(self) -> None:
        super().setup()
        self.source = Patient(self.connection)
        self.rfile = io.BufferedReader(self.source)
        self.answered = False

    def handle_one_request(self) -> None:
        """One request; what is wrong with the connection ends it without a word."""
        self.began, self.status, self.command, self.path = time.perf_counter(), 0, "", ""
        self.answered, self.read = False, True
        self.source.deadline = time.monotonic() + self.server.limits.patience
        try:
            self.connection.settimeout(self.server.limits.patience)
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline:
                self.close_connection = True
                return
            with self.server.flying(self.connection):
                self.late = self.server.stopping  # what came before is still answered
                if len(self.raw_requestline) > 65536:
                    self.requestline = self.request_version = ""
                    self.send_error(414)
                elif self.parse_request():
                    self.respond()
        except TimeoutError:
            self.close_connection = True
            if self.command and not self.answered:
                with suppress(OSError):
                    self.answer(408, {"error": "the request did not arrive in time"})
        except OSError:  # the client is gone
            self.close_connection = True
        if self.status:
            self.note()
        if not self.read:
            self.linger()

    def respond(self) -> None:
        headers: dict[str, str] = {}
        try:
            status, answer = 200, self.route()
        except RefusalError as refusal:
            status, answer, headers = refusal.status, {"error": refusal.message}, refusal.headers
        except OSError:
            raise
        except Exception as error:  # never the client's business; the log says more
            reference = uuid.uuid4().hex[:8]
            print(json.dumps({"reference": reference, "error": repr(error)}), file=sys.stderr, flush=True)
            status, answer = 500, {"error": f"internal error, reference {reference}"}
        self.answer(status, answer, headers)

    def route(self) -> Any:
        path = self.path.partition("?")[0]
        routes = {"/": "GET", "/health": "GET", "/metrics": "GET", "/predict": "POST", "/generate": "POST"}
        body = self.body()
        if path not in routes:
            raise RefusalError(404, f"there is no such path; there are {', '.join(routes)}")
        if self.command != routes[path]:
            raise RefusalError(405, f"{path} takes {routes[path]}", Allow=routes[path])
        if path == "/":
            return self.server.models.describe()
        if path == "/metrics":
            return self.server.metrics.text(self.server.models.rejected)
        if self.late:
            raise RefusalError(503, "the service is stopping", **{"Retry-After": "5"})
        if path == "/health":
            return {"status": "ok"}
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RefusalError(415, "Content-Type has to be application/json")
        act = self.server.models.predict if path == "/predict" else self.server.models.generate
        return act(parsed(body))

    def body(self) -> bytes:
        """The request's body. What is not read here is thrown away with the connection."""
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers:
            self.read = False
            raise RefusalError(411, "chunked bodies are not taken; send a Content-Length")
        if not lengths:
            if self.command == "POST":
                self.read = False
                raise RefusalError(411, "a Content-Length is needed")
            return b""
        if len(set(lengths)) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
            self.read = False
            raise RefusalError(400, "Content-Length has to be one whole number")
        # int() of a very long text is slow, and such a length is too large anyhow.
        if len(lengths[0]) > 12 or int(lengths[0]) > self.server.limits.body:
            self.read = False
            raise RefusalError(413, f"a body may have {self.server.limits.body:,} bytes")
        found = self.rfile.read(int(lengths[0]))
        if len(found) < int(lengths[0]):
            raise ConnectionError("the client left in the middle of its body")
        return found

    def answer(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        text = answer if isinstance(answer, str) else json.dumps(answer) + "\n"
        data, kind = (
            text.encode(),
            "text/plain; version=0.0.4" if isinstance(answer, str) else "application/json",
        )
        self.answered, self.status = True, status
        self.request_version = (
            "HTTP/1.1"  # of an unreadable request it is not known, and then no head is sent
        )
        if not self.read or status == 408 or self.server.stopping:
            self.close_connection = True
        self.source.connection.settimeout(self.server.limits.patience)
        self.send_response_only(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class finds wrong with a request line or headers: always the client's fault."""
        self.read, self.close_connection = False, True
        status = 400 if code >= 500 else int(code)  # 505: a version of HTTP that there is not
        self.command = self.command or "?"
        self.answer(status, {"error": (message or "the request cannot be read")[:200]})

    def handle_expect_100(self) -> bool:
        length = self.headers.get("Content-Length", "")
        fits = (
            length.isascii()
            and length.isdigit()
            and len(length) < 12
            and int(length) <= self.server.limits.body
        )
        return super().handle_expect_100() if fits else True

    def linger(self) -> None:
        """Throw away what still comes, for a moment: closing at once would take the answer back."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.source.deadline = time.monotonic() + self.server.limits.linger
            while self.rfile.read1(1 << 16):
                pass

    def note(self) -> None:
        seconds = time.perf_counter() - self.began
        known = self.path.partition("?")[0]
        route = known if known in ("/", "/health", "/metrics", "/predict", "/generate") else "other"
        self.server.metrics.count(route, self.status, seconds)
        if self.server.log:
            line = {
                "at": round(time.time(), 3), "client": self.client_address[0], "method": self.command,
                "path": self.path[:200], "status": self.status, "ms": round(1e3 * seconds, 2),
            }  # fmt: skip
            print(json.dumps(line), file=sys.stderr, flush=True)


class Service(ThreadingHTTPServer):
    """The server. `stop()` lets what is in flight finish and closes what waits."""

    daemon_threads, request_queue_size = False, 128

    def __init__(
        self, bundles: list[Bundle], host: str = "127.0.0.1", port: int = 8080, limits: Limits = Limits(),
        log: bool = True,
    ):  # fmt: skip
        super().__init__((host, port), Handler)
        self.models, self.limits, self.log, self.metrics = Models(bundles, limits), limits, log, Metrics()
        self.stopping, self.lock = False, threading.Lock()
        self.open: set[socket.socket] = set()
        self.busy: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            room = len(self.open) < self.limits.connections and not self.stopping
            if room:
                self.open.add(request)
        if room:
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.settimeout(1)
            request.sendall(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
                b"Content-Length: 0\r\n\r\n"
            )
        self.metrics.count("other", 503, 0.0)
        super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            self.open.discard(request)
        super().shutdown_request(request)

    def flying(self, connection: socket.socket) -> "Flight":
        return Flight(self, connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        print(json.dumps({"error": repr(sys.exc_info()[1])}), file=sys.stderr, flush=True)

    def stop(self) -> None:
        self.stopping = True
        self.shutdown()
        with self.lock:
            idle = self.open - self.busy
        for connection in idle:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        self.server_close()


class Flight:
    """Marks a connection as one with a request in it."""

    def __init__(self, service: Service, connection: socket.socket):
        self.service, self.connection = service, connection

    def __enter__(self) -> None:
        with self.service.lock:
            self.service.busy.add(self.connection)
        with self.service.metrics.lock:
            self.service.metrics.in_flight += 1

    def __exit__(self, *error: object) -> None:
        with self.service.lock:
            self.service.busy.discard(self.connection)
        with self.service.metrics.lock:
            self.service.metrics.in_flight -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("bundles", nargs="+", type=Path, help="folders that compress.py wrote")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes any free one (default 8080)")
    parser.add_argument("--quiet", action="store_true", help="no line for each request")
    parser.add_argument("--reference", action="store_true", help="run on the reference modules, not on yours")
    options = parser.parse_args()
    try:
        service = Service(
            [read_bundle(folder) for folder in options.bundles],
            options.host,
            options.port,
            log=not options.quiet,
        )
    except (BundleError, OSError, OverflowError) as error:
        stop(str(error))
    address, names = service.server_address, service.models.describe()["models"]
    print(f"Serving {', '.join(names)} at http://{options.host}:{address[1]}; Ctrl-C stops.", flush=True)
    stopper = threading.Thread(target=service.stop)

    def leave(*_: object) -> None:
        if not service.stopping:
            service.stopping = True
            stopper.start()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    service.serve_forever(poll_interval=0.1)
    stopper.join()
    print("Stopped.", flush=True)


if __name__ == "__main__":
    main()
