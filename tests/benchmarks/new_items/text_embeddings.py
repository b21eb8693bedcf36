"""Embeddings of texts without a trained model: hashed character n-grams and a truncated singular value decomposition.

The benchmarks use them where no text embedder is at hand. A text is a set of the n-grams of its words, and each n-gram
has the weight of its rarity (idf).
"""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array
from scipy.sparse.linalg import svds

from encoder.data.event_log import EventLog
from encoder.data.feature_extraction import item_features
from encoder.data.features import BRAND, CATEGORY
from encoder.data.vocabulary import Vocabulary
from encoder.item_embeddings.embeddings import ItemEmbeddings

LENGTHS = (3, 4, 5)  # of the n-grams, in characters
BUCKETS = 2**18
WIDTH = 64


def embed(texts: list[str], width: int = WIDTH, seed: int = 0) -> NDArray[np.float32]:
    """Return the (n, width) vectors of n texts, with length 1 or less."""
    rows, columns = [], []
    for row, text in enumerate(texts):
        grams = {f" {word} "[at : at + n] for word in text.lower().split() for n in LENGTHS for at in range(len(word))}
        codes = sorted({crc32(gram.encode()) % BUCKETS for gram in grams})
        rows += [row] * len(codes)
        columns += codes
    counts = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(texts), BUCKETS))
    frequency = np.bincount(columns, minlength=BUCKETS)
    weighted = counts @ diags_array(np.log((1 + len(texts)) / (1 + frequency)) + 1)
    length = np.sqrt(weighted.multiply(weighted).sum(axis=1))
    normalised = diags_array(1 / np.maximum(np.asarray(length).ravel(), 1e-12)) @ weighted
    start = np.random.default_rng(seed).normal(size=min(normalised.shape))  # the same texts give the same vectors
    left, values, _ = svds(normalised, k=min(width, len(texts) - 1), v0=start)
    vectors: NDArray[np.float32] = (left * values).astype(np.float32)
    return vectors


def category_texts(log: EventLog) -> dict[str, str]:
    """Return the text of each item of a log: the words of its category's path and its brand, both the latest known."""
    vocabulary = Vocabulary.from_log(log, 1)
    features = item_features(log, vocabulary)
    paths, brands = ["", *vocabulary.categories], ["", *vocabulary.brands]
    return {
        item: f"{paths[category].replace('.', ' ').replace('_', ' ')} {brands[brand]}".strip()
        for item, category, brand in zip(
            vocabulary.items, features[CATEGORY][1:].tolist(), features[BRAND][1:].tolist(), strict=True
        )
    }


def text_embeddings(texts: dict[str, str]) -> ItemEmbeddings:
    """Return the embeddings of the items that have a text. texts: item id -> text."""
    items = [item for item, text in texts.items() if text]
    return ItemEmbeddings("text", items, embed([texts[item] for item in items]))
