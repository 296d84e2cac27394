# SPDX-License-Identifier: Apache-2.0
"""LLM serving: requests of random length come and go, each with key-value caches that grow by concatenation."""

import random

import torch_program as program

import torch
from torch_model import Decoder

ACTIVE = 24
REQUESTS = 44


def build(device):
    return Decoder(width=2048, layers=6, heads=16).to(device, torch.bfloat16).eval()


@torch.inference_mode()
def run(model, steps):
    chance = random.Random(7)
    device = program.arguments.device
    waiting = [
        (chance.randint(200, 1200), chance.randint(16, 80)) for _ in range(program.scaled(REQUESTS))
    ]  # prompt, answer
    generator = torch.Generator().manual_seed(3)
    active, answers = [], []
    while waiting or active:
        while waiting and len(active) < program.scaled(ACTIVE):
            prompt, answer = waiting.pop()
            ids = torch.randint(0, 8192, (1, prompt), generator=generator).to(device)
            logits, past = model(ids)
            active.append([past, [logits[:, -1:].argmax(dim=2)], answer])
        for request in active:
            logits, request[0] = model(request[1][-1], request[0])
            request[1].append(logits[:, -1:].argmax(dim=2))
        answers += [torch.cat(r[1], dim=1) for r in active if len(r[1]) >= r[2]]
        active = [r for r in active if len(r[1]) < r[2]]
        steps.done()
    return answers


program.main("llm serving", build, run)
