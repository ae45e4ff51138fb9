"""Tiny models that speak, made from configurations: what they say is noise, in the right format."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

VOICES = ("anna", "bert")
RATE = 16000


def make_vits(path: Path, *, speakers: int = 1) -> Path:
    """A VITS model of some 90 kB; 0.015 to 0.03 seconds of sound for each letter."""
    import torch
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    path.mkdir(parents=True)
    torch.manual_seed(0)
    config = VitsConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        window_size=2,
        ffn_dim=16,
        flow_size=16,
        spectrogram_bins=9,
        num_speakers=speakers,
        speaker_embedding_size=8 if speakers > 1 else 0,
        prior_encoder_num_flows=1,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
        wavenet_dilation_rate=1,
        duration_predictor_num_flows=1,
        duration_predictor_flow_bins=4,
        duration_predictor_filter_channels=16,
        depth_separable_num_layers=1,
        upsample_initial_channel=16,
        upsample_rates=[8, 8],
        upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        sampling_rate=RATE,
    )
    VitsModel(config).save_pretrained(path)
    characters = " abcdefghijklmnopqrstuvwxyz'-.?"
    vocabulary = path / "vocab.json"
    vocabulary.write_text(json.dumps({one: number for number, one in enumerate(characters)}))
    VitsTokenizer(
        str(vocabulary), pad_token=" ", unk_token="-", phonemize=False, is_uroman=False
    ).save_pretrained(path)
    return path


def make_speecht5(path: Path) -> Path:
    """A SpeechT5 model with a vocoder and two voices, some 400 kB."""
    import sentencepiece
    import torch
    from transformers import (
        SpeechT5Config,
        SpeechT5ForTextToSpeech,
        SpeechT5HifiGan,
        SpeechT5HifiGanConfig,
        SpeechT5Tokenizer,
    )

    path.mkdir(parents=True)
    torch.manual_seed(0)
    letters = " ".join("abcdefghijklmnopqrstuvwxyz.?!,")
    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([letters] * 20),
        model_writer=pieces,
        vocab_size=35,
        model_type="char",
        bos_id=0,
        pad_id=1,
        eos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    (path / "spm_char.model").write_bytes(pieces.getvalue())
    tokenizer = SpeechT5Tokenizer(str(path / "spm_char.model"))
    tokenizer.save_pretrained(path)
    config = SpeechT5Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_layers=1,
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        speech_decoder_prenet_units=16,
        speaker_embedding_dim=8,
        speech_decoder_postnet_layers=2,
        speech_decoder_postnet_units=16,
        num_mel_bins=16,
    )
    model = SpeechT5ForTextToSpeech(config)
    with torch.no_grad():  # it goes on for as long as it may
        model.speech_decoder_postnet.prob_out.weight.zero_()
        model.speech_decoder_postnet.prob_out.bias.fill_(-10)
    model.save_pretrained(path)
    shape = SpeechT5HifiGanConfig(
        model_in_dim=16,
        sampling_rate=RATE,
        upsample_initial_channel=16,
        upsample_rates=[16, 16],
        upsample_kernel_sizes=[32, 32],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
    )
    vocoder = SpeechT5HifiGan(shape)
    with torch.no_grad():  # loud enough to be more than rounding
        vocoder.conv_post.weight.normal_(0, 1)
    vocoder.save_pretrained(path / "vocoder")
    (path / "voices").mkdir()
    for seed, voice in enumerate(VOICES):
        embedding = np.random.default_rng(seed).standard_normal(8).astype(np.float32)
        np.save(path / "voices" / f"{voice}.npy", embedding)
    return path
