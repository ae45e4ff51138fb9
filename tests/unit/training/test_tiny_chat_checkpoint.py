"""What one stage of the training of tiny-chat leaves behind is what the next one starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.tiny_chat.score import WEIGHTS

pytestmark = pytest.mark.slow  # needs the extra [train]


def test_training_goes_on_from_the_files_that_ship(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra [train]")
    import torch

    from training.tiny_chat.checkpoint import load_run, save_run
    from training.tiny_chat.model import TinyChat

    tokenizer, config, weights = load_run(WEIGHTS.parent)
    model = TinyChat(config)
    model.load_state_dict(weights)
    save_run(model, tokenizer, tmp_path)
    again_tokenizer, again_config, again = load_run(tmp_path)
    assert again_config == config
    assert again_tokenizer.get_vocab() == tokenizer.get_vocab()
    assert again.keys() == weights.keys()
    assert all(tensor.dtype == torch.float32 for tensor in weights.values())
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())


def test_the_mean_of_stages_is_that_of_their_weights(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra [train]")
    import torch

    from training.tiny_chat.checkpoint import load_average, load_run, save_run
    from training.tiny_chat.model import TinyChat

    tokenizer, config, weights = load_run(WEIGHTS.parent)
    other = TinyChat(config)
    save_run(other, tokenizer, tmp_path)
    _, _, mean = load_average([WEIGHTS.parent, tmp_path])
    for name, tensor in other.state_dict().items():
        assert torch.allclose(mean[name], (weights[name] + tensor) / 2, atol=1e-6)


def test_a_directory_without_weights_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra [train]")
    from training.tiny_chat.checkpoint import load_run

    (tmp_path / "tokenizer.json").write_bytes((WEIGHTS.parent / "tokenizer.json").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"model\.pt"):
        load_run(tmp_path)
