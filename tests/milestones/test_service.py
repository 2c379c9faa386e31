"""The service of milestone 06: what it answers, what it refuses, and what it survives."""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tests.milestones.conftest import ROOT, environment_in

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="the browser has no sockets to serve")

FOLDER = ROOT / "milestones" / "06_2024_mlperf"
RECIPE = {"four_bits": [], "group_size": 32}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def program():
    """serve.py, answers.py, load.py and bundle.py as modules."""
    path = list(sys.path)
    # Not at the front: the milestone's profile.py must not stand in for Python's own module of that name.
    sys.path.append(str(FOLDER))
    import answers
    import bundle
    import load
    import models
    import serve

    yield SimpleNamespace(serve=serve, answers=answers, load=load, bundle=bundle, models=models)
    sys.path[:] = path


@pytest.fixture(scope="module")
def folders(program, tmp_path_factory):
    """Bundles of networks that learned nothing: a classifier and a writer."""
    root, found = tmp_path_factory.mktemp("bundles"), []
    for name in ("mnist", "tinytalks"):
        tt.manual_seed(0)
        entry = program.models.MODELS[name]
        model = program.bundle.packed(entry.build().eval(), **RECIPE)
        program.bundle.write_bundle(root / name, entry, model, RECIPE, {"measured": 1}, "# card\n")
        found.append(root / name)
    return found


@contextlib.contextmanager
def serving(program, bundles, **limits):
    service = program.serve.Service(bundles, port=0, limits=program.answers.Limits(**limits), log=False)
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join()


@pytest.fixture(scope="module")
def bundles(program, folders):
    return [program.bundle.read_bundle(folder) for folder in folders]


@pytest.fixture(scope="module")
def service(program, bundles):
    with serving(program, bundles, patience=0.5, linger=0.2) as service:
        yield service


