"""The language workloads of the benchmark: from the norms to a GPT's step.

`WORKLOADS` has the form of bench.py's. Both frameworks run the same lines but for what has another name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Contest = dict[str, Callable[[], object]]  # {name of the contestant: one repetition}


def in_both(make: Callable[[Any], Callable[[], object]], tinytorch: Any, torch: Any) -> Contest:
    """The same repetition, made for each framework."""
    return {"tinytorch": make(tinytorch)} | ({"torch": make(torch)} if torch else {})


def forward_and_backward(
    make: Callable[[Any], tuple[Callable[[], Any], list[Any]]], repetitions: int
) -> Callable[[Any, Any], Contest]:
    """A contest over (function, tensors that get a gradient): the function and its backward pass."""

    def prepared(framework: Any) -> Callable[[], object]:
        framework.manual_seed(0)
        function, inputs = make(framework)
        for x in inputs:
            x.requires_grad_()
        gradient = framework.randn_like(function())

        def run() -> None:
            for _ in range(repetitions):
                for x in inputs:
                    x.grad = None
                function().backward(gradient)

        return run

    return lambda tinytorch, torch: in_both(prepared, tinytorch, torch)


def layer_norm(rows: int, size: int) -> Callable[[Any], tuple[Callable[[], Any], list[Any]]]:
    def make(framework: Any) -> tuple[Callable[[], Any], list[Any]]:
        x, weight, bias = framework.randn(rows, size), framework.ones(size), framework.zeros(size)
        F = framework.nn.functional
        return lambda: F.layer_norm(x, (size,), weight, bias), [x, weight, bias]

    return make


def softmax(framework: Any) -> tuple[Callable[[], Any], list[Any]]:
    x = framework.randn(8192, 128)
    return lambda: framework.softmax(x, -1), [x]


def gelu(framework: Any) -> tuple[Callable[[], Any], list[Any]]:
    x = framework.randn(2048, 512)
    return lambda: framework.nn.functional.gelu(x, approximate="tanh"), [x]


def cross_entropy(rows: int, classes: int) -> Callable[[Any], tuple[Callable[[], Any], list[Any]]]:
    def make(framework: Any) -> tuple[Callable[[], Any], list[Any]]:
        x, targets = framework.randn(rows, classes), framework.randint(0, classes, (rows,))
        return lambda: framework.nn.functional.cross_entropy(x, targets), [x]

    return make


def embedding(count: int, size: int) -> Callable[[Any], tuple[Callable[[], Any], list[Any]]]:
    def make(framework: Any) -> tuple[Callable[[], Any], list[Any]]:
        ids, weight = framework.randint(0, count, (16, 128)), framework.randn(count, size)
        return lambda: framework.nn.functional.embedding(ids, weight), [weight]

    return make


def attention(framework: Any) -> tuple[Callable[[], Any], list[Any]]:
    inputs = [framework.randn(16, 4, 128, 32) for _ in range(3)]
    F = framework.nn.functional
    return lambda: F.scaled_dot_product_attention(*inputs, is_causal=True), inputs


def torch_gpt(torch: Any, vocab_size: int, block_size: int, n_layer: int, n_head: int, C: int) -> Any:
    """The GPT of core/transformers.py in torch.nn, with PyTorch's fused attention."""
    nn, F = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c_attn, self.c_proj = nn.Linear(C, 3 * C), nn.Linear(C, C)

        def forward(self, x: Any) -> Any:
            B, T, _ = x.shape
            parts = self.c_attn(x).split(C, dim=2)
            q, k, v = (p.view(B, T, n_head, C // n_head).transpose(1, 2) for p in parts)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(mixed.transpose(1, 2).reshape(B, T, C))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(C), Attention(), nn.LayerNorm(C)
            self.mlp = nn.Sequential(nn.Linear(C, 4 * C), nn.GELU("tanh"), nn.Linear(4 * C, C))

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(vocab_size, C), nn.Embedding(block_size, C)
            self.h, self.ln_f = nn.ModuleList([Block() for _ in range(n_layer)]), nn.LayerNorm(C)
            self.lm_head = nn.Linear(C, vocab_size, bias=False)
            self.lm_head.weight = self.wte.weight

        def forward(self, idx: Any, targets: Any = None) -> Any:
            x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1]))
            for block in self.h:
                x = block(x)
            logits = self.lm_head(self.ln_f(x))
            if targets is None:
                return logits, None
            return logits, F.cross_entropy(logits.view(-1, vocab_size), targets.view(-1))

    return Model()


