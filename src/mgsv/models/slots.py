"""Slot attention: slots share the places of a sequence out among them (NeurIPS 2020), one round
after another, as the moment DETRs have it. B rows, S slots, L places, d width.
"""

from __future__ import annotations

from torch import Tensor, nn

from mgsv.models.blocks import MLP
from mgsv.models.detr import initialise_xavier


class SlotAttention(nn.Module):
    """A single head, no dropout; every round adds to the slots what they have won, then an MLP.

    One slot wins every place, whatever its query and the keys: they are then left out, and their
    weights, like the slots' norm, stay as they are.
    """

    def __init__(self, dim: int, hidden: int, mlp_layers: int, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.norm_inputs, self.norm_slots = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm_mlp, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = MLP(dim, hidden, dim, mlp_layers)
        initialise_xavier(self)

    def forward(self, slots: Tensor, x: Tensor, mask: Tensor, seen: Tensor) -> Tensor:
        """Slots [B, S, d] after all rounds, from slots [B, S, d] and x [B, L, d].

        `mask` [B, L] says which places compete for slots. The others go to all slots alike, or to
        none where `seen` [B, L] is False: the authors see them all.
        """
        x = self.norm_inputs(x)
        alone = slots.shape[1] == 1
        keys, values = x if alone else self.key(x), self.value(x)
        share = counted = seen[:, None].to(x)
        for _ in range(self.rounds):
            if not alone:
                scores = self.query(self.norm_slots(slots)) @ keys.transpose(1, 2)
                scores = (scores * x.shape[-1] ** -0.5).masked_fill(~mask[:, None], 0.0)
                share = scores.softmax(dim=1) * counted
            slots = slots + share / (share.sum(dim=-1, keepdim=True) + 1e-8) @ values
            slots = slots + self.mlp(self.norm_mlp(slots))
        out: Tensor = self.norm_out(slots)
        return out