def ask(service, path, body=None, method=None, headers=JSON):
    """(status, answer, headers) of one request on a connection of its own."""
    connection = http.client.HTTPConnection(*service.server_address, timeout=20)
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection.request(method or ("GET" if body is None else "POST"), path, data, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert b"Traceback" not in text
    is_json = answer.headers["Content-Type"] == "application/json"
    return answer.status, json.loads(text) if is_json and text else text.decode(), answer.headers


def digit(seed=0, count=None):
    shape = (28, 28) if count is None else (count, 28, 28)
    return np.random.default_rng(seed).integers(0, 256, shape).tolist()


# What it answers


def test_predictions_are_those_of_the_network_in_the_bundle(service, bundles, program):
    pixels = digit(count=3)
    status, answer, _ = ask(service, "/predict", {"inputs": pixels})
    inputs = program.models.normalization("mnist")((np.array(pixels) / 255).astype(np.float32))
    with tt.no_grad():
        p = tt.softmax(bundles[0].model(inputs), 1).numpy()
    assert status == 200
    assert answer["model"] == "mnist"
    assert [one["index"] for one in answer["predictions"]] == p.argmax(1).tolist()
    assert [one["label"] for one in answer["predictions"]] == [str(i) for i in p.argmax(1)]
    np.testing.assert_allclose([one["probabilities"] for one in answer["predictions"]], p, atol=2e-6)


def test_one_picture_needs_no_list_around_it(service):
    alone, listed = (
        ask(service, "/predict", {"inputs": x, "model": "mnist"})[1] for x in (digit(), [digit()])
    )
    assert alone == listed


def test_greedy_text_is_that_of_generate(service, bundles):
    _, writer = bundles
    ids = writer.tokenizer.encode("Hello!\n")
    end = writer.tokenizer.special_tokens["<end>"]
    written = writer.model.generate(tt.tensor([ids]), 20, temperature=0, stop_tokens=[end])
    status, answer, _ = ask(service, "/generate", {"prompt": "Hello!", "max_new_tokens": 20})
    assert status == 200
    new = written.numpy()[0, len(ids) :].tolist()
    assert answer["text"] == writer.tokenizer.decode(new).removesuffix("<end>")
    assert answer["tokens"] == len(new)


def test_a_seed_repeats_a_text(service):
    request = {"prompt": "Hello!", "max_new_tokens": 12, "temperature": 1.5, "seed": 3}
    first, second = (ask(service, "/generate", request)[1] for _ in range(2))
    other = ask(service, "/generate", {**request, "seed": 4})[1]
    assert first == second != other


def test_it_says_what_it_serves_and_that_it_is_ready(service):
    status, about, _ = ask(service, "/")
    assert status == 200
    assert about["models"]["mnist"]["shape"] == [28, 28]
    assert about["models"]["tinytalks"]["figures"] == {"measured": 1}
    assert ask(service, "/health")[:2] == (200, {"status": "ok"})


def test_a_connection_is_kept_after_answers_and_after_errors(service):
    connection = http.client.HTTPConnection(*service.server_address, timeout=20)
    used = set()
    for path, body, status in (
        ("/health", None, 200), ("/predict", b"{", 400), ("/nowhere", b"abc", 404),
        ("/predict", json.dumps({"inputs": digit()}).encode(), 200),
    ):  # fmt: skip
        connection.request("POST" if body else "GET", path, body, JSON)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
        used.add(connection.sock)
    assert len(used) == 1
    assert None not in used
    connection.close()


# What it refuses


def test_all_kinds_of_abuse_get_an_error_of_the_clients(service, program):
    assert program.load.abuse(*service.server_address) == []


REFUSED = {
    "boolean pixels": ("/predict", {"inputs": [[[True] + [0] * 27] + [[0] * 28] * 27]}, 400),
    "a pixel of null": ("/predict", {"inputs": [[[None] + [0] * 27] + [[0] * 28] * 27]}, 400),
    "a pixel above 255": ("/predict", {"inputs": [[256] * 28] * 28}, 400),
    "a negative pixel": ("/predict", {"inputs": [[-1] * 28] * 28}, 400),
    "a pixel without bounds": ("/predict", {"inputs": [[10**400] * 28] * 28}, 400),
    "a batch too large": ("/predict", {"inputs": [[[0] * 28] * 28] * 65}, 400),
    "an empty batch": ("/predict", {"inputs": []}, 400),
    "another shape": ("/predict", {"inputs": [[0] * 27] * 28}, 400),
    "another model": ("/predict", {"inputs": [[0] * 28] * 28, "model": "cifar10"}, 400),
    "an empty prompt": ("/generate", {"prompt": ""}, 400),
    "half a character": ("/generate", b'{"prompt": "\\ud800"}', 400),
    "a count of true": ("/generate", {"prompt": "Hi", "max_new_tokens": True}, 400),
    "a count of 1.5": ("/generate", {"prompt": "Hi", "max_new_tokens": 1.5}, 400),
    "a seed below 0": ("/generate", {"prompt": "Hi", "seed": -1}, 400),
    "an infinite temperature": ("/generate", b'{"prompt": "Hi", "temperature": Infinity}', 400),
    "a body too large": ("/predict", b" " * ((1 << 20) + 1), 413),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(service, case):
    path, body, expected = REFUSED[case]
    status, answer, _ = ask(service, path, body)
    assert status == expected
    assert answer["error"]


def test_another_method_is_told_which_one_is_right(service):
    for path, method, right in (
        ("/predict", "GET", "POST"), ("/health", "DELETE", "GET"), ("/", "BREW", "GET"),
    ):  # fmt: skip
        status, _, headers = ask(service, path, method=method)
        assert (status, headers["Allow"]) == (405, right)


def test_another_content_type_is_refused(service):
    assert ask(service, "/generate", b'{"prompt": "Hi"}', headers={"Content-Type": "text/html"})[0] == 415


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
names = st.sampled_from(["inputs", "model", "prompt", "max_new_tokens", "temperature", "seed"])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["/predict", "/generate"]),
    st.binary(max_size=64) | st.dictionaries(names, json_values).map(lambda x: json.dumps(x).encode()),
)
def test_no_body_makes_it_fail(service, path, body):
    assert ask(service, path, body)[0] in (200, 400)


def test_a_fault_of_its_own_is_not_shown(service, monkeypatch, capsys):
    def fail(request):
        raise RuntimeError("a secret")

    monkeypatch.setattr(service.models, "predict", fail)
    status, answer, _ = ask(service, "/predict", {"inputs": digit()})
    assert status == 500
    reference = re.fullmatch(r"internal error, reference (\w{8})", answer["error"])[1]
    logged = capsys.readouterr().err
    assert reference in logged
    assert "a secret" in logged


# What it survives


def test_who_is_too_slow_is_let_go(service):
    with socket.create_connection(service.server_address, timeout=10) as silent:
        assert silent.recv(1) == b""
    with socket.create_connection(service.server_address, timeout=10) as slow:
        slow.sendall(
            b"POST /predict HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 408 ")
    with socket.create_connection(service.server_address, timeout=10) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 408 ")
    assert ask(service, "/health")[0] == 200


def test_many_at_once_get_their_own_answers(service):
    alone = [ask(service, "/predict", {"inputs": digit(seed)})[1] for seed in range(8)]
    together = [None] * 8

    def one(i):
        together[i] = ask(service, "/predict", {"inputs": digit(i)})[1]

    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one_alone, one_together in zip(alone, together, strict=True):
        assert one_alone["predictions"][0]["index"] == one_together["predictions"][0]["index"]