def gpt_step(tinytorch: Any, torch: Any) -> Contest:
    """Forward, cross-entropy, backward and Adam of a GPT: 4 layers, 128 features, 16 × 128 tokens."""
    from tinytorch.core.transformers import GPT, GPTConfig

    def steps(framework: Any, model: Any, **settings: Any) -> Callable[[], object]:
        framework.manual_seed(0)
        optimizer = framework.optim.Adam(model.parameters(), lr=1e-4, **settings)
        idx, targets = (framework.randint(0, 65, (16, 128)) for _ in range(2))

        def step() -> None:
            optimizer.zero_grad()
            model(idx, targets)[1].backward()
            optimizer.step()

        return step

    contest = {"tinytorch": steps(tinytorch, GPT(GPTConfig(vocab_size=65, block_size=128)))}
    if torch:
        contest["torch"] = steps(torch, torch_gpt(torch, 65, 128, 4, 4, 128))
        contest["torch fused"] = steps(torch, torch_gpt(torch, 65, 128, 4, 4, 128), fused=True)
    return contest


def generate(tinytorch: Any, torch: Any) -> Contest:
    """256 characters drawn from that GPT, one after another, without a cache of keys and values."""
    from tinytorch.core.transformers import GPT, GPTConfig

    model, prompt = (
        GPT(GPTConfig(vocab_size=65, block_size=128)),
        tinytorch.zeros(1, 1, dtype=tinytorch.int64),
    )
    contest = {"tinytorch": lambda: model.generate(prompt, 256)}
    if torch:
        other = torch_gpt(torch, 65, 128, 4, 4, 128)

        def draw() -> None:
            idx = torch.zeros(1, 1, dtype=torch.int64)
            with torch.no_grad():
                for _ in range(256):
                    p = torch.softmax(other(idx[:, -128:])[0][:, -1], -1)
                    idx = torch.cat([idx, torch.multinomial(p, 1)], 1)

        contest["torch"] = draw
    return contest


def generate_with_caches(tinytorch: Any, torch: Any) -> Contest:
    """256 characters, greedily, each computed once: keys and values stay in memory that is taken before."""
    from tinytorch.core.memoization import Decoder
    from tinytorch.core.transformers import GPT, GPTConfig

    model, prompt = (
        GPT(GPTConfig(vocab_size=65, block_size=257)),
        tinytorch.zeros(1, 1, dtype=tinytorch.int64),
    )
    decoder = Decoder(model)
    contest = {"tinytorch": lambda: decoder.generate(prompt, 256, temperature=0)}
    if torch:
        other = torch_gpt(torch, 65, 257, 4, 4, 128)
        F = torch.nn.functional

        def attend(attn: Any, x: Any, past: int, keys: Any, values: Any) -> Any:
            B, _, C = x.shape
            q, k, v = (p.view(B, 1, 4, C // 4).transpose(1, 2) for p in attn.c_attn(x).split(C, dim=2))
            keys[:, :, past : past + 1], values[:, :, past : past + 1] = k, v
            seen = slice(0, past + 1)
            mixed = F.scaled_dot_product_attention(q, keys[:, :, seen], values[:, :, seen])
            return attn.c_proj(mixed.transpose(1, 2).reshape(B, 1, C))

        def write() -> None:
            idx = torch.zeros(1, 1, dtype=torch.int64)
            caches = [[torch.zeros(1, 4, 257, 32) for _ in range(2)] for _ in range(4)]
            with torch.no_grad():
                for past in range(256):
                    x = other.wte(idx[:, -1:]) + other.wpe(torch.tensor([past]))
                    for block, (keys, values) in zip(other.h, caches, strict=True):
                        x = x + attend(block.attn, block.ln_1(x), past, keys, values)
                        x = x + block.mlp(block.ln_2(x))
                    new = other.lm_head(other.ln_f(x))[:, -1].argmax(-1, keepdim=True)
                    idx = torch.cat([idx, new], 1)

        contest["torch"] = write
    return contest


# name: (what it is, contest, repetitions that one round contains)
WORKLOADS: dict[str, tuple[str, Callable[[Any, Any], Contest], int]] = {
    "layer-norm": ("layer norm 8192 × 128", forward_and_backward(layer_norm(8192, 128), 10), 10),
    "layer-norm-wide": ("layer norm 2048 × 512", forward_and_backward(layer_norm(2048, 512), 10), 10),
    "softmax": ("softmax 8192 × 128", forward_and_backward(softmax, 10), 10),
    "gelu": ("gelu (tanh) 2048 × 512", forward_and_backward(gelu, 10), 10),
    "cross-entropy": ("cross-entropy 2048 × 65", forward_and_backward(cross_entropy(2048, 65), 20), 20),
    "cross-entropy-wide": (
        "cross-entropy 128 × 50,257",
        forward_and_backward(cross_entropy(128, 50257), 2),
        2,
    ),
    "embedding": ("embedding of 2048 tokens, 65 × 128", forward_and_backward(embedding(65, 128), 20), 20),
    "embedding-wide": ("the same, 50,000 × 64", forward_and_backward(embedding(50_000, 64), 5), 5),
    "attention": ("causal attention, 16 × 4 × 128 × 32", forward_and_backward(attention, 5), 5),
    "generate": ("256 tokens from a GPT 4 × 128, no cache", generate, 1),
    "generate-cached": ("256 tokens from a GPT 4 × 128, KV cache", generate_with_caches, 1),
    "gpt": ("GPT 4 × 128, 16 × 128 tokens, Adam step", gpt_step, 1),
}
