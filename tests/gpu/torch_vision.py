# SPDX-License-Identifier: Apache-2.0
"""Vision on several streams: images of random size are scaled on one stream, encoded on another and joined on a third.
Tensors are handed over with events and record_stream, and dropped at once where they were made."""

import contextlib
import random

import torch_program as program

import torch
from torch import nn
from torch.nn import functional

STREAMS = 3
BATCHES = 40


def build(device):
    widths = (3, 96, 192, 384, 768)
    convolutions = []
    for before, after in zip(widths, widths[1:]):
        convolutions += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.GELU()]
    model = nn.Sequential(*convolutions, nn.Conv2d(768, 256, 1)).to(device).eval()
    lanes = [[torch.cuda.Stream() for _ in range(3)] for _ in range(STREAMS)] if program.is_cuda() else [[None] * 3]
    return model, lanes


def on(stream):
    return torch.cuda.stream(stream) if stream else contextlib.nullcontext()


def hand_over(tensor, earlier, later):
    if later is None:
        return tensor
    later.wait_stream(earlier)
    tensor.record_stream(later)
    return tensor


@torch.inference_mode()
def run(state, steps):
    model, lanes = state
    chance = random.Random(11)
    generator = torch.Generator().manual_seed(3)
    results = []
    for batch in range(program.scaled(BATCHES)):
        scale, encode, join = lanes[batch % len(lanes)]
        features = []
        for _ in range(chance.randint(2, 6)):
            height, width = chance.randint(240, 900), chance.randint(320, 1200)
            pixels = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=generator)
            with on(scale):
                image = pixels.to(program.arguments.device, non_blocking=True).float() / 255
                image = functional.interpolate(
                    image, size=(height // 32 * 32 + 64, width // 32 * 32 + 64), mode="nearest"
                )
                image = hand_over(image, scale, encode)
            with on(encode):
                feature = hand_over(model(image), encode, join)
            del image, pixels
            with on(join):
                features.append(functional.adaptive_avg_pool2d(feature, 1).flatten(1))
            del feature
        with on(join):
            results.append(torch.stack(features).sum(dim=0))
        del features
        if batch % 8 == 7:
            steps.done()
    program.synchronize()
    steps.done()
    return results


program.main("vision, handed between streams", build, run)
