"""Components name a setting that they cannot work with; data and encoder are the domain's defaults."""

from functools import cache
from typing import Any

import pytest

from unlabeled.build import make
from unlabeled.plugins.registry import registry

# domain: kind, component, settings, and what the message says of them
WRONG: dict[str, list[tuple[str, str, dict[str, Any], str]]] = {
    "audio": [
        ("encoder", "vit", {"patch": (7, 4)}, "must divide 40"),
        ("encoder", "vit", {"patch": (0, 400)}, "patch has 400 frames"),
        ("encoder", "vit", {"width": 50, "heads": 4}, "heads a divisor"),
        ("encoder", "cnn", {"kernel": 4}, "must be odd"),
        ("encoder", "cnn", {"patch": (8, 2)}, "all mel bands"),
        ("encoder", "conformer", {"kernel": 4}, "the kernel odd"),
        ("encoder", "mamba", {"depth": 0}, "depth is 0"),
        ("encoder", "wav2vec2", {"kernels": (3, 3), "strides": (2,)}, "as many of each"),
        ("encoder", "wav2vec2", {"width": 30, "heads": 4}, "width 30"),
        ("decoder", "transformer", {"decoder_width": 50, "heads": 4}, "multiple of heads"),
        ("mask", "scheduled", {"least": 0}, "least is 0"),
        ("baseline", "mfcc", {"count": 41}, "40 mel bands have 1 to 40 coefficients"),
        ("baseline", "log_mel_segments", {"count": 0}, "count is 0"),
        ("tokenizer", "units", {"count": 1}, "count is 1"),
        ("probe", "units", {"count": 1}, "count is 1"),
        ("tokenizer", "units", {"coefficients": 99}, "has 40 bands"),
        ("tokenizer", "random_projection", {"books": 0}, "books is 0"),
        ("tokenizer", "rvq", {"entries": 1}, "entries is 1"),
        ("views", "wave", {"scale": (0.0, 1.0)}, "scale is"),
        ("views", "wave", {"snr": (9.0, 1.0)}, "snr is"),
        ("views", "wave", {"noise": 2.0}, "noise is 2"),
        ("views", "wave", {"count": 0}, "count is 0"),
        ("views", "wave", {"decay": (0.0, 1.0)}, "decay is"),
        ("views", "mixed", {"level": (5.0, -5.0)}, "level is"),
        ("views", "atst", {"time": (0.0, 1.0)}, "time is"),
        ("views", "atst", {"mix": 1.0}, "mix is 1"),
    ],
    "graph": [
        ("data", "blocks", {"fanout": ()}, "fanout"),
        ("data", "blocks", {"held_links": 0.5}, "held_links is 0.5"),
        ("data", "blocks", {"nodes": 3}, "nodes 3"),
        ("data", "blocks", {"mixing": 2.0}, "mixing 2.0"),
        ("data", "blocks", {"turn": -1}, "turn -1"),
        ("encoder", "gat", {"width": 6, "heads": 4}, "width 6 is not a multiple of heads 4"),
        ("encoder", "gat", {"attention_dropout": 1.0}, "attention_dropout is 1.0"),
        ("encoder", "gps", {"width": 6}, "a multiple of heads"),
        ("encoder", "gps", {"dropout": -0.1}, "dropout is -0.1"),
        ("encoder", "gps", {"walks": -1}, "walks is -1"),
        ("encoder", "gcn", {"depth": 0}, "depth is 0; it must be at least 1"),
        ("encoder", "gcn", {"inner": -1}, "inner is -1"),
        ("encoder", "gcn", {"inner": 3, "width": 4, "jump": "sum"}, "needs layers of one width, found 3 and 4"),
        ("encoder", "mlp", {"dropout": 1.0}, "dropout is 1.0"),
        ("decoder", "mlp", {"hidden": -1}, "hidden is -1"),
        ("decoder", "gin", {"hidden": -1}, "hidden is -1"),
        ("decoder", "gat", {"attention_dropout": 1.0}, r"attention_dropout is 1\.0"),
        ("decoder", "gat", {"gain": -1.0}, "gain is -1"),
        ("mask", "nodes", {"ratio": 1.0}, "ratio is 1.0"),
        ("mask", "nodes", {"replace": 1.0}, "replace is 1.0"),
        ("views", "adaptive", {"most": 0.0}, "most in"),
        ("views", "perturb", {"strengths": (0.1,)}, "at least two shares"),
        ("views", "perturb", {"rows": 1.0}, "rows is 1.0"),
        ("views", "thinned", {"links": 1.0}, "links is 1.0"),
        ("views", "augment", {"links": (0.2, 1.0)}, "links is"),
        ("views", "augment", {"length": 0}, "length is 0"),
        ("views", "chosen", {"choices": ("knots",)}, "each must be one of nodes, links"),
        ("views", "chosen", {"strength": 0.0}, "strength is 0.0"),
        ("views", "plain", {"views": 0}, "views is 0"),
        ("views", "plain", {"positions": -1}, "positions -1"),
        ("views", "plain", {"links": -0.1}, "links is"),
        ("views", "shuffle", {"alpha": 1.0}, "alpha 1.0"),
    ],
    "medical3d": [
        ("select", "near_duplicates", {"threshold": 0}, "threshold is 0"),
        ("encoder", "segresnet", {"width": 12}, "multiple of 8"),
        ("encoder", "swin_unetr", {"width": 20}, "multiple of 12"),
        ("encoder", "vit", {"patch": (5,)}, "does not divide"),
        ("encoder", "vit", {"patch": (4, 4)}, "one or three"),
        ("encoder", "vit", {"width": 25, "heads": 2}, "not a multiple of heads"),
        ("encoder", "vit", {"mlp": 0.0}, "mlp above 0"),
        ("probe", "voxels", {"steps": 0}, "steps 0"),
        ("baseline", "intensity_histogram", {"bins": 1}, "at least 2 bins"),
        ("baseline", "raw_patches", {"side": 0}, "must be at least 1"),
        ("views", "places", {"size": (4, 4)}, "one or three"),
        ("views", "places", {"tilt": 50.0}, "tilt is 50"),
        ("views", "places", {"stretch": 0.6}, "stretch"),
        ("views", "places", {"reach": -1.0}, "reach"),
        ("views", "voco", {"grid": (1, 1)}, "at least two base crops"),
        ("views", "fusion", {"levels": 0}, "at least 1"),
        ("views", "fusion", {"least": 40}, "give a least below the most"),
        ("views", "simclr", {"overlap": 1.5}, "overlap is 1.5"),
        ("views", "simclr", {"extent": (1.0, 2.0)}, "one or three numbers of mm"),
        ("views", "plain", {"scale": (2.0, 1.0)}, "two rising factors"),
        ("views", "multicrop", {"share": 1.0}, "between 0 and 1"),
        ("views", "genesis", {"density": 0.0}, "density is 0"),
    ],
    "text": [
        ("encoder", "modern", {"width": 30, "heads": 4}, "multiple of heads"),
        ("encoder", "modern", {"window": 3}, "window even"),
        ("encoder", "modern", {"dropout": 1.0}, r"dropout is 1\.0"),
        ("encoder", "modern", {"depth": 0}, "depth 0"),
        ("mask", "bert", {"ratio": 1.0}, "ratio is 1.0"),
        ("mask", "bert", {"hide": 0.8, "random": 0.3}, "more than 1 together"),
        ("mask", "whole_word", {"ratio": 0.0}, "ratio is 0.0"),
        ("mask", "multi_block", {"count": 0}, "count 0"),
        ("mask", "rts", {"ratio": 2.0}, "ratio is 2.0"),
        ("mask", "c_rts", {"clusters": 1000}, "clusters is 1000"),
        ("baseline", "tfidf", {"axes": 1}, "axes is 1"),
        ("baseline", "random_vectors", {"width": 0}, "width is 0"),
        ("baseline", "minilm", {"length": 2}, "length is 2"),
        ("views", "neighbors", {"near": 25, "hard": 20}, "hard comes after near"),
        ("views", "spans", {"least": 0.9, "most": 0.5}, "the smaller comes first"),
        ("views", "spans", {"leave_out": 1.0}, r"leave_out is 1\.0"),
        ("views", "pairs", {"share": 1.0}, r"share is 1\.0"),
    ],
    "vision": [
        ("mask", "block", {"ratio": 1.5}, r"ratio is 1\.5; it must lie between 0 and 1"),
        ("mask", "grid", {"cell": 1}, "cell is 1"),
        ("views", "simclr", {"flip": 1.5}, r"flip is 1.5; it must be in \[0, 1\]"),
        ("views", "simclr", {"scale": (0.5, 0.2)}, "scale is 0.5, 0.2; it must be two rising numbers"),
        ("views", "byol", {"hue": 0.7}, "hue at most 0.5"),
        ("views", "byol", {"blur": (0.1, -1.0)}, "blur is -1.0"),
        ("views", "weak", {"ratio": (0.0, 1.0)}, "ratio is 0.0, 1.0"),
        ("views", "multicrop", {"locals": -1}, "locals is -1"),
        ("views", "plain", {"scale": (0.2, 1.2)}, "scale is 0.2, 1.2"),
        ("views", "simclr", {"kernel": 0.0}, "kernel is 0.0"),
        ("views", "clean", {"enlarge": 0.9}, "enlarge is 0.9"),
    ],
}  # fmt: skip


@cache
def wired(domain: str) -> dict[str, Any]:
    defaults = registry().domain(domain).defaults
    given: dict[str, Any] = {"path": None, "max_bad": 0.0, "dim": 4, "width": 7}
    given["spec"] = make(domain, "data", defaults["data"], {}, given).spec
    return given | {"encoder": make(domain, "encoder", defaults["encoder"], {}, given)}


@pytest.mark.parametrize(
    ("domain", "kind", "name", "settings", "message"),
    [
        pytest.param(domain, *row, id=f"{domain}-{row[1]}-{'-'.join(row[2])}")
        for domain in WRONG
        for row in WRONG[domain]
    ],
)
def test_a_wrong_setting_is_named(domain, kind, name, settings, message):
    with pytest.raises(ValueError, match=message):
        make(domain, kind, name, settings, wired(domain))
