"""M06, 2024: a load for the service of serve.py, and abuse. Standard library only.

    python milestones/06_2024_mlperf/load.py http://127.0.0.1:8080 --rate 50 --seconds 60
    python milestones/06_2024_mlperf/load.py http://127.0.0.1:8080 --abuse

Requests arrive at random moments, `rate` a second on average, whether the service keeps up or not. A
latency counts from the moment at which a request was due, so waiting in line is part of it. Exit status 1
if an answer was wrong.
"""

import argparse
import http.client
import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

QUESTIONS = ("What is your name?", "Hello!", "How are you?")


def requests_for(models: dict[str, Any], seed: int) -> list[tuple[str, bytes]]:
    """Some (path, body) for what the service says it serves."""
    rng, found = random.Random(seed), []
    for name, about in models.items():
        if about["post"] == "/generate":
            found += [("/generate", {"prompt": question}) for question in QUESTIONS]
            continue
        for _ in range(8):
            found.append(("/predict", {"model": name, "inputs": noise(about["shape"], rng)}))
    return [(path, json.dumps(body).encode()) for path, body in found]


def noise(shape: list[int], rng: random.Random) -> Any:
    return [noise(shape[1:], rng) for _ in range(shape[0])] if shape else rng.randrange(256)


class Client:
    """A connection that is kept, and opened again where it was closed."""

    def __init__(self, host: str, port: int):
        self.address, self.connection = (host, port), http.client.HTTPConnection(host, port, timeout=30)

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        method = "GET" if body is None else "POST"
        headers = {"Content-Type": "application/json"} if body is not None else {}
        kept = self.connection.sock is not None
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (http.client.HTTPException, OSError) as error:
            self.connection.close()
            # The service closes a connection on which nothing comes for a while.
            if kept and isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
                return self.ask(path, body)
            raise


def load(
    host: str, port: int, rate: float, seconds: float, seed: int = 0, clients: int = 32
) -> dict[str, Any]:
    """Ask for `seconds`, and report: rate, statuses, latencies in milliseconds."""
    _, about = Client(host, port).ask("/")
    bodies, rng = requests_for(json.loads(about)["models"], seed), random.Random(seed)
    due: Queue[tuple[float, str, bytes] | None] = Queue()
    statuses: Counter[str] = Counter()
    latencies: list[float] = []

    def serve() -> None:
        client = Client(host, port)
        while (job := due.get()) is not None:
            when, path, body = job
            try:
                status = str(client.ask(path, body)[0])
            except (http.client.HTTPException, OSError) as error:
                status = type(error).__name__
            latencies.append(time.perf_counter() - when)
            statuses[status] += 1

    threads = [threading.Thread(target=serve) for _ in range(clients)]
    for thread in threads:
        thread.start()
    began = at = time.perf_counter()
    while at < began + seconds:
        time.sleep(max(0.0, at - time.perf_counter()))
        due.put((at, *rng.choice(bodies)))
        at += rng.expovariate(rate)
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    ordered = sorted(1e3 * latency for latency in latencies)
    return {
        "asked_rate": rate, "seconds": round(took, 2), "requests": len(ordered),
        "rate": round(len(ordered) / took, 1), "statuses": dict(statuses),
        **{f"p{share:g}_ms": round(percentile(ordered, share / 100), 2) for share in (50, 90, 99, 100)},
    }  # fmt: skip


def percentile(ordered: list[float], share: float) -> float:
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


# Abuse


def raw(host: str, port: int, data: bytes, wait: float = 15.0) -> bytes:
    """Send these bytes, and whatever comes back until the service closes or `wait` seconds are over."""
    answer = b""
    with socket.create_connection((host, port), timeout=wait) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused before all of it was sent
        try:
            while part := connection.recv(1 << 16):
                answer += part
        except OSError:
            pass
    return answer


