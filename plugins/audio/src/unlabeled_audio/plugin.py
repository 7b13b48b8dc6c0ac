"""Speech, music and sound for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings objectives and probes for every modality, the random mask, optimizers and schedules;
`recipes/` has the named compositions.
"""

from __future__ import annotations

from unlabeled.plugins.words import Component, Domain, Kind, hookimpl


def _row(kind: Kind, name: str, target: str, summary: str, paper: str = "") -> Component:
    return Component(kind=kind, name=name, target=f"unlabeled_audio.{target}", summary=summary, paper=paper)


ROWS = (
    _row("data", "syllables", "data.syllables:Syllables", "generated syllables, 10 classes and 6 voices, no download"),
    _row("data", "clips", "data.clips:Clips", "a folder, .zip or manifest .csv of WAV, FLAC, OGG, MP3"),
    _row("views", "wave", "views.standard:Wave", "two crops: gain, noise, polarity, shift, pitch, reverb"),
    _row("views", "crops", "views.standard:Crops", "one random crop or several, nothing else, for masked objectives"),
    _row("views", "paired", "views.standard:Paired", "a crop as it is and the same crop changed", "2209.15483"),
    _row("views", "mixed", "views.standard:Mixed", "a crop in which another clip is heard for a while", "2110.13900"),
    _row("views", "atst", "views.spectral:ATST", "two segments, mixed and resized as spectrograms", "2204.12076"),
    _row("views", "aligned", "views.spectral:Aligned", "two views whose frames match, mixed and moved", "2306.04186"),
    _row("views", "clones", "views.spectral:Clones", "the same crop several times, for several masks", "2401.03497"),
    _row("views", "clean", "views.standard:Clean", "the whole clip, standardized: what features are taken from"),
    _row("tokenizer", "logmel", "tokenizers.spectrograms:LogMel", "log-mel spectrogram of what each row sees"),
    _row(
        "tokenizer", "cqt", "tokenizers.spectrograms:ConstantQ", "constant-Q spectrogram around each row", "2306.00107"
    ),
    _row("tokenizer", "units", "tokenizers.units:Units", "k-means units of MFCC or of a run's encoder", "2106.07447"),
    _row(
        "tokenizer",
        "random_projection",
        "tokenizers.units:RandomProjection",
        "labels that nothing learned",
        "2202.01855",
    ),
    _row(
        "tokenizer",
        "rvq",
        "tokenizers.units:ResidualQuantizer",
        "residual k-means codes, and constant-Q content",
        "2306.00107",
    ),
    _row("tokenizer", "codes", "tokenizers.codes:Codes", "codes of a trained BEATs tokenizer", "2212.09058"),
    _row("tokenizer", "heard", "tokenizers.heard:Heard", "the units that encoder units reads", "1910.05453"),
    _row("mask", "span", "masks.spans:SpanMask", "spans of time until a share is hidden", "2006.11477"),
    _row("mask", "equal_span", "masks.spans:EqualSpanMask", "whole spans that do not overlap, as many a clip"),
    _row("mask", "block", "masks.grid:BlockMask", "blocks of time and mel bands", "2102.08098"),
    _row("mask", "inverse_block", "masks.grid:InverseBlockMask", "everything hidden but blocks", "2212.07525"),
    _row("mask", "chunk", "masks.spans:ChunkMask", "chunks of time, all or none of each", "2110.09784"),
    _row(
        "mask", "scheduled", "masks.scheduled:ScheduledMask", "a share drawn anew each time, by a cosine", "2502.03128"
    ),
    _row("mask", "span_sets", "masks.multi_block:SpanSetsMask", "several spans to predict from the rest", "2301.08243"),
    _row(
        "encoder",
        "wav2vec2",
        "encoders.wav2vec2:Wav2Vec2",
        "convolutions and Transformer over the waveform",
        "2006.11477",
    ),
    _row(
        "encoder", "conformer", "encoders.conformer:Conformer", "attention and convolution in each block", "2005.08100"
    ),
    _row("encoder", "mamba", "encoders.mamba:Mamba", "bidirectional Mamba in plain PyTorch", "2405.11831"),
    _row("encoder", "cnn", "encoders.cnn:CNN", "a small CNN over time", "2201.03545"),
    _row(
        "encoder", "vit", "encoders.vit:ViT", "Vision Transformer over patches of the log-mel spectrogram", "2104.01778"
    ),
    _row("encoder", "units", "encoders.units:UnitTransformer", "a Transformer over discrete units", "1910.05453"),
    _row("decoder", "transformer", "decoders:TransformerDecoder", "a small Transformer over all rows", "2207.06405"),
    _row("export", "native", "export.transformers:native", "a transformers folder: Wav2Vec2Model or ASTModel"),
    _row("export", "hubert", "export.transformers:hubert", "a transformers folder of a HubertModel"),
    _row("export", "ast", "export.transformers:ast", "a transformers folder of an ASTModel"),
    _row("export", "torchaudio", "export.transformers:torchaudio", "the state dict of torchaudio's wav2vec2_model"),
    _row("preview", "views", "preview:preview_views", "spectrograms of the views of a few clips"),
    _row("objective", "beats", "objectives.beats:BEATs", "classify hidden patches from visible ones", "2212.09058"),
    _row(
        "objective", "beats_tokenizer", "objectives.beats:BEATsTokenizer", "codes that restore a teacher", "2212.09058"
    ),
    _row("objective", "atst_frame", "objectives.atst_frame:ATSTFrame", "a teacher's frames where hidden", "2306.04186"),
    _row("objective", "atst_both", "objectives.atst_frame:ATSTBoth", "and an ATST-Clip's vectors", "2306.04186"),
    _row("objective", "unfused", "objectives.unfused:UnFuSeD", "clusters of a frozen encoder", "2303.05668"),
    _row(
        "objective",
        "invariant_units",
        "objectives.invariant_units:InvariantUnits",
        "say a clean clip's units from an altered one",
        "2209.15483",
    ),
    _row("probe", "speaker", "probes.speakers:Speaker", "who speaks"),
    _row("probe", "unseen_speaker", "probes.speakers:UnseenSpeaker", "classes of speakers never heard"),
    _row("probe", "frames", "probes.frames:Frames", "classes of single frames"),
    _row("probe", "superb", "probes.frames:Superb", "weighted layers under a small head", "2105.01051"),
    _row("probe", "units", "probes.units:Units", "purity, PNMI and stability of k-means units", "2106.07447"),
    _row("probe", "token_sequence", "probes.units:TokenSequence", "neighbours by unit edit distance", "2511.10190"),
    _row("baseline", "log_mel_statistics", "baselines:LogMelStatistics", "mean and deviation of log-mel frames"),
    _row("baseline", "mfcc", "baselines:MFCCStatistics", "mean and deviation of MFCC"),
    _row("baseline", "log_mel_segments", "baselines:LogMelSegments", "log-mel over eight parts of the clip"),
    _row("command", "hubert", "commands:hubert", "HuBERT in turns: units of features, features of units", "2106.07447"),
    _row("command", "beats", "commands:beats", "BEATs in turns, with a tokenizer between", "2212.09058"),
)


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
