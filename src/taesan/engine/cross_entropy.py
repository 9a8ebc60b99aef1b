"""Cross-entropy over a vocabulary, with the output layer's matrix products and little else."""

from typing import Any

import torch
from torch.autograd import Function

CHUNK_ROWS = 256  # logits of 256 by 16,000 stay in a CPU's cache between the passes over them


def linear_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
) -> torch.Tensor:
    """Sum over rows of -log softmax(hidden weight^T + bias)[label], without ever holding all logits.

    `hidden` (N, D), `weight` (V, D), `bias` (V,) or None, `labels` (N,). The gradient, softmax minus one-hot, is made
    in the same pass, chunk by chunk, in the logits' own memory. Measured at N 1,024, D 256, V 12,000 on one thread: 245
    ms forward and backward, where the three matrix products take 235, `cross_entropy` over logits 324 and torch's
    `linear_cross_entropy` in chunks 576 (docs/lab.md).
    """
    return _LinearCrossEntropy.apply(hidden, weight, bias, labels)


class _LinearCrossEntropy(Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
    ) -> torch.Tensor:
        learns = any(ctx.needs_input_grad)
        total = torch.zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
        hidden_gradient = torch.empty_like(hidden) if learns else None
        weight_gradient = torch.zeros_like(weight) if learns else None
        bias_gradient = torch.zeros_like(bias) if learns and bias is not None else None
        for start in range(0, len(hidden), CHUNK_ROWS):
            rows, label = hidden[start : start + CHUNK_ROWS], labels[start : start + CHUNK_ROWS, None]
            logits = torch.nn.functional.linear(rows, weight, bias).to(total.dtype)  # (n, V)
            logits -= logits.amax(dim=-1, keepdim=True)
            chosen = logits.gather(1, label)
            sums = logits.exp_().sum(dim=-1, keepdim=True)
            total += (sums.log() - chosen).sum()
            if hidden_gradient is None or weight_gradient is None:
                continue
            logits /= sums
            logits.scatter_add_(1, label, torch.full_like(chosen, -1))
            gradient = logits.to(rows.dtype)
            hidden_gradient[start : start + CHUNK_ROWS] = gradient @ weight.to(rows.dtype)
            weight_gradient.addmm_(gradient.T.to(weight.dtype), rows.to(weight.dtype))
            if bias_gradient is not None:
                bias_gradient += logits.sum(dim=0).to(bias_gradient.dtype)
        if learns:
            ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> Any:
        return *(None if one is None else one * outer[0].to(one.dtype) for one in ctx.saved_tensors), None
