# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF v3 file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): f16 matrices, f32 norms, BPE tokenizer, chat template."""
import struct

import torch

from tokenizer import END, SPECIALS

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
ALIGNMENT = 32
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def field(name: str, kind: int, value) -> bytes:
    head = text(name) + struct.pack("<I", kind)
    if kind == STRING:
        return head + text(value)
    if kind == ARRAY:
        item, values = value
        body = b"".join(text(each) if item == STRING else struct.pack("<i", each) for each in values)
        return head + struct.pack("<IQ", item, len(values)) + body
    return head + struct.pack({U32: "<I", F32: "<f", BOOL: "<?"}[kind], value)


def metadata(shape, tokenizer):
    yield field("general.architecture", STRING, "llama")
    yield field("general.name", STRING, "intertie-tiny")
    yield field("general.license", STRING, "apache-2.0")
    yield field("general.file_type", U32, 1)
    for name, value in {
        "vocab_size": shape.vocabulary,
        "context_length": shape.context,
        "embedding_length": shape.width,
        "block_count": shape.layers,
        "feed_forward_length": shape.hidden,
        "rope.dimension_count": shape.head,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
    }.items():
        yield field(f"llama.{name}", U32, value)
    yield field("llama.attention.layer_norm_rms_epsilon", F32, shape.epsilon)
    yield field("llama.rope.freq_base", F32, shape.rope_base)
    yield field("tokenizer.ggml.model", STRING, "gpt2")
    yield field("tokenizer.ggml.pre", STRING, "gpt-2")
    yield field("tokenizer.ggml.tokens", ARRAY, (STRING, tokenizer.tokens))
    # 3 = control, 1 = normal
    yield field("tokenizer.ggml.token_type", ARRAY, (I32, [3 if token in SPECIALS else 1 for token in tokenizer.tokens]))
    yield field("tokenizer.ggml.merges", ARRAY, (STRING, [f"{left} {right}" for left, right in tokenizer.merges]))
    yield field("tokenizer.ggml.bos_token_id", U32, END)
    yield field("tokenizer.ggml.eos_token_id", U32, END)
    yield field("tokenizer.ggml.add_bos_token", BOOL, False)
    yield field("tokenizer.chat_template", STRING, CHAT_TEMPLATE)


def tensors(model):
    yield "token_embd.weight", model.embedding.weight
    for index, block in enumerate(model.blocks):
        for name, module in {
            "attn_norm": block.attn_norm, "attn_q": block.q, "attn_k": block.k, "attn_v": block.v, "attn_output": block.o,
            "ffn_norm": block.ffn_norm, "ffn_gate": block.gate, "ffn_up": block.up, "ffn_down": block.down,
        }.items():
            yield f"blk.{index}.{name}.weight", module.weight
    yield "output_norm.weight", model.norm.weight


def write_gguf(path: str, model, tokenizer) -> None:
    """The output matrix is left out: llama.cpp then ties it to token_embd."""
    fields = list(metadata(model.shape, tokenizer))
    infos, bodies, offset = [], [], 0
    for name, tensor in tensors(model):
        half = tensor.dim() == 2
        data = tensor.detach().to(torch.float16 if half else torch.float32).contiguous().numpy().tobytes()
        sizes = list(reversed(tensor.shape))
        infos.append(text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, 1 if half else 0, offset))
        padding = -len(data) % ALIGNMENT
        bodies.append(data + b"\0" * padding)
        offset += len(data) + padding
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(fields)) + b"".join(fields) + b"".join(infos)
    with open(path, "wb") as file:
        file.write(head + b"\0" * (-len(head) % ALIGNMENT) + b"".join(bodies))
