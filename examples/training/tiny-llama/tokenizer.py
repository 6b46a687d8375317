# SPDX-License-Identifier: Apache-2.0
"""A small byte-level BPE tokenizer whose vocabulary llama.cpp's `gpt-2` pre-tokenizer reproduces exactly for ASCII text."""
import re
from collections import Counter, defaultdict

SPECIALS = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
END, USER, ASSISTANT, SYSTEM = range(4)
ROLES = {"user": USER, "assistant": ASSISTANT, "system": SYSTEM}
# GPT-2's pattern with \p{L} and \p{N} written out for ASCII.
WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def byte_names():
    """GPT-2's printable stand-in for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, extra = {}, 0
    for byte in range(256):
        names[byte] = chr(byte) if byte in plain else chr(256 + extra)
        extra += byte not in plain
    return names


BYTES = byte_names()


def spell(word: str):
    return tuple(BYTES[byte] for byte in word.encode())


def learn_merges(texts, count: int):
    """The `count` most frequent pair merges, found with incremental pair counts."""
    words = Counter()
    for text in texts:
        words.update(WORDS.findall(text))
    spelled = [list(spell(word)) for word in words]
    weights = list(words.values())
    pairs, where = Counter(), defaultdict(set)
    for index, parts in enumerate(spelled):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += weights[index]
            where[pair].add(index)
    merges = []
    while len(merges) < count and pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for index in list(where[best]):
            parts = spelled[index]
            for pair in zip(parts, parts[1:]):
                pairs[pair] -= weights[index]
                where[pair].discard(index)
            merged, at = [], 0
            while at < len(parts):
                if at + 1 < len(parts) and (parts[at], parts[at + 1]) == best:
                    merged.append(parts[at] + parts[at + 1])
                    at += 2
                else:
                    merged.append(parts[at])
                    at += 1
            spelled[index] = merged
            for pair in zip(merged, merged[1:]):
                pairs[pair] += weights[index]
                where[pair].add(index)
        del pairs[best]
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(merge) for merge in merges]
        self.tokens = SPECIALS + [BYTES[byte] for byte in range(256)] + ["".join(merge) for merge in self.merges]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        self.ranks = {merge: rank for rank, merge in enumerate(self.merges)}
        self.cache = {}

    def word(self, word: str):
        if word not in self.cache:
            parts = list(spell(word))
            while len(parts) > 1:
                ranked = [(self.ranks.get(pair, 1 << 30), at) for at, pair in enumerate(zip(parts, parts[1:]))]
                rank, at = min(ranked)
                if rank == 1 << 30:
                    break
                parts[at : at + 2] = [parts[at] + parts[at + 1]]
            self.cache[word] = [self.ids[part] for part in parts]
        return self.cache[word]

    def encode(self, text: str):
        return [token for word in WORDS.findall(text) for token in self.word(word)]

    def encode_document(self, turns):
        """Chat turns as `<|role|>text<|end|>`; plain text ends with `<|end|>` too."""
        tokens = []
        for role, text in turns:
            tokens += ([] if role is None else [ROLES[role]]) + self.encode(text) + [END]
        return tokens
