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


PRESETS = ("v2/en_speaker_1", "v2/de_speaker_0")
"""Of Bark, as they are told: English ones first."""


def make_bark(path: Path) -> Path:
    """A Bark model with two voices, some 200 kB; a quarter of a second of sound at most."""
    import torch
    from transformers import BarkConfig, BarkModel, BertTokenizer, EncodecConfig

    path.mkdir(parents=True)
    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,?!'", *letters]
    words += [f"##{one}" for one in letters]
    meanings, codes = 20, 8  # tokens of each kind
    sizes: dict[str, float] = {
        "num_layers": 1,
        "num_heads": 2,
        "hidden_size": 16,
        "block_size": 128,
    }
    sizes["initializer_range"] = 0.5  # so that what it says depends on what it is given
    config = BarkConfig(
        semantic_config={**sizes, "input_vocab_size": 100, "output_vocab_size": 24},
        coarse_acoustics_config={**sizes, "input_vocab_size": 44, "output_vocab_size": 44},
        fine_acoustics_config={
            **sizes,
            "input_vocab_size": codes + 1,
            "output_vocab_size": codes,
            "n_codes_total": 4,
        },
        codec_config=EncodecConfig(
            sampling_rate=RATE,
            hidden_size=8,
            num_filters=4,
            upsampling_ratios=[8, 8],
            num_lstm_layers=1,
            codebook_size=codes,
        ).to_dict(),
    )
    model = BarkModel(config)
    with torch.no_grad():  # loud enough to be more than rounding
        for layer in model.codec_model.quantizer.layers:
            layer.codebook.embed.normal_(0, 3)
    model.save_pretrained(path)
    chances = {
        "semantic_config": {
            "do_sample": True,
            "eos_token_id": meanings,
            "max_input_semantic_length": 64,
            "max_new_tokens": 20,
            "semantic_infer_token": 99,
            "semantic_vocab_size": meanings,
            "text_encoding_offset": 24,
            "text_pad_token": 98,
        },
        "coarse_acoustics_config": {
            "do_sample": True,
            "coarse_infer_token": 41,
            "coarse_semantic_pad_token": 40,
            "max_coarse_history": 24,
            "max_coarse_input_length": 32,
            "sliding_window_len": 12,
        },
        "fine_acoustics_config": {
            "max_fine_history_length": 16,
            "max_fine_input_length": 32,
            "n_fine_codebooks": 4,
            "temperature": 0.5,
        },
        "sample_rate": RATE,
        "codebook_size": codes,
    }
    (path / "generation_config.json").write_text(json.dumps(chances))
    (path / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(path / "vocab.txt")).save_pretrained(path)
    listed: dict[str, object] = {"repo_or_path": "suno/bark"}
    folder = path / "speaker_embeddings" / "v2"
    folder.mkdir(parents=True)
    for seed, name in enumerate(reversed(PRESETS)):
        random = np.random.default_rng(seed)
        parts = {
            "semantic_prompt": random.integers(0, meanings, 16),
            "coarse_prompt": random.integers(0, codes, (2, 24)),
            "fine_prompt": random.integers(0, codes, (4, 24)),
        }
        for part, tokens in parts.items():
            np.save(path / "speaker_embeddings" / f"{name}_{part}.npy", tokens)
        listed[name] = {part: f"speaker_embeddings/{name}_{part}.npy" for part in parts}
    (path / "speaker_embeddings_path.json").write_text(json.dumps(listed))
    return path


CSM_RATE = 24000


def make_csm(path: Path) -> Path:
    """A CSM model of some 200 kB, whose frames last 0.08 seconds."""
    import torch
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import (
        CsmConfig,
        CsmForConditionalGeneration,
        CsmProcessor,
        EncodecFeatureExtractor,
        MimiConfig,
        PreTrainedTokenizerFast,
    )

    path.mkdir(parents=True)
    torch.manual_seed(0)
    signs = ["<|begin_of_text|>", "<|end_of_text|>", "<|AUDIO|>", "<|audio_eos|>"]
    words = [*signs, "?", *" abcdefghijklmnopqrstuvwxyz.,![]0"]
    raw = Tokenizer(models.WordLevel({one: n for n, one in enumerate(words)}, unk_token="?"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=signs[0],
        eos_token=signs[1],
        pad_token=signs[2],
        unk_token="?",
        additional_special_tokens=signs[2:],
    )
    codes, books = 32, 4
    small: dict[str, float] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    codec = MimiConfig(
        **small,
        num_filters=2,
        codebook_size=codes,
        codebook_dim=8,
        vector_quantization_hidden_dimension=8,
        num_quantizers=books,
        upsample_groups=16,
    )
    small["initializer_range"] = 0.5  # so that what it says depends on what it is given
    config = CsmConfig(
        **small,
        num_codebooks=books,
        vocab_size=codes + 3,
        codebook_pad_token_id=codes + 2,
        text_vocab_size=len(words),
        max_position_embeddings=600,
        pad_token_id=2,
        bos_token_id=0,
        audio_token_id=2,
        audio_eos_token_id=3,
        depth_decoder_config={
            **small,
            "num_codebooks": books,
            "backbone_hidden_size": 16,
            "vocab_size": codes + 3,
            "max_position_embeddings": books + 1,
        },
        codec_config=codec.to_dict(),
    )
    model = CsmForConditionalGeneration(config)
    quantizer = model.codec_model.quantizer
    with torch.no_grad():  # a code is a sound of its own
        for part in (
            quantizer.semantic_residual_vector_quantizer,
            quantizer.acoustic_residual_vector_quantizer,
        ):
            for layer in part.layers:
                layer.codebook.embed_sum.normal_(0, 3)
        last = model.codec_model.decoder.layers[-1].conv
        last.weight.mul_(0.01)  # not so loud that all is cut off
        last.bias.zero_()
    model.generation_config.do_sample = True
    model.save_pretrained(path)
    template = (
        "{% for one in messages %}<|begin_of_text|>[{{ one.role }}]{% for part in one.content %}"
        "{% if part.type == 'text' %}{{ part.text }}<|end_of_text|>{% else %}<|AUDIO|><|audio_eos|>"
        "{% endif %}{% endfor %}{% endfor %}"
    )
    CsmProcessor(
        EncodecFeatureExtractor(sampling_rate=CSM_RATE), tokenizer, chat_template=template
    ).save_pretrained(path)
    return path
