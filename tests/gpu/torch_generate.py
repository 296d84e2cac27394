# SPDX-License-Identifier: Apache-2.0
"""Batched generation: one batch of prompts, one token each a step, caches that grow by concatenation."""

import torch_program as program

import torch
from torch_model import Decoder


def build(device):
    return Decoder(width=1024, layers=12, heads=16).to(device, torch.bfloat16).eval()


@torch.inference_mode()
def run(model, steps):
    generator = torch.Generator().manual_seed(3)
    kept = []
    for batch, prompt, answer in ((32, 256, 96), (48, 128, 96), (16, 700, 64)):
        ids = torch.randint(0, 8192, (program.scaled(batch), prompt), generator=generator).to(program.arguments.device)
        logits, past = model(ids)
        tokens = [logits[:, -1:].argmax(dim=2)]
        for _ in range(program.scaled(answer)):
            logits, past = model(tokens[-1], past)
            tokens.append(logits[:, -1:].argmax(dim=2))
            steps.done()
        kept += [torch.cat(tokens, dim=1), logits]
    return kept


program.main("batched generation", build, run)
