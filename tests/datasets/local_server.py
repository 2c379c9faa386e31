"""An HTTP server on this machine that serves bytes with ranges, and misbehaves when told to."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LocalServer(ThreadingHTTPServer):
    """files: name -> bytes. behaviours: what to do with the next requests, one each; then it behaves.

    requests: (name, Range header or None) of every request so far.
    """

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.behaviours = []
        self.requests = []
        self.closing = threading.Event()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address):
        """A client that hangs up is part of these tests, not worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/")
        self.server.requests.append((name, self.headers.get("Range")))
        behave = self.server.behaviours.pop(0) if self.server.behaviours else serve
        if name in self.server.files:
            behave(self, self.server.files[name])
        else:
            self.send_error(404)

    def log_message(self, format, *args):
        """Quiet."""


def serve(handler, body, send=None, total=None):
    """Answer as a good server does. send: the bytes to send in place of those that were promised."""
    begin = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    if begin >= len(body):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(body)}")
        handler.end_headers()
        return
    handler.send_response(206 if begin else 200)
    if begin:
        handler.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{total or len(body)}")
    handler.send_header("Content-Length", str(len(body) - begin))
    handler.end_headers()
    handler.wfile.write(body[begin:] if send is None else send(body[begin:]))


def drop_after(count):
    """Promise everything, send count bytes and hang up."""
    return lambda handler, body: serve(handler, body, send=lambda rest: rest[:count])


def flip_a_bit(handler, body):
    serve(handler, body[:-1] + bytes([body[-1] ^ 1]))


def shorter_file(handler, body):
    """Serve, quite properly, a file that lacks its last ten bytes."""
    serve(handler, body[:-10])


def ignore_range(handler, body):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def wrong_range(handler, body):
    """Answer 206 with another range than the one asked for."""
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 7-{len(body) - 1}/{len(body)}")
    handler.end_headers()
    handler.wfile.write(body[7:])


def without_length(handler, body):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(body)


def sign_in_page(handler, body):
    """What a hotel's network answers to any request."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"<html>Please sign in</html>" * (1 + len(body) // 20))


def fail_with(status):
    return lambda handler, body: handler.send_error(status)


def hang_up(handler, body):
    handler.close_connection = True


def stall(handler, body):
    """Promise everything, then send nothing until the server closes."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.flush()
    handler.server.closing.wait()


def hold(count, reached, released):
    """Send count bytes, set the event `reached`, and send the rest once `released` is set."""

    def behave(handler, body):
        def send(rest):
            handler.wfile.write(rest[:count])
            handler.wfile.flush()
            reached.set()
            released.wait()
            return rest[count:]

        serve(handler, body, send=send)

    return behave


@contextmanager
def running(files):
    server = LocalServer(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
