"""A transformer encoder that answers two questions about sequences of different lengths: padding masks."""

import math
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

dtype = torch.float64 if "--double" in sys.argv else torch.float32
PAD, VOCAB, LONGEST = 0, 8, 10


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=64):
        super().__init__()
        position = torch.arange(max_len, dtype=dtype).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2, dtype=dtype) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(max_len, d_model, dtype=dtype)
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe, persistent=False)

    def forward(self, x):
        return x + self.pe[: x.size(1)]


class EncoderLayer(nn.Module):
    def __init__(self, d_model, nhead, dim_feedforward, dropout=0.0):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(d_model, dim_feedforward), nn.Linear(dim_feedforward, d_model)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.activation = nn.ModuleDict({"relu": nn.ReLU(), "gelu": nn.GELU()})["gelu"]

    def forward(self, x, padding):
        attended, weights = self.self_attn(x, x, x, key_padding_mask=padding, need_weights=True)
        x = self.norm1(x + self.dropout(attended))
        x = self.norm2(x + self.dropout(self.linear2(self.activation(self.linear1(x)))))
        return x, weights


class Classifier(nn.Module):
    def __init__(self, d_model=16, nhead=2, layers=2):
        super().__init__()
        self.d_model = d_model
        self.embed = nn.Embedding(VOCAB, d_model, padding_idx=PAD)
        self.position = PositionalEncoding(d_model)
        self.layers = nn.ModuleList(EncoderLayer(d_model, nhead, 4 * d_model) for _ in range(layers))
        self.heads = nn.ModuleDict({"most": nn.Linear(d_model, VOCAB), "first": nn.Linear(d_model, VOCAB)})

    def forward(self, tokens):
        padding = tokens.eq(PAD)  # (B, T), True where there is nothing
        x = self.position(self.embed(tokens) * math.sqrt(self.d_model))
        for layer in self.layers:
            x, weights = layer(x, padding)
        kept = (~padding).unsqueeze(-1).to(x.dtype)
        pooled = (x * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
        seen = {"most": pooled, "first": x[:, 0]}
        return {name: head(seen[name]) for name, head in self.heads.items()}, weights


def batch(rng, n):
    """Sequences, the token that fills more than half of each, and the token it begins with."""
    tokens = torch.full((n, LONGEST), PAD, dtype=torch.long)
    most, first = rng.integers(1, VOCAB, n), rng.integers(1, VOCAB, n)
    for row in range(n):
        length = int(rng.integers(5, LONGEST + 1))
        sequence = rng.integers(1, VOCAB, length)
        sequence[rng.permutation(length)[: length // 2 + 1]] = most[row]
        sequence[0] = first[row]
        tokens[row, :length] = torch.from_numpy(sequence)
    return tokens, {"most": torch.from_numpy(most), "first": torch.from_numpy(first)}


rng = np.random.default_rng(0)
model = Classifier().to(dtype)
with torch.no_grad():
    for name, p in model.named_parameters():
        if p.dim() > 1:
            bound = math.sqrt(6 / sum(p.shape))
            p.copy_(torch.tensor(rng.uniform(-bound, bound, tuple(p.shape))))
        elif name.endswith("bias"):
            p.zero_()
    model.embed.weight[PAD].fill_(0)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 10, 1.0))

losses = []
for _ in range(80):
    tokens, targets = batch(rng, 32)
    outputs, _ = model(tokens)
    loss = sum(F.cross_entropy(outputs[name], targets[name]) for name in outputs)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    losses.append(loss.item())

model.eval()
with torch.no_grad():
    tokens, targets = batch(rng, 200)
    outputs, weights = model(tokens)
    right = {name: (outputs[name].argmax(-1) == targets[name]).to(dtype).mean().item() for name in outputs}
    on_padding = weights.masked_select(tokens.eq(PAD).unsqueeze(1).expand_as(weights)).sum().item()
    longer = F.pad(tokens, (0, 3), value=PAD)  # more padding changes nothing
    gap = (model(longer)[0]["most"] - outputs["most"]).abs().max().item()
assert gap < 1e-4
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, right: {right}, attention on padding {on_padding}")
figures = {
    "losses": losses,
    "most": right["most"],
    "first": right["first"],
    "on padding": on_padding,
    "embedding of padding": model.embed.weight[PAD].norm().item(),
    "rows of attention": weights.sum(dim=-1).mean().item(),
    "saved": len(model.state_dict()),
}
