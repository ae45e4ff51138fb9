"""Embedding and rerank models: what their files say of vectors and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.model_dirs import write_json, write_model, write_safetensors
from xinfer.model.files import LocalFiles
from xinfer.model.inspect.files import inspect_files
from xinfer.types.model import EncodeSpec, ModelSpec

BERT = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 384,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "pad_token_id": 0,
    "vocab_size": 30522,
}
XLM_R = {
    **BERT,
    "architectures": ["XLMRobertaModel"],
    "model_type": "xlm-roberta",
    "hidden_size": 1024,
    "max_position_embeddings": 8194,
    "pad_token_id": 1,
}


def steps(*kinds: str) -> list[dict[str, Any]]:
    return [
        {
            "idx": number,
            "path": "" if number == 0 else f"{number}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(kinds)
    ]


def inspect(directory: Path, name: str = "some-model") -> tuple[ModelSpec, EncodeSpec]:
    (model,) = inspect_files(LocalFiles(directory), name=name)
    assert model.encode is not None
    return model, model.encode


def test_a_bare_encoder_has_vectors_of_its_width_and_no_pooling(tmp_path: Path) -> None:
    model, encode = inspect(write_model(tmp_path, BERT))
    assert (model.type, model.dimensions, model.context_length) == ("embedding", 384, 512)
    assert (encode.pooling, encode.normalised) == ("", False)


def test_bge_m3(tmp_path: Path) -> None:
    write_model(
        tmp_path,
        XLM_R,
        modules=steps("Transformer", "Pooling", "Normalize"),
        sentence_bert_config={"max_seq_length": 8192},
        tokenizer_config={"model_max_length": 8192},
    )
    pooling = {"word_embedding_dimension": 1024, "pooling_mode_cls_token": True}
    write_json(
        tmp_path / "1_Pooling" / "config.json", {**pooling, "pooling_mode_mean_tokens": False}
    )
    model, encode = inspect(tmp_path)
    assert (model.type, model.dimensions, model.context_length) == ("embedding", 1024, 8192)
    assert (encode.pooling, encode.normalised) == ("cls", True)
    assert "1_Pooling/config.json" in model.files


def test_positions_of_roberta_begin_behind_the_padding(tmp_path: Path) -> None:
    model, _ = inspect(write_model(tmp_path, XLM_R))
    assert model.context_length == 8192


def test_sentence_transformers_own_limit_is_the_least(tmp_path: Path) -> None:
    write_model(tmp_path, BERT, sentence_bert_config={"max_seq_length": 256})
    assert inspect(tmp_path)[0].context_length == 256


def test_an_embedding_model_on_a_language_model(tmp_path: Path) -> None:
    config = {
        **BERT,
        "architectures": ["Qwen3ForCausalLM"],
        "hidden_size": 1024,
        "max_position_embeddings": 32768,
    }
    prompts = {"query": "Instruct: find\nQuery:", "document": ""}
    write_model(
        tmp_path,
        config,
        modules=steps("Transformer", "Pooling", "Normalize"),
        config_sentence_transformers={"prompts": prompts, "default_prompt_name": "query"},
    )
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode_lasttoken": True})
    model, encode = inspect(tmp_path)
    assert (model.type, model.dimensions, model.context_length) == ("embedding", 1024, 32768)
    assert encode.pooling == "last"
    assert encode.prompts == {"query": "Instruct: find\nQuery:"}
    assert encode.default_prompt == "query"
    assert model.abilities == ()


def test_a_dense_step_makes_vectors_of_another_length(tmp_path: Path) -> None:
    write_model(tmp_path, BERT, modules=steps("Transformer", "Pooling", "Dense"))
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    write_json(tmp_path / "2_Dense" / "config.json", {"in_features": 384, "out_features": 768})
    dense = tmp_path / "2_Dense" / "model.safetensors"
    write_safetensors(dense, {"linear.weight": ("F32", [768, 384])})
    model, encode = inspect(tmp_path)
    assert (model.dimensions, encode.pooling) == (768, "mean")
    assert {"2_Dense/model.safetensors", "2_Dense/config.json"} <= set(model.files)
    both = dense.stat().st_size + (tmp_path / "model.safetensors").stat().st_size
    assert model.size_bytes == both


def test_vectors_are_normalised_where_that_is_the_last_step(tmp_path: Path) -> None:
    write_model(tmp_path, BERT, modules=steps("Transformer", "Pooling", "Normalize", "Other"))
    assert not inspect(tmp_path)[1].normalised


def test_the_transformer_may_lie_in_a_folder_of_its_own(tmp_path: Path) -> None:
    write_model(tmp_path / "0_Transformer", BERT)
    modules = steps("Transformer", "Pooling")
    modules[0]["path"] = "0_Transformer"
    write_json(tmp_path / "modules.json", modules)
    model, _ = inspect(tmp_path)
    assert model.files[0] == "0_Transformer/model.safetensors"
    assert model.dimensions == 384
    assert {"modules.json", "0_Transformer/config.json"} <= set(model.files)


def test_lengths_that_vectors_may_be_cut_to(tmp_path: Path) -> None:
    write_model(tmp_path, {**BERT, "matryoshka_dimensions": [384, 32, 128]})
    assert inspect(tmp_path)[1].smaller_dimensions == (32, 128, 384)


def test_a_reranker_with_one_score(tmp_path: Path) -> None:
    config = {
        **XLM_R,
        "architectures": ["XLMRobertaForSequenceClassification"],
        "id2label": {"0": "LABEL_0"},
        "max_position_embeddings": 514,
    }
    model, encode = inspect(write_model(tmp_path, config))
    assert (model.type, model.context_length, model.dimensions) == ("rerank", 512, 0)
    assert (encode.labels, encode.generative) == (("LABEL_0",), False)


def test_a_classifier_with_several_scores_in_their_order(tmp_path: Path) -> None:
    labels = {str(number): f"class {number}" for number in range(11)}
    config = {**BERT, "architectures": ["BertForSequenceClassification"], "id2label": labels}
    _, encode = inspect(write_model(tmp_path, config))
    assert encode.labels == tuple(labels.values())


@pytest.mark.parametrize(
    ("name", "card"),
    [("Qwen3-Reranker-0.6B", ""), ("own", "---\npipeline_tag: text-ranking\n---\n")],
)
def test_a_language_model_that_ranks_is_told_by_its_card_or_its_name(
    tmp_path: Path, name: str, card: str
) -> None:
    write_model(tmp_path, {**BERT, "architectures": ["Qwen3ForCausalLM"]})
    (tmp_path / "README.md").write_text(card)
    model, encode = inspect(tmp_path, name)
    assert (model.type, model.abilities, encode.generative) == ("rerank", (), True)


def test_a_cross_encoder_says_so_itself(tmp_path: Path) -> None:
    write_model(
        tmp_path,
        {**BERT, "architectures": ["ModernBertForSequenceClassification"], "num_labels": 1},
        modules=steps("Transformer"),
        config_sentence_transformers={"model_type": "CrossEncoder"},
    )
    model, encode = inspect(tmp_path)
    assert (model.type, len(encode.labels)) == ("rerank", 1)
