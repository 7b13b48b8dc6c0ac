"""What cannot be said without audio: wav2vec 2.0, HuBERT and their kin."""
