"""Retrievers as other people write them; tests name them as plugin_retrievers:Class."""

import os
import signal
from pathlib import Path


class Overlap:
    """Ranks by the number of shared words; appends every searched query id to $SEARCH_LOG, dies on $KILL_AT."""

    def __init__(self, bonus: float = 0.0) -> None:
        self.bonus = bonus

    def index(self, corpus):
        self.documents = [(d.id, set(d.contents.lower().split())) for d in corpus.documents()]

    def search(self, queries, k):
        log, kill_at = os.environ.get("SEARCH_LOG"), os.environ.get("KILL_AT")
        found = {}
        for query in queries:
            if query.id == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if log:
                with Path(log).open("a", encoding="utf-8") as stream:
                    stream.write(query.id + "\n")
            words = set(query.text.lower().split())
            scored = {name: len(words & own) + self.bonus for name, own in self.documents if words & own}
            found[query.id] = dict(sorted(scored.items(), key=lambda item: -item[1])[:k])
        return found


class Broken(Overlap):
    def search(self, queries, k):
        raise RuntimeError("the search server went away")


class Lying(Overlap):
    def search(self, queries, k):
        return {query.id: {"no-such-document": 1.0} for query in queries}


class Silent(Overlap):
    """Finds nothing for the first query."""

    def search(self, queries, k):
        found = super().search(queries, k)
        found.pop(queries[0].id)
        return found


class Interrupted(Overlap):
    def search(self, queries, k):
        if queries[0].id == os.environ.get("KILL_AT"):
            raise KeyboardInterrupt
        return super().search(queries, k)


not_a_retriever = 7
