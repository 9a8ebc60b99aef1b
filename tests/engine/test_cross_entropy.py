"""The loss over a vocabulary against torch's own, and its gradient against finite differences."""

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from taesan.engine import cross_entropy as module
from taesan.engine.cross_entropy import linear_cross_entropy


def tensors(rows: int, *, bias: bool, dtype: torch.dtype = torch.float32, scale: float = 1.0):
    torch.manual_seed(rows)
    hidden = (scale * torch.randn(rows, 8, dtype=dtype)).requires_grad_()
    weight = torch.randn(23, 8, dtype=dtype).requires_grad_()
    return (
        hidden,
        weight,
        torch.randn(23, dtype=dtype).requires_grad_() if bias else None,
        torch.randint(0, 23, (rows,)),
    )


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 600])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_that_of_torch(rows, bias) -> None:
    hidden, weight, offset, labels = tensors(rows, bias=bias)
    learnt = [hidden, weight, *([offset] if offset is not None else [])]
    ours = linear_cross_entropy(hidden, weight, offset, labels)
    theirs = cross_entropy(linear(hidden, weight, offset), labels, reduction="sum")
    torch.testing.assert_close(ours, theirs)
    for own, expected in zip(
        torch.autograd.grad(ours * 3, learnt), torch.autograd.grad(theirs * 3, learnt), strict=True
    ):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_its_gradient_is_that_of_finite_differences(monkeypatch, bias) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 2)
    *learnt, labels = tensors(5, bias=bias, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *given: linear_cross_entropy(*given, labels), tuple(learnt))


def test_large_logits_do_not_overflow() -> None:
    hidden, weight, bias, labels = tensors(4, bias=True, scale=1e4)
    loss = linear_cross_entropy(hidden, weight, bias, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(hidden.grad).all()


def test_nothing_is_kept_where_nothing_learns() -> None:
    hidden, weight, bias, labels = tensors(4, bias=True)
    with torch.inference_mode():
        loss = linear_cross_entropy(hidden, weight, bias, labels)
    torch.testing.assert_close(loss, cross_entropy(linear(hidden, weight, bias), labels, reduction="sum").detach())
    frozen = linear_cross_entropy(hidden, weight.detach(), None, labels)
    frozen.backward()
    assert hidden.grad is not None


def test_half_precision_gives_what_autocast_gives() -> None:
    """The products in bfloat16, the softmax in float32."""
    hidden, weight, bias, labels = tensors(300, bias=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours = linear_cross_entropy(hidden, weight, bias, labels)
        theirs = cross_entropy(linear(hidden, weight, bias).float(), labels, reduction="sum")
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=0.1)
    for own, expected in zip(
        torch.autograd.grad(ours, (hidden, weight)), torch.autograd.grad(theirs, (hidden, weight)), strict=True
    ):
        assert own.dtype == torch.float32
        torch.testing.assert_close(own, expected, rtol=0.05, atol=0.5)
