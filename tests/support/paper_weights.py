"""Small random networks in the layout of the paper's encoders on the hub."""

from __future__ import annotations

from pathlib import Path

import torch


def save_small_models(folder: Path) -> Path:
    """CLIP and AST of one layer, saved whole (text tower, classifier) below `folder`.

    The widths of their outputs are the real ones; few and large patches keep them fast.
    """
    import transformers

    torch.manual_seed(0)
    small = {"intermediate_size": 64, "num_hidden_layers": 1}
    transformers.CLIPModel(
        transformers.CLIPConfig(
            vision_config={"hidden_size": 32, "num_attention_heads": 2, **small},
            text_config={"hidden_size": 32, "num_attention_heads": 2, "vocab_size": 99, **small},
            projection_dim=512,
        )
    ).save_pretrained(folder / "clip-vit-base-patch32")
    transformers.ASTForAudioClassification(
        transformers.ASTConfig(
            hidden_size=768, num_attention_heads=12, time_stride=84, frequency_stride=28, **small
        )
    ).save_pretrained(folder / "ast-finetuned-audioset-10-10-0.4593")
    return folder