def test_overload_is_refused_at_once_and_counted(program, bundles):
    with serving(program, bundles, waiting=1, deadline=0.1) as service:
        with service.models.places:  # the one place is taken
            status, answer, headers = ask(service, "/predict", {"inputs": digit()})
        assert (status, headers["Retry-After"]) == (503, "1")
        assert "waiting" in answer["error"]
        with service.models.turn:  # another computes, for longer than the deadline
            assert ask(service, "/predict", {"inputs": digit()})[0] == 503
        assert ask(service, "/predict", {"inputs": digit()})[0] == 200
        assert "tinytorch_requests_rejected_total 2\n" in ask(service, "/metrics")[1]


def test_a_text_that_takes_too_long_is_given_up(program, bundles):
    with serving(program, bundles, deadline=0.0) as service:
        status, answer, _ = ask(service, "/generate", {"prompt": "Hello!"})
        assert status == 503
        assert "fewer tokens" in answer["error"]


def test_too_many_connections_are_refused(program, bundles):
    with serving(program, bundles, connections=1) as service:
        kept = http.client.HTTPConnection(*service.server_address, timeout=10)
        kept.request("GET", "/health")
        assert kept.getresponse().read()
        with socket.create_connection(service.server_address, timeout=10) as one_more:
            assert one_more.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
        kept.request("GET", "/health")
        assert kept.getresponse().status == 200
        kept.close()


def test_metrics_count_what_was_answered(program, bundles):
    with serving(program, bundles) as service:
        kept = http.client.HTTPConnection(*service.server_address, timeout=10)
        bodies = [b"{", json.dumps({"inputs": digit()}).encode(), b"{"]
        for body in bodies:
            kept.request("POST", "/predict", body, JSON)
            kept.getresponse().read()
        kept.request("GET", "/metrics")  # on one connection, so all before it is counted
        text = kept.getresponse().read().decode()
        kept.close()
    assert 'requests_total{route="/predict",status="400"} 2\n' in text
    assert 'requests_total{route="/predict",status="200"} 1\n' in text
    assert 'request_seconds_bucket{le="+Inf"} 3\n' in text
    assert "request_seconds_count 3\n" in text
    assert "requests_in_flight 1\n" in text  # this one
    assert "requests_rejected_total 0\n" in text


def test_a_network_is_served_once(program, bundles):
    with pytest.raises(program.bundle.BundleError, match="once"):
        program.answers.Models([bundles[0], bundles[0]], program.answers.Limits())


# As programs


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_sigterm_finishes_what_is_in_flight(folders, tmp_path):
    process = subprocess.Popen(
        [sys.executable, FOLDER / "serve.py", *map(str, folders), "--port", "0"],
        env=environment_in(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        port = int(re.search(r":(\d+);", process.stdout.readline())[1])
        body = json.dumps({"inputs": digit()}).encode()
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as idle,
            socket.create_connection(("127.0.0.1", port), timeout=10) as busy,
        ):
            head = "POST /predict HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            busy.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
            assert busy.recv(1 << 16).startswith(b"HTTP/1.1 100 ")  # it is in flight
            process.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b""
            busy.sendall(body)
            assert busy.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Stopped." in out
    assert "Traceback" not in err
    lines = [json.loads(line) for line in err.splitlines()]
    assert [(line["path"], line["status"]) for line in lines] == [("/predict", 200)]


def test_a_folder_that_is_no_bundle_is_refused(run, tmp_path):
    done = run(FOLDER / "serve.py", tmp_path / "nothing", "--port", 0)
    assert done.returncode == 2
    assert "is not a folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_load_reports_rate_and_latency(service, program):
    found = program.load.load(*service.server_address, rate=40, seconds=1)
    assert set(found["statuses"]) == {"200"}
    assert found["requests"] == found["statuses"]["200"] > 10
    assert found["p50_ms"] <= found["p90_ms"] <= found["p99_ms"] <= found["p100_ms"]


def test_latency_counts_from_when_a_request_was_due(program, bundles):
    with serving(program, bundles) as service:
        found = {}
        arguments = {"rate": 60, "seconds": 0.4, "clients": 1}
        held = threading.Thread(
            target=lambda: found.update(program.load.load(*service.server_address, **arguments))
        )
        with service.models.turn:
            held.start()
            time.sleep(0.5)  # one request is held up, and all others become due meanwhile
        held.join()
    assert found["p50_ms"] > 100
