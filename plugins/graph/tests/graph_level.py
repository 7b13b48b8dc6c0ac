"""The graph domain with whole graphs as its default samples, so that the conformance kit looks at that level too."""

from dataclasses import replace

from unlabeled.plugins.words import Domain, hookimpl
from unlabeled_graph import plugin

NODES_ALONE = {("encoder", "table")}  # has a vector for each node of one graph


@hookimpl
def unlabeled_domain() -> Domain:
    domain = plugin.unlabeled_domain()
    rows = tuple(row for row in domain.components if (row.kind, row.name) not in NODES_ALONE)
    return replace(domain, name="graph_level", components=rows, defaults={**domain.defaults, "data": "motifs"})
