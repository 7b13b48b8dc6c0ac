"""A small generated corpus with planted topics, documents and graded pairs: the default data, no download.

Sentences come from templates; a topic gives the nouns, verbs and places, everything else is shared. Each document has
one topic and four sentences. Pairs are scored by how much of the planted content two sentences share, from 0 to 5.
"""

from dataclasses import dataclass

import numpy as np

TOPICS: dict[str, tuple[str, str, str]] = {
    "sea": ("sailor captain whale harbor lighthouse anchor gull fisherman net tide reef ferry",
            "sailed drifted anchored rowed floated dived", "bay coast island pier shore channel"),
    "kitchen": ("cook baker oven loaf soup knife butter kettle spoon apron onion recipe",
                "baked stirred chopped boiled tasted fried", "kitchen bakery pantry counter market table"),
    "court": ("judge lawyer jury witness verdict clause contract appeal statute clerk trial plaintiff",
              "ruled argued testified signed dismissed appealed", "court chamber office registry prison bench"),
    "garden": ("gardener rose seedling spade hedge beetle orchard bloom root bee soil compost",
               "planted watered pruned bloomed sprouted dug", "garden greenhouse lawn meadow nursery bed"),
    "space": ("astronaut rocket comet telescope orbit crater satellite probe engineer planet capsule signal",
              "launched orbited landed observed circled transmitted", "station moon observatory desert pad hangar"),
    "stage": ("actor violin singer curtain audience conductor melody dancer script drum choir costume",
              "sang danced rehearsed applauded bowed performed", "theater hall stage studio balcony opera"),
}  # fmt: skip
ADJECTIVES = [
    "old",
    "young",
    "quiet",
    "bright",
    "small",
    "heavy",
    "careful",
    "famous",
    "strange",
    "patient",
    "red",
    "gentle",
]
TIMES = ["today", "yesterday", "again", "early", "slowly", "once", "twice", "later", "often", "suddenly"]
SHARED = ["the", "people", "said", "that", "it", "was", "a", "good", "day", "and", "nobody", "knew", "why"]
SENTENCES = 4  # of a document


@dataclass(frozen=True)
class Sentence:
    """Its words, and the places of nouns, verb and place among them."""

    words: tuple[str, ...]
    content: tuple[int, ...]
    topic: int


def _sentence(random: np.random.Generator, topic: int) -> Sentence:
    nouns, verbs, places = (part.split() for part in list(TOPICS.values())[topic])
    first, second = random.choice(nouns, 2, replace=False)
    words = ["the", str(random.choice(ADJECTIVES)), first, str(random.choice(verbs))]
    content = [2, 3]
    if random.random() < 0.6:
        words += ["with", "the", second]
        content.append(len(words) - 1)
    words += ["near", "the", str(random.choice(places))]
    content.append(len(words) - 1)
    if random.random() < 0.5:
        words.append(str(random.choice(TIMES)))
    if random.random() < 0.4:
        words += ["and", *SHARED[: int(random.integers(3, len(SHARED) + 1))]]
    return Sentence((*words, "."), tuple(content), topic)


def _changed(random: np.random.Generator, source: Sentence, changes: int) -> Sentence:
    """The sentence with ``changes`` of its content words exchanged for others of another topic, and a new adjective."""
    words = list(source.words)
    other = (source.topic + 1 + int(random.integers(len(TOPICS) - 1))) % len(TOPICS)
    nouns, verbs, places = (part.split() for part in list(TOPICS.values())[other])
    pools = [nouns, verbs, *([nouns] * (len(source.content) - 3)), places]
    for slot in random.permutation(len(source.content))[:changes]:
        words[source.content[slot]] = str(random.choice(pools[slot]))
    words[1] = str(random.choice(ADJECTIVES))
    return Sentence(tuple(words), source.content, source.topic)


def corpus(documents: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Texts, topics ``[N]``, document numbers ``[N]``, pairs ``[P, 2]`` and their scores ``[P]`` in [0, 5]."""
    random = np.random.default_rng(0)
    sentences = [_sentence(random, number % len(TOPICS)) for number in range(documents) for _ in range(SENTENCES)]
    topic = [s.topic for s in sentences]
    document = [n // SENTENCES for n in range(len(sentences))]
    pairs, scores = [], []
    for number in range(0, len(sentences), 8):
        source = sentences[number]
        changes = int(random.integers(len(source.content) + 1))
        pairs.append((number, len(sentences)))
        scores.append(5.0 * (1 - changes / len(source.content)))
        sentences.append(_changed(random, source, changes))
        topic.append(-1)  # a mixture has no topic
        document.append(documents + number)
    texts = [" ".join(s.words) for s in sentences]
    return texts, np.array(topic), np.array(document), np.array(pairs), np.array(scores, dtype=np.float32)


def compounds(count: int) -> list[str]:
    """Nouns, and ``count`` compounds of two or three of them with hyphens."""
    random = np.random.default_rng(0)
    nouns = [noun for words, _, _ in TOPICS.values() for noun in words.split()]
    made = ["-".join(random.choice(nouns, 2 + (number % 5 == 0), replace=False)) for number in range(count)]
    return [*dict.fromkeys(made), *nouns]
