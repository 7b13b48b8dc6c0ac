"""Every domain draws views: a row for each sample, the same each time; mistakes are named."""

import pytest
from PIL import Image

from unlabeled.plugins.registry import registry, resolve
from unlabeled.testing.subject import subject

DOMAINS = [name for name, domain in sorted(registry().domains.items()) if "preview" in domain.defaults]
CASES = ((1, 0), (2, 0), (2, 0), (2, 1))  # n and seed


def drawn(domain, out, **settings):
    it = subject(domain)
    views = it.make(it.found.find(domain, "views", it.row.defaults["views"]))
    return resolve(it.found.find(domain, "preview", it.row.defaults["preview"]))(it.data, views, out, **settings)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_row_for_each_sample(domain, tmp_path):
    paths = [drawn(domain, tmp_path / "new" / f"{i}.png", n=n, seed=seed) for i, (n, seed) in enumerate(CASES)]
    one, two, again, other = (Image.open(path).convert("RGB") for path in paths)
    assert one.height < two.height
    assert len(two.getcolors(1 << 20)) > 4
    assert two.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize("domain", DOMAINS)
def test_wrong_requests_are_named(domain, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png"):
        drawn(domain, tmp_path / "views.jpg")
    with pytest.raises(ValueError, match="n is 0"):
        drawn(domain, tmp_path / "views.png", n=0)
