# SPDX-License-Identifier: Apache-2.0
"""A decoder of random weights, of plain matrix products: deterministic, and as hungry for temporaries as real ones."""

import math

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x, past):
        batch, length, width = x.shape
        q, k, v = (
            t.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for t in self.query_key_value(x).split(width, dim=2)
        )
        if past is not None:
            k = torch.cat((past[0], k), dim=2)
            v = torch.cat((past[1], v), dim=2)
        weights = q @ k.transpose(2, 3) / math.sqrt(width // self.heads)
        if length > 1:
            first = k.shape[2] - length
            mask = torch.ones(length, k.shape[2], dtype=torch.bool, device=x.device).tril(first)
            weights = weights.masked_fill(~mask, float("-inf"))
        y = functional.softmax(weights, dim=3) @ v
        return self.out(y.transpose(1, 2).reshape(batch, length, width)), (k, v)


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, past):
        y, present = self.attention(self.attention_norm(x), past)
        x = x + y
        return x + self.down(functional.gelu(self.up(self.feed_norm(x)))), present


class Decoder(nn.Module):
    def __init__(self, width=1024, layers=8, heads=16, vocabulary=8192, positions=2048):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids, past=None):
        """Logits, and the keys and values of each layer so far: ids continue those of `past`."""
        start = past[0][0].shape[2] if past else 0
        x = self.tokens(ids) + self.positions(torch.arange(start, start + ids.shape[1], device=ids.device))
        present = []
        for index, layer in enumerate(self.layers):
            x, kept = layer(x, past[index] if past else None)
            present.append(kept)
        return self.head(self.norm(x)), present
