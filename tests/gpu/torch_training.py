# SPDX-License-Identifier: Apache-2.0
"""Training of a small language model: batches of random length, gradients accumulated over a changing number of
micro-batches, AdamW, and a validation now and then."""

import random

import torch_program as program

import torch
from torch.nn import functional
from torch_model import Decoder


def build(device):
    return Decoder(width=768, layers=8, heads=12, positions=1024).to(device)


def loss_of(model, ids):
    logits, _ = model(ids[:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def run(start, steps):
    chance = random.Random(5)
    generator = torch.Generator().manual_seed(3)
    torch.manual_seed(1)
    model = build("cpu") if not program.is_cuda() else Decoder(width=768, layers=8, heads=12, positions=1024).cuda()
    model.load_state_dict(start.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    losses = []

    def batch(count):
        return torch.randint(0, 8192, (count, chance.randint(128, 768)), generator=generator).to(
            program.arguments.device
        )

    for step in range(program.scaled(30)):
        optimizer.zero_grad(set_to_none=True)
        for _ in range(chance.randint(1, 3)):
            with torch.autocast(program.arguments.device.split(":")[0], dtype=torch.bfloat16):
                loss = loss_of(model, batch(8))
            loss.backward()
            losses.append(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 10 == 9:
            with torch.inference_mode():
                losses.append(loss_of(model, batch(16)))
        steps.done()
    return [torch.stack(losses), *(p.detach() for p in model.parameters())]


program.main("training", build, run)
