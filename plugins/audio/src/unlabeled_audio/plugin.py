"""Speech, music and sound for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings objectives and probes for every modality, the random mask, optimizers and schedules;
`recipes/` has the named compositions.
"""

from functools import partial

from unlabeled.plugins import words
from unlabeled.plugins.words import Domain, hookimpl

row = partial(words.row, "unlabeled_audio")
FULL = ("tokens", "mask", "drop", "swap", "layers")  # of an encoder
ROWS = (
    row("data", "syllables", "syllables:Syllables", "generated syllables, 10 classes and 6 voices, no download"),
    row("data", "clips", "clips:Clips", "a folder, .zip or manifest .csv of WAV, FLAC, OGG, MP3"),
    row("views", "wave", "standard:Wave", "two crops: gain, noise, polarity, shift, pitch, reverb"),
    row("views", "plain", "standard:Plain", "one random crop or several, nothing else, for masked objectives",
        aliases=("crops",)),
    row("views", "paired", "standard:Paired", "a crop as it is and the same crop changed", "2209.15483",
        gives=("source", "altered")),
    row("views", "mixed", "standard:Mixed", "a crop in which another clip is heard for a while", "2110.13900"),
    row("views", "atst", "spectral:ATST", "two segments, mixed and resized as spectrograms", "2204.12076"),
    row("views", "aligned", "spectral:Aligned", "two views whose frames match, mixed and moved", "2306.04186"),
    row("views", "clones", "spectral:Clones", "the same crop several times, for several masks", "2401.03497"),
    row("views", "clean", "standard:Clean", "the whole clip, standardized: what features are taken from",
        gives=("clean",)),
    row("tokenizer", "logmel", "spectrograms:LogMel", "log-mel spectrogram of what each row sees", gives=("content",)),
    row("tokenizer", "cqt", "spectrograms:ConstantQ", "constant-Q spectrogram around each row", "2306.00107",
        gives=("content",)),
    row("tokenizer", "units", "units:Units", "k-means units of MFCC or of a run's encoder", "2106.07447",
        gives=("ids",)),
    row("tokenizer", "random_projection", "units:RandomProjection", "labels that nothing learned", "2202.01855",
        gives=("ids",)),
    row("tokenizer", "rvq", "units:ResidualQuantizer", "residual k-means codes, and constant-Q content", "2306.00107",
        gives=("content", "ids")),
    row("tokenizer", "codes", "codes:Codes", "units of a run that trained a quantizer", "2212.09058", gives=("ids",)),
    row("tokenizer", "heard", "heard:Heard", "the units that encoder units reads", "1910.05453", gives=("ids",)),
    row("mask", "span", "spans:SpanMask", "spans of time until a share is hidden", "2006.11477", gives=("hidden",)),
    row("mask", "equal_span", "spans:EqualSpanMask", "whole spans that do not overlap, as many a clip",
        gives=("hidden",)),
    row("mask", "block", "grid:BlockMask", "blocks of time and mel bands", "2102.08098", gives=("hidden",)),
    row("mask", "inverse_block", "grid:InverseBlockMask", "everything hidden but blocks", "2212.07525",
        gives=("hidden",)),
    row("mask", "chunk", "spans:ChunkMask", "chunks of time, all or none of each", "2110.09784", gives=("hidden",)),
    row("mask", "scheduled", "scheduled:ScheduledMask", "a share drawn anew each time, by a cosine", "2502.03128",
        gives=("hidden",)),
    row("mask", "multi_block", "multi_block:SpanSetsMask", "several spans to predict from the rest", "2301.08243",
        aliases=("span_sets",), gives=("hidden", "predict")),
    row("encoder", "wav2vec2", "wav2vec2:Wav2Vec2", "convolutions and Transformer over the waveform", "2006.11477",
        gives=(*FULL, "local")),
    row("encoder", "wav2vec", "wav2vec:Wav2Vec", "convolutions over the waveform alone", "1904.05862",
        gives=("tokens", "layers")),
    row("encoder", "conformer", "conformer:Conformer", "attention and convolution in each block", "2005.08100",
        gives=("tokens", "mask", "swap", "layers")),
    row("encoder", "mamba", "mamba:Mamba", "bidirectional Mamba in plain PyTorch", "2405.11831", gives=FULL),
    row("encoder", "cnn", "cnn:CNN", "a small CNN over time", "2201.03545", gives=("tokens", "mask", "swap", "layers")),
    row("encoder", "vit", "vit:ViT", "Vision Transformer over patches of the log-mel spectrogram", "2104.01778",
        gives=FULL),
    row("encoder", "units", "units:UnitTransformer", "a Transformer over discrete units", "1910.05453", gives=FULL),
    row("decoder", "transformer", "TransformerDecoder", "a small Transformer over all rows", "2207.06405"),
    row("objective", "beats", "beats:BEATs", "classify hidden patches from visible ones", "2212.09058"),
    row("objective", "beats_tokenizer", "beats:BEATsTokenizer", "codes that restore a teacher", "2212.09058"),
    row("objective", "atst_frame", "atst_frame:ATSTFrame", "a teacher's frames where hidden", "2306.04186"),
    row("objective", "atst_both", "atst_frame:ATSTBoth", "and an ATST-Clip's vectors", "2306.04186"),
    row("objective", "unfused", "unfused:UnFuSeD", "clusters of a frozen encoder", "2303.05668"),
    row("objective", "invariant_units", "invariant_units:InvariantUnits",
        "say a clean clip's units from an altered one", "2209.15483"),
    row("probe", "speaker", "speakers:Speaker", "who speaks"),
    row("probe", "unseen_speaker", "speakers:UnseenSpeaker", "classes of speakers never heard"),
    row("probe", "frames", "frames:Frames", "classes of single frames"),
    row("probe", "superb", "frames:Superb", "weighted layers under a small head", "2105.01051"),
    row("probe", "units", "units:Units", "purity, PNMI and stability of k-means units", "2106.07447"),
    row("probe", "soft_units", "soft_units:SoftUnits", "who speaks and what, in soft units", "2111.02392"),
    row("probe", "token_sequence", "units:TokenSequence", "neighbours by unit edit distance", "2511.10190"),
    row("baseline", "log_mel_statistics", "LogMelStatistics", "mean and deviation of log-mel frames"),
    row("baseline", "mfcc", "MFCCStatistics", "mean and deviation of MFCC"),
    row("baseline", "log_mel_segments", "LogMelSegments", "log-mel over eight parts of the clip"),
    row("export", "native", "transformers:native", "a transformers folder: Wav2Vec2Model or ASTModel"),
    row("export", "hubert", "transformers:hubert", "a transformers folder of a HubertModel"),
    row("export", "ast", "transformers:ast", "a transformers folder of an ASTModel"),
    row("export", "torchaudio", "transformers:torchaudio", "the state dict of torchaudio's wav2vec2_model"),
    row("preview", "views", "preview_views", "spectrograms of the views of a few clips"),
    row("command", "units", "units", "the units, soft or not, of every row, as a file", "2111.02392"),
    row("command", "hubert", "hubert", "HuBERT in turns: units of features, features of units", "2106.07447"),
    row("command", "beats", "beats", "BEATs in turns, with a tokenizer between", "2212.09058"),
)  # fmt: skip


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="audio",
        summary="speech, music and environmental sound",
        contract=1,
        sample="mono waveform [samples] at one rate, of any length, standardized by the views",
        spec="unlabeled_audio.batch:AudioSpec",
        components=ROWS,
        defaults={
            "data": "syllables",
            "files": "clips",
            "views": "wave",
            "clean": "clean",
            "tokenizer": "logmel",
            "mask": "span",
            "encoder": "vit",
            "decoder": "transformer",
            "export": "native",
            "preview": "views",
            "objective": "simclr",
            "baseline": "log_mel_segments",
        },
    )
