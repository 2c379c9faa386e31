"""M06, 2024: a small HTTP service for the bundles that compress.py wrote. Standard library only.

    python milestones/06_2024_mlperf/serve.py bundles/cifar10 bundles/tinytalks

    POST /predict   {"inputs": [[…]]}: pictures, pixels 0 to 255  -> {"predictions": [{"label", "index", …}]}
    POST /generate  {"prompt": "…", "max_new_tokens": 64, "temperature": 0, "seed": 0}  -> {"text": "…", …}
    GET  /          what is served     GET /health   200 while it serves     GET /metrics   for Prometheus

With several classifiers, "model" says which. Whatever a client sends is answered with JSON: 4xx says what is
wrong with the request, 503 that the service is busy or stopping. Nothing that a client does ends the service.
Here are the connections; answers.py has what is answered.
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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from answers import Limits, Models, RefusalError, parsed
from bundle import Bundle, BundleError, read_bundle
from models import stop

# Metrics

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    def __init__(self) -> None:
        self.lock, self.seconds, self.in_flight = threading.Lock(), 0.0, 0
        self.requests, self.buckets = Counter[tuple[str, int]](), Counter[float]()

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
        data = text.encode()
        kind = "text/plain; version=0.0.4" if isinstance(answer, str) else "application/json"
        self.answered, self.status = True, status
        self.request_version = "HTTP/1.1"  # of an unreadable request it is unknown, and no head would be sent
        if not self.read or status == 408 or self.server.stopping:
            self.close_connection = True
        self.source.connection.settimeout(self.server.limits.patience)
        self.send_response_only(status)
        about = {"Content-Type": kind, "Content-Length": str(len(data))}
        for name, value in (about | (headers or {})).items():
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
        whole = length.isascii() and length.isdigit() and len(length) < 12
        fits = whole and int(length) <= self.server.limits.body
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
        self, bundles: list[Bundle], host: str = "127.0.0.1", port: int = 8080, limits: Limits | None = None,
        log: bool = True,
    ):  # fmt: skip
        super().__init__((host, port), Handler)
        self.limits, self.log, self.metrics = limits or Limits(), log, Metrics()
        self.models = Models(bundles, self.limits)
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
        bundles = [read_bundle(folder) for folder in options.bundles]
        service = Service(bundles, options.host, options.port, log=not options.quiet)
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
