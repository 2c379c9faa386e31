"""What the service of M06 answers: the networks behind it, their limits, and what a request may say."""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from bundle import Bundle, BundleError
from models import normalization

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
