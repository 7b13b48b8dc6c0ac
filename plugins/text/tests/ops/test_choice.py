"""SALT's score of texts."""

import torch

from unlabeled_text.ops.choice import scores


def test_score_is_the_median_loss_of_likely_words():
    logits = torch.tensor([[0.0, 1.0, 5.0], [4.0, 0.0, 1.0], [0.0, 2.0, 1.0], [0.0, 1.0, 9.0]])
    words, group = torch.tensor([1, 0, 1, 0]), torch.tensor([0, 0, 0, 2])
    loss = torch.nn.functional.cross_entropy(logits, words, reduction="none")
    found = scores(logits, words, group, 3, likely=2)
    assert found[0] == loss[:3].sort().values[1]
    assert found[1] == 0  # no word
    assert found[2] == 0  # its word is not among the two likeliest
    assert scores(logits, words, group, 3, likely=1)[0] == loss[:3].sort().values[0]
    pair = scores(logits[:2], words[:2], torch.zeros(2, dtype=torch.int64), 1, likely=3)
    assert pair == loss[:2].min(), "of two words the lower one, as torch's median has it"
