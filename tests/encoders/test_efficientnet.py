"""EfficientNet-Lite0 knows what is in a picture, in every form, alone or in a batch."""

import numpy as np
import pytest
import skimage.data
import torch
from torch.nn.functional import interpolate

from mgsv.encoders.efficientnet import embed_pictures
from mgsv.encoders.networks.efficientnet import Layer, efficientnet_input, load_efficientnet
from tolerances import TRAINED, apart

ESPRESSO = 967  # in ImageNet's order of its 1000 classes


@pytest.fixture(scope="module")
def coffee() -> np.ndarray:
    """scikit-image's photograph of a cup of coffee, the shorter side resized to 256."""
    image = torch.from_numpy(skimage.data.coffee()).permute(2, 0, 1)[None].float()
    height, width = image.shape[2:]
    size = (256, round(256 * width / height))
    resized = interpolate(image, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    return resized.round().clamp(0, 255).byte().numpy()


def test_a_cup_of_coffee_is_an_espresso(coffee: np.ndarray) -> None:
    network = load_efficientnet()
    probabilities = network.classify(network(efficientnet_input([coffee]))).softmax(1)
    assert probabilities.argmax() == ESPRESSO
    assert probabilities.max() > 0.8


@pytest.mark.slow
def test_folding_the_norms_changes_nothing(coffee: np.ndarray) -> None:
    plain, folded = load_efficientnet(folded=False), load_efficientnet(folded=True)
    pictures = efficientnet_input([coffee, coffee[::-1].copy(), 255 - coffee])
    with torch.inference_mode():
        assert apart(folded(pictures), plain(pictures)) <= TRAINED
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in plain.modules())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())


def test_the_exported_network_equals_the_published_one(coffee: np.ndarray) -> None:
    pictures = [coffee, coffee[::-1].copy(), 255 - coffee]
    with torch.inference_mode():
        published = load_efficientnet(folded=False)(efficientnet_input(pictures))
    assert apart(embed_pictures(pictures), published) <= TRAINED


def test_a_picture_gives_the_same_features_alone_and_in_a_batch(coffee: np.ndarray) -> None:
    pictures = [coffee, coffee[:, ::-1].copy(), 255 - coffee, coffee // 2]
    together = embed_pictures(pictures)
    alone = np.concatenate([embed_pictures([picture]) for picture in pictures])
    assert together.shape == (4, 1280)
    assert apart(together, alone) <= TRAINED
    assert np.linalg.norm(together[0] - together[2]) > 1  # and they do tell pictures apart


def test_only_the_centre_is_seen(coffee: np.ndarray) -> None:
    painted = coffee.copy()
    top, left = (256 - 224) // 2, (coffee.shape[1] - 224) // 2
    painted[:top], painted[top + 224 :], painted[:, :left] = 0, 0, 0
    assert torch.equal(efficientnet_input([painted]), efficientnet_input([coffee]))
    assert (
        efficientnet_input([coffee]).min() >= -127 / 128
        and efficientnet_input([coffee]).max() <= 1.0
    )


def test_a_picture_smaller_than_the_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller than 224"):
        embed_pictures([np.zeros((256, 200, 3), np.uint8)])


@pytest.mark.parametrize(("kernel", "size"), [(3, 8), (3, 7), (5, 8), (5, 9)])
def test_padding_is_tensorflows_same(kernel: int, size: int) -> None:
    """With a kernel of one tap, each output shows which input its window's tap lay on.

    TensorFlow's rule: ceil(n / s) windows, the total padding split with the odd zero at the end.
    """
    layer = Layer(1, 1, kernel, stride=2, linear=True).eval()
    layer.norm = torch.nn.Identity()
    outputs = -(-size // 2)
    before = max((outputs - 1) * 2 + kernel - size, 0) // 2
    ramp = torch.arange(1.0, size + 1).expand(1, 1, size, size)
    for tap in range(kernel):
        weight = torch.zeros(1, 1, kernel, kernel)
        weight[..., kernel // 2, tap] = 1
        layer.conv.weight = torch.nn.Parameter(weight)
        places = 2 * np.arange(outputs) - before + tap
        expected = np.where((places >= 0) & (places < size), places + 1, 0)
        assert layer(ramp).shape == (1, 1, outputs, outputs)
        np.testing.assert_array_equal(layer(ramp)[0, 0, 1].detach().numpy(), expected)
