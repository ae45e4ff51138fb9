"""Where PyTorch computes, in what precision, and how a lack of memory is told."""

from __future__ import annotations

import pytest

from xinfer.errors import InvalidRequest, Unavailable
from xinfer.model.torch_device import choose_device, choose_place, is_no_memory, memory_errors

torch = pytest.importorskip("torch")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The accelerators that PyTorch is to find."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in request.param)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in request.param)


@pytest.mark.parametrize(
    ("there", "device", "dtype"),
    [
        ((), "cpu", torch.float32),
        (("mps",), "mps", "auto"),
        (("cuda",), "cuda", "auto"),
        (("cuda", "mps"), "cuda", "auto"),
    ],
    indirect=["there"],
)
@pytest.mark.usefixtures("there")
def test_an_accelerator_comes_first_and_computes_in_the_precision_of_the_files(
    device: str, dtype: object
) -> None:
    assert choose_place("auto", "auto") == (device, dtype)
    assert choose_place("auto", "bfloat16") == (device, torch.bfloat16)


@pytest.mark.parametrize("there", [("cuda",)], indirect=True)
@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_processors_can_be_asked_for_beside_an_accelerator(name: str) -> None:
    assert choose_place(name, "auto") == (name, torch.float32)


@pytest.mark.parametrize("name", ["cuda:7", "tpu", "nowhere"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"no device '{name}' here .*cpu: give") as refused:
        choose_device(name, param="device_map")
    assert refused.value.param == "device_map"


@pytest.mark.parametrize(
    ("error", "lacking"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_failures(error: Exception, lacking: bool) -> None:
    assert is_no_memory(error) is lacking
    expected = Unavailable if lacking else type(error)
    with pytest.raises(expected) as raised, memory_errors("for this. Take less."):
        raise error
    if lacking:
        assert raised.value.code == "no_capacity"
        assert raised.value.message == "There is not enough memory for this. Take less."
