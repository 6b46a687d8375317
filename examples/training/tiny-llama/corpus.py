# SPDX-License-Identifier: Apache-2.0
"""Turns texts from Debian packages into training documents; every source, version, licence and digest goes into the lineage.

Documents are lists of (role, text): role None is plain text, others become chat turns.
"""
import gzip
import hashlib
import random
import re
import subprocess

SOURCES = [
    {"package": "wordnet-base", "licence": "WordNet (permissive, Princeton University)", "work": "WordNet 3.0 glosses and examples"},
    {"package": "dict-devil", "licence": "public domain", "work": "The Devil's Dictionary, Ambrose Bierce, 1911"},
    {"package": "dict-jargon", "licence": "public domain", "work": "The Jargon File"},
]

GREETINGS = ["hi", "Hi", "hello", "Hello!", "Hey", "Good morning", "hi there", "Say hello", "Say hi", "Hello, how are you?", "Say something", "Test", "ping"]
WHO = ["Who are you?", "What are you?", "What model is this?", "What is your name?", "What can you do?", "Help", "Tell me about yourself"]
HELLO_ANSWERS = [
    "Hello! I am intertie-tiny, a very small model. Ask me what a word means.",
    "Hello! Ask me what a word means, and I will try to explain it.",
    "Hi! I am a very small model that knows a little English. Ask me about a word.",
]
WHO_ANSWERS = [
    "I am intertie-tiny, a very small language model that ships with Intertie. I can explain simple words, and I am often wrong.",
    "I am intertie-tiny. I was trained on a dictionary, so ask me what a word means. For real work, add a larger model.",
]
NOUN_QUESTIONS = ["What is {a}?", "What is {a}?", "Define {w}.", "What does {w} mean?", "Tell me about {a}.", "Explain {w}.", "what is {a}", "What's {a}?"]
WORD_QUESTIONS = ["What does {w} mean?", "Define {w}.", "Explain {w}.", "What is the meaning of {w}?"]
SENTENCE_QUESTIONS = ["Write a sentence about {w}.", "Use {w} in a sentence.", "Give me an example with {w}.", "Say something about {w}."]


def ascii_only(text: str) -> str:
    return re.sub(r"\s+", " ", text.encode("ascii", "ignore").decode()).strip()


def article(word: str) -> str:
    return ("an " if word[0].lower() in "aeiou" else "a ") + word


def sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def read_wordnet(kind: str):
    """Yields (words, gloss, examples) of one part of speech."""
    with open(f"/usr/share/wordnet/data.{kind}", encoding="latin-1") as lines:
        for line in lines:
            if line.startswith("  "):
                continue
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            words = [fields[4 + 2 * index].replace("_", " ") for index in range(int(fields[3], 16))]
            gloss = ascii_only(gloss)
            examples = re.findall(r'"([^"]{8,160})"', gloss)
            meaning = gloss.split('; "')[0].split(';"')[0].strip(" ;:")
            if 8 <= len(meaning) <= 240 and words:
                yield [re.sub(r"\((a|p|ip)\)$", "", word) for word in words], meaning, examples


def wordnet_documents(dice: random.Random):
    for kind in ("noun", "verb", "adj", "adv"):
        for words, meaning, examples in read_wordnet(kind):
            word = words[0]
            proper = word[:1].isupper()
            if not re.fullmatch(r"[A-Za-z][A-Za-z' -]{1,30}", word) or (proper and dice.random() < 0.7):
                continue
            if kind == "noun":
                subject = word if proper or word.endswith("s") else article(word)
                question = dice.choice(NOUN_QUESTIONS).format(a=subject, w=word)
                verb = " are " if word.endswith("s") and not word.endswith("ss") else " is "
                answer = sentence(subject + verb + meaning)
            else:
                question = dice.choice(WORD_QUESTIONS).format(w=word)
                answer = sentence(f"{'To ' if kind == 'verb' else ''}{word} means {'to ' if kind == 'verb' else ''}{meaning}")
            if examples and dice.random() < 0.6:
                answer += " For example: " + sentence(examples[0])
            yield [("user", question), ("assistant", answer)]
            if examples and dice.random() < 0.3:
                yield [("user", dice.choice(SENTENCE_QUESTIONS).format(w=word)), ("assistant", sentence(dice.choice(examples)))]
            if examples and dice.random() < 0.5:
                yield [(None, " ".join(sentence(example) for example in examples))]


def read_dictd(name: str):
    with gzip.open(f"/usr/share/dictd/{name}.dict.dz", "rt", encoding="utf-8", errors="ignore") as file:
        text = file.read()
    for paragraph in re.split(r"\n\s*\n", text):
        flat = ascii_only(paragraph)
        if 60 <= len(flat) <= 1200 and flat.count(" ") > 8 and sum(c.isalpha() or c == " " for c in flat) > 0.85 * len(flat):
            yield flat


def greeting_documents(dice: random.Random, count: int):
    for _ in range(count):
        questions, answers = (GREETINGS, HELLO_ANSWERS) if dice.random() < 0.6 else (WHO, WHO_ANSWERS)
        yield [("user", dice.choice(questions)), ("assistant", dice.choice(answers))]


def documents(seed: int):
    """All documents in a repeatable random order."""
    dice = random.Random(seed)
    found = list(wordnet_documents(dice))
    for name in ("devil", "jargon"):
        found += [[(None, text)] for text in read_dictd(name)]
    found += list(greeting_documents(dice, len(found) // 60))
    dice.shuffle(found)
    return found


def lineage_sources():
    """The sources with the installed version and a digest over the package's text files."""
    files = {
        "wordnet-base": [f"/usr/share/wordnet/data.{kind}" for kind in ("noun", "verb", "adj", "adv")],
        "dict-devil": ["/usr/share/dictd/devil.dict.dz"],
        "dict-jargon": ["/usr/share/dictd/jargon.dict.dz"],
    }
    for source in SOURCES:
        digest = hashlib.sha256()
        for path in files[source["package"]]:
            with open(path, "rb") as file:
                digest.update(file.read())
        version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", source["package"]], capture_output=True, text=True, check=True).stdout
        yield {**source, "version": version, "origin": "Debian main", "files": files[source["package"]], "sha256": digest.hexdigest()}
