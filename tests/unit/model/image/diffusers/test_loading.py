"""What a launch of the diffusers engine loads beside the model, and what it refuses to load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.support import diffusion
from tests.support.pictures import noise, png
from tests.unit.model.image.opening import drawn, opened, request, same
from xinfer.errors import EngineFailed, InvalidRequest
from xinfer.model.image.diffusers.pipelines import variant_of
from xinfer.types.model import LoraAdapter
from xinfer.types.request import Media

FIRST, SECOND = (Media(png(noise(n, 16, 16)), "control_image") for n in (3, 4))


@pytest.fixture(scope="module")
def adapter(stable_diffusion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter in diffusers' layout, of random weights."""
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline = StableDiffusionPipeline.from_pretrained(stable_diffusion)
    torch.manual_seed(3)
    pipeline.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    layers = get_peft_model_state_dict(pipeline.unet)
    layers = {name: torch.randn_like(weight) for name, weight in layers.items()}
    folder = tmp_path_factory.mktemp("lora")
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return folder


def test_adapters_apply_and_a_request_may_choose_one(stable_diffusion: Path, adapter: Path) -> None:
    file = next(adapter.glob("*.safetensors"))
    lora = {"strong": LoraAdapter(str(adapter), 1.0), "weak": LoraAdapter(str(file), 0.1)}
    with opened(stable_diffusion) as plain, opened(stable_diffusion, lora=lora) as made:
        without = drawn(plain)[0]
        both, strong, weak = (drawn(made, adapter=name)[0] for name in (None, "strong", "weak"))
        distance = [abs(one.astype(int) - without.astype(int)).mean() for one in (strong, weak)]
        assert distance[0] > distance[1] > 0
        assert not same(both, strong)
        assert same(both, drawn(made)[0]), "a choice is of one request alone"
        with pytest.raises(InvalidRequest, match="The model has: strong, weak"):
            made.check(request(adapter="other"))


def test_an_adapter_that_cannot_be_loaded_is_named(stable_diffusion: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="LoRA adapter mine"):
        opened(stable_diffusion, lora={"mine": LoraAdapter(str(tmp_path))}).__enter__()
    pickled = tmp_path / "adapter.bin"
    pickled.write_bytes(b"")
    with pytest.raises(InvalidRequest, match=r"no \.safetensors file"):
        opened(stable_diffusion, lora={"mine": LoraAdapter(str(pickled))}).__enter__()


def test_a_controlnet_sees_to_the_picture_that_a_request_brings(
    stable_diffusion: Path, tmp_path: Path
) -> None:
    net = diffusion.controlnet(tmp_path / "net")
    with opened(stable_diffusion, controlnet=str(net)) as made:
        free, first, second = (
            drawn(made, controls=controls)[0] for controls in ((), (FIRST,), (SECOND,))
        )
        assert not same(free, first)
        assert not same(first, second)
        weak = drawn(made, controls=(FIRST,), control_scale=0.01)[0]
        assert abs(weak.astype(int) - free).mean() < abs(first.astype(int) - free).mean()
        for task in ("image2image", "inpainting"):
            assert drawn(made, task, controls=(FIRST,))[0].shape == (16, 16, 3)
        with pytest.raises(InvalidRequest, match="2 pictures for 1 ControlNets"):
            made.check(request(controls=(FIRST, SECOND)))


def test_options_that_cannot_be_are_refused_when_it_is_loaded(
    stable_diffusion: Path, tmp_path: Path
) -> None:
    for options, param in (
        ({"cpu_offload": True}, "cpu_offload"),
        ({"scheduler": "flow_euler"}, "scheduler"),
        ({"controlnet": str(tmp_path / "nothing")}, "controlnet"),
        ({"controlnet": str(tmp_path)}, "controlnet"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            opened(stable_diffusion, device="cpu", **options).__enter__()
        assert refused.value.param == param


def test_weights_of_another_precision_are_found_by_their_names(
    stable_diffusion: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "sd"
    shutil.copytree(stable_diffusion, copy)
    assert variant_of(copy) is None
    for file in copy.glob("*/*.safetensors"):
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    assert variant_of(copy) == "fp16"
    with opened(stable_diffusion) as plain, opened(copy) as made:
        assert same(drawn(plain)[0], drawn(made)[0])


def test_damaged_files_are_named_and_other_peoples_code_is_not_run(
    stable_diffusion: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "sd"
    shutil.copytree(stable_diffusion, copy)
    (copy / "vae/config.json").unlink()
    with pytest.raises(InvalidRequest, match="cannot load"):
        opened(copy).__enter__()
    index = json.loads((stable_diffusion / "model_index.json").read_text())
    index["unet"] = ["evil", "UNet"]
    shutil.copytree(stable_diffusion, tmp_path / "code")
    (tmp_path / "code/model_index.json").write_text(json.dumps(index))
    (tmp_path / "code/unet/evil.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(InvalidRequest, match="cannot load"):
        opened(tmp_path / "code").__enter__()


def test_the_model_says_what_neither_request_nor_launch_does(
    stable_diffusion: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "sd"
    shutil.copytree(stable_diffusion, copy)
    defaults = {"guidance_scale": 2.0, "num_inference_steps": 3, "unheard": 1}
    (copy / "generation_config.json").write_text(json.dumps(defaults))
    with opened(stable_diffusion) as plain, opened(copy) as made:
        assert same(drawn(plain, steps=3, guidance=2.0)[0], drawn(made, steps=None)[0])
        assert same(drawn(plain, steps=2, guidance=5.0)[0], drawn(made, steps=2, guidance=5.0)[0])