def post(path: str, body: bytes, **headers: str) -> bytes:
    lines = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(len(body)),
             **{name.replace("_", "-"): value for name, value in headers.items()}}  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value != "-")
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def abuses() -> dict[str, bytes]:
    """Requests that no service should take, by what is wrong with them."""
    ten_megabytes = b"[" + b"0," * 5_000_000 + b"0]"
    return {
        "no HTTP": b"hello\r\n\r\n",
        "no such version": b"GET / HTTP/9.9\r\n\r\n",
        "bytes": bytes(range(256)) * 4 + b"\r\n\r\n",
        "a long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        "a long header": b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        "many headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        "no such path": b"GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        "a path that climbs": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        "no such method": b"BREW /predict HTTP/1.1\r\nHost: x\r\n\r\n",
        "the other method": b"GET /predict HTTP/1.1\r\nHost: x\r\n\r\n",
        "no length": post("/predict", b"{}", Content_Length="-"),
        "a length that is none": post("/predict", b"{}", Content_Length="-5"),
        "two lengths": b"POST /predict HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "a huge length": post("/predict", b"{}", Content_Length="9" * 30),
        "chunks": post("/predict", b"2\r\n{}\r\n0\r\n\r\n", Transfer_Encoding="chunked"),
        "10 MB": post("/predict", ten_megabytes),
        "another kind of content": post("/predict", b"{}", Content_Type="text/plain"),
        "no JSON": post("/predict", b"{"),
        "no UTF-8": post("/predict", b"\xff\xfe"),
        "a list": post("/predict", b"[]"),
        "no fields": post("/predict", b"{}"),
        "unknown fields": post("/predict", b'{"rm": "-rf"}'),
        "deep nesting": post("/predict", b'{"inputs": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        "nan": post("/predict", b'{"inputs": [NaN]}'),
        "text for numbers": post("/predict", b'{"inputs": [["a", "b"]]}'),
        "ragged rows": post("/predict", b'{"inputs": [[1, 2], [3]]}'),
        "a number too large": post("/predict", b'{"inputs": [1e999]}'),
        "no prompt": post("/generate", b"{}"),
        "a prompt that is a number": post("/generate", b'{"prompt": 7}'),
        "unknown characters": post("/generate", '{"prompt": "\u4f60\u597d"}'.encode()),
        "a long prompt": post("/generate", json.dumps({"prompt": "a" * 5000}).encode()),
        "too many tokens": post("/generate", b'{"prompt": "Hi", "max_new_tokens": 1000000000}'),
        "a negative temperature": post("/generate", b'{"prompt": "Hi", "temperature": -1}'),
    }  # fmt: skip


def abuse(host: str, port: int) -> list[str]:
    """What the service did wrong: one sentence each."""
    wrong = []
    for name, data in abuses().items():
        answer = raw(host, port, data)
        status = answer.split(b" ", 2)[1:2]
        if not status or not status[0].startswith(b"4") or b"Traceback" in answer:
            wrong.append(f"{name}: answered {answer[:200]!r}")
    with socket.create_connection((host, port)) as silent:  # says nothing, and stays
        with socket.create_connection((host, port)) as leaver:
            leaver.sendall(post("/predict", b"{}", Content_Length="500"))  # leaves in the middle of its body
        with socket.create_connection((host, port)) as rude:
            rude.sendall(post("/generate", b'{"prompt": "Hello!"}'))  # leaves before its answer
        health, _ = Client(host, port).ask("/health")
        if health != 200:
            wrong.append(f"afterwards /health answers {health}")
        silent.close()
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("url", help="such as http://127.0.0.1:8080")
    parser.add_argument("--rate", type=float, default=20, help="requests a second (default 20)")
    parser.add_argument("--seconds", type=float, default=60, help="for so long (default 60)")
    parser.add_argument("--abuse", action="store_true", help="send what no service should take")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    if not options.rate > 0 or not options.seconds > 0:
        parser.error("--rate and --seconds have to be above 0")
    url = urlsplit(options.url)
    host, port = url.hostname or "127.0.0.1", url.port or 80
    try:
        if options.abuse:
            wrong = abuse(host, port)
            print("\n".join(wrong) or f"{len(abuses()) + 3} kinds of abuse, each answered as it should be.")
            return 1 if wrong else 0
        found = load(host, port, options.rate, options.seconds)
    except OSError as error:
        print(f"{options.url}: {error}", file=sys.stderr)
        return 2
    text = json.dumps(found, indent=1)
    print(text)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0 if set(found["statuses"]) == {"200"} else 1


if __name__ == "__main__":
    raise SystemExit(main())
