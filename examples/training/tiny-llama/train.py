# SPDX-License-Identifier: Apache-2.0
"""Trains the tiny llama and exports GGUF and lineage. Repeatable by seed; stops at --steps or --minutes, whichever is first.

    python3 train.py --out build               about 50 minutes on two cores
    python3 train.py --out build --smoke       20 steps, to see that everything works
"""
import argparse
import hashlib
import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F

from corpus import documents, lineage_sources
from gguf import write_gguf
from model import Llama, Shape
from tokenizer import SPECIALS, Tokenizer, learn_merges


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="build")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--minutes", type=float, default=50, help="stop after this much wall time; the schedule follows it")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.steps, arguments.minutes, arguments.batch = 20, 1, 4
    return arguments


def tokenise(seed: int, shape: Shape):
    found = documents(seed)
    sample = [text for turns in found[:40000] for _, text in turns]
    tokenizer = Tokenizer(learn_merges(sample, shape.vocabulary - 256 - len(SPECIALS)))
    stream = [token for turns in found for token in tokenizer.encode_document(turns)]
    return tokenizer, torch.tensor(stream, dtype=torch.int64)


def batches(stream, shape: Shape, size: int, generator):
    """Random windows: mostly half the context (attention is what costs here), every sixth batch the whole of it."""
    step = 0
    while True:
        length, count = (shape.context, size) if step % 6 == 5 else (shape.context // 2, size * 2)
        starts = torch.randint(0, len(stream) - length - 1, (count,), generator=generator)
        yield torch.stack([stream[start : start + length + 1] for start in starts])
        step += 1


def loss_of(model, window):
    logits = model(window[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model, stream, shape: Shape):
    windows = stream[: (len(stream) // (shape.context + 1)) * (shape.context + 1)].view(-1, shape.context + 1)[:24]
    return sum(loss_of(model, window[None]).item() for window in windows) / len(windows)


def fit(model, stream, shape: Shape, arguments):
    """Returns the loss curve: [{step, loss, seconds}]."""
    decay = [p for p in model.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=arguments.rate, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(arguments.seed)
    curve, began = [], time.monotonic()
    for step, window in enumerate(batches(stream, shape, arguments.batch, generator)):
        elapsed = time.monotonic() - began
        progress = max(step / arguments.steps, elapsed / (60 * arguments.minutes))
        if progress >= 1:
            return curve
        warm = min(1.0, (step + 1) / 50)
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))
        loss = loss_of(model, window)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 10 == 0:
            curve.append({"step": step, "loss": round(loss.item(), 4), "seconds": round(elapsed)})
            rate = (step + 1) * arguments.batch * shape.context / max(elapsed, 1e-9)
            left = elapsed / max(progress, 1e-9) * (1 - progress)
            print(f"step {step} loss {loss.item():.3f} {rate:.0f} tokens/s left {left / 60:.1f} min", file=sys.stderr, flush=True)
    return curve


def digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def main():
    arguments = parse_arguments()
    os.makedirs(arguments.out, exist_ok=True)
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    shape = Shape()
    tokenizer, stream = tokenise(arguments.seed, shape)
    cut = len(stream) * 99 // 100
    model = Llama(shape)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{count} parameters, {len(stream)} tokens of text", file=sys.stderr, flush=True)
    began = time.monotonic()
    curve = fit(model, stream[:cut], shape, arguments)
    model.eval()
    gguf = os.path.join(arguments.out, "intertie-tiny.gguf")
    write_gguf(gguf, model, tokenizer)
    here = os.path.dirname(os.path.abspath(__file__))
    steps = curve[-1]["step"] + 1
    lineage = {
        "model": "intertie-tiny",
        "licence": "Apache-2.0",
        "gguf_sha256": digest(gguf),
        "parameters": count,
        "sources": list(lineage_sources()),
        "scripts_sha256": {name: digest(os.path.join(here, name)) for name in sorted(os.listdir(here)) if name.endswith(".py")},
        "seed": arguments.seed,
        "shape": shape.__dict__,
        "training": {
            "text_tokens": cut, "tokens_seen": steps * arguments.batch * shape.context, "steps": steps, "batch": arguments.batch, "rate": arguments.rate,
            "seconds": round(time.monotonic() - began), "threads": arguments.threads, "torch": torch.__version__,
            "final_loss": curve[-1]["loss"], "held_out_loss": round(held_out_loss(model, stream[cut:], shape), 4), "curve": curve[::5],
        },
    }
    with open(os.path.join(arguments.out, "lineage.json"), "w") as file:
        json.dump(lineage, file, indent=1)
    print(json.dumps({"gguf": gguf, "held_out_loss": lineage["training"]["held_out_loss"]}))


if __name__ == "__main__":
    main()
