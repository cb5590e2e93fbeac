"""Work in pieces: rows grouped by length, and losses whose gradient is taken piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mgsv.models.cpu import enabled
from mgsv.models.masks import lengths


class Grouped:
    """A model that computes rows of similar length together on the CPU."""

    places: int | None = 2048
    """Slots in each group; None: all rows in one. Changes speed and memory, never the result."""

    def places_on(self, on: Tensor) -> int | None:
        """`places`, or None where `on` is not on the CPU."""
        return self.places if enabled(on) else None


def rows_by_length(mask: Tensor, places: int | None) -> list[tuple[Tensor, int]]:
    """Groups of rows of similar length: (row numbers, length that holds them all).

    Shortest rows first; a group holds at most `places` slots at its own length (but at least one
    row), so that padding costs little. None makes one group of all rows, in their order.
    """
    if mask.shape[0] == 0:
        return []
    sizes = lengths(mask).clamp_min(1)
    if places is None:
        return [(torch.arange(len(sizes), device=mask.device), int(sizes.max()))]
    order = sizes.argsort(stable=True)
    groups, start = [], 0
    ascending = sizes[order].tolist()
    for end in range(1, len(ascending) + 1):
        if end == len(ascending) or ascending[end] * (end + 1 - start) > places:
            groups.append((order[start:end], ascending[end - 1]))
            start = end
    return groups


def inverse(groups: Sequence[tuple[Tensor, int]]) -> Tensor:
    """Order that puts the concatenated groups' rows back into place."""
    return torch.cat([rows for rows, _ in groups]).argsort()


class _SumOverGroups(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        function: Callable[..., Tensor],
        groups: Sequence[tuple[Tensor, int]],
        inputs: int,
        *tensors: Tensor,
    ) -> Tensor:
        rows_of, parameters = tensors[:inputs], tensors[inputs:]
        grads = [torch.zeros_like(t) for t in tensors]
        total: Tensor | None = None
        for rows, length in groups:
            pieces = [t.detach()[rows].requires_grad_() for t in rows_of]
            with torch.enable_grad():
                terms = function(rows, length, *pieces)
                found = torch.autograd.grad(terms.sum(), [*pieces, *parameters], allow_unused=True)
            for i, grad in enumerate(found):
                if grad is not None and i < inputs:
                    grads[i][rows] = grad
                elif grad is not None:
                    grads[i] += grad
            total = terms.detach() if total is None else total + terms.detach()
        assert total is not None
        ctx.save_for_backward(*grads)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *upstream: Tensor) -> tuple[object, ...]:
        (weights,) = upstream
        if not torch.equal(weights, weights[:1].expand_as(weights)):
            raise RuntimeError(
                "terms of sum_over_groups were weighted differently after the fact: "
                "only the gradient of their sum is known"
            )
        grads: tuple[Tensor, ...] = ctx.saved_tensors  # type: ignore[attr-defined]
        if weights[0] != 1:
            grads = tuple(grad * weights[0] for grad in grads)
        return (None, None, None, *grads)


def sum_over_groups(
    function: Callable[..., Tensor],
    groups: Sequence[tuple[Tensor, int]],
    inputs: Sequence[Tensor],
    parameters: Sequence[Tensor],
) -> Tensor:
    """Sum of `function(rows, length, *[x[rows] for x in inputs])` over `groups`: [terms].

    For losses that are sums over rows. The gradient of each group is taken at once and its
    activations are freed, so that memory holds one group's instead of the batch's, and nothing is
    computed twice. The price: only the gradient of the *sum* of the terms exists; backward raises
    RuntimeError when the terms were weighted differently. `parameters` are all leaf tensors that
    `function` uses beside the inputs. A single group is ordinary autograd.
    """
    if len(groups) == 1 or not torch.is_grad_enabled():
        parts = [function(rows, length, *(x[rows] for x in inputs)) for rows, length in groups]
        return torch.stack(parts).sum(dim=0)
    trained = [p for p in parameters if p.requires_grad]
    total: Tensor = _SumOverGroups.apply(  # type: ignore[no-untyped-call]
        function, groups, len(inputs), *inputs, *trained
    )
    return total
