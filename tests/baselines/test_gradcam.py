"""Grad-CAM on networks whose maps are known, against captum on the whole model and against its formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from genlens.baselines.gradcam import GradCam, rank_by_gradcam
from genlens.baselines.layers import Layout, default_layer, find_layout
from genlens.baselines.targets import group_targets
from genlens.classifiers.bottleneck import ConceptBottleneck
from genlens.classifiers.callable import CallableClassifier
from genlens.classifiers.preprocess import ImagePreprocess
from genlens.classifiers.torch_module import TorchClassifier
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError


class TinyViT(nn.Module):
    """Patches of 8 x 8, a class token, two pre-norm blocks, a head on the class token."""

    def __init__(self, n_classes: int = 2, class_token: bool = True) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 12)) if class_token else None
        block = nn.TransformerEncoderLayer(12, 2, 24, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, n_classes)
        for parameter in self.parameters():  # layers of TransformerEncoder start as copies of one another
            nn.init.normal_(parameter, std=0.3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch(images).flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = self.norm(self.blocks(tokens))
        return self.head(tokens.mean(dim=1) if self.token is None else tokens[:, 0])


def group(*classifiers):
    return group_targets(list(classifiers))[0]


@pytest.fixture
def two_squares(squares: ConceptTable) -> np.ndarray:
    return load_image(squares.image_paths[3])


def test_the_map_of_a_colour_is_its_square(squares: ConceptTable, colour_net) -> None:
    models = [ConceptBottleneck(colour_net, weights, on="logits") for weights in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])]
    result = rank_by_gradcam(models, squares, batch_size=3)
    assert result.settings["layer"] == ["relu"]
    both = result.per_image[3]  # both squares: 256 red pixels, 64 blue ones
    assert both[0] == pytest.approx([1.0, 0.0])
    assert both[1] == pytest.approx([0.0, 1.0])
    assert both[2] == pytest.approx([256 / 320, 64 / 320])
    assert result.importance[0] == pytest.approx([1.0, 0.0])
    assert result.ranking(1)["concept"].tolist() == ["blue", "red"]


@pytest.mark.parametrize("on", ["logits", "probabilities"])
def test_shared_maps_equal_captum_on_the_whole_model(two_squares: np.ndarray, colour_net, on) -> None:
    torch.manual_seed(0)
    nn.init.normal_(colour_net.module.colour.weight)
    weights = np.array([[0.7, 0.2], [-0.4, 0.9]])
    explainer = GradCam(group(*(ConceptBottleneck(colour_net, w, on=on) for w in weights)))
    inputs = explainer.inputs([two_squares])
    found = explainer.maps(inputs)
    for m, w in enumerate(weights):

        def whole(images: Tensor, w: np.ndarray = w) -> Tensor:
            concepts = colour_net.module(images)
            return (concepts.sigmoid() if on == "probabilities" else concepts) @ torch.tensor(w, dtype=torch.float32)

        direct = LayerGradCam(whole, colour_net.module.relu)
        expected = direct.attribute(inputs.requires_grad_(), relu_attributions=True)
        assert found[0, m] == pytest.approx(expected.detach().numpy()[0, 0], abs=1e-6)
    assert found.max() > 0


def test_a_sure_sigmoid_hides_its_concept_unless_explained_before_it(squares: ConceptTable, colour_net) -> None:
    with torch.no_grad():
        colour_net.module.colour.weight[0] *= 20  # red is seen with a log-odds of about 38, blue of about -.5
    model = ConceptBottleneck(colour_net, [1.0, 0.1])
    behind, before = (rank_by_gradcam([model], squares, pre_sigmoid=value).per_image[3, 0] for value in (False, True))
    assert behind == pytest.approx([0.0, 1.0])
    assert before == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize("class_token", [True, False])
def test_a_transformer_is_explained_on_its_grid_of_patches(two_squares: np.ndarray, class_token: bool) -> None:
    torch.manual_seed(1)
    model = TorchClassifier(TinyViT(class_token=class_token))
    target = int(class_token)  # the class with positive evidence
    explainer = GradCam(group_targets([model], target)[0])
    inputs = explainer.inputs([two_squares, two_squares[::-1]])
    maps = explainer.maps(inputs)
    assert maps.shape == (2, 1, 32, 32)
    # behind the class token's last attention patches reach nothing, so the norm before it is the last one that can tell
    assert explainer.layer == ("blocks.layers.1.norm1" if class_token else "norm")

    kept = []
    layer = model.module.get_submodule(explainer.layer)
    handle = layer.register_forward_hook(lambda _module, _args, output: kept.append(output))
    outputs = model.module(inputs.requires_grad_())
    handle.remove()
    gradient = torch.autograd.grad((outputs[:, target] - outputs[:, 1 - target]).sum(), kept[0])[0]
    drop = 1 if class_token else 0
    patches, slopes = kept[0][:, drop:], gradient[:, drop:]
    cam = torch.relu((patches * slopes.mean(dim=1, keepdim=True)).sum(dim=2)).reshape(2, 1, 4, 4)
    expected = nn.functional.interpolate(cam, (32, 32), mode="bilinear")
    assert maps == pytest.approx(expected.detach().numpy(), abs=1e-5)
    assert maps.max() > 0


def test_the_layer_can_be_named(two_squares: np.ndarray) -> None:
    torch.manual_seed(2)
    explainer = GradCam(group(TorchClassifier(TinyViT())), "patch")
    assert explainer.maps(explainer.inputs([two_squares])).shape == (1, 1, 32, 32)
    with pytest.raises(UserError, match=r"`layer` must name a layer of the model; got 'patsh'\. Near: patch"):
        GradCam(group(TorchClassifier(TinyViT())), "patsh")
    explainer = GradCam(group(TorchClassifier(TinyViT())), "head")
    with pytest.raises(UserError, match=r"The output of layer 'head' has the shape \(1, 2\), which is no map"):
        explainer.maps(explainer.inputs([two_squares]))


def test_masks_go_through_the_networks_own_crop() -> None:
    preprocess = ImagePreprocess((16, 16), (0.5, 0.5, 0.5), (0.2, 0.3, 0.4), "center", 0.5)  # 64 -> 32 -> centre 16
    explainer = GradCam(group(TorchClassifier(nn.Conv2d(3, 1, 1), preprocess)))
    masks = np.zeros((2, 64, 64), dtype=bool)
    masks[0, 16:32, 16:32] = True  # the upper left quarter of the crop
    masks[1, :8] = True  # cut off
    seen = explainer.masks(masks)
    assert seen.shape == (2, 16, 16)
    assert seen[0, :7, :7].all()
    assert not seen[0, 9:].any()
    assert not seen[1].any()


def test_a_black_box_is_refused(squares: ConceptTable) -> None:
    model = CallableClassifier(lambda images: images.mean(axis=(1, 2, 3)), fingerprint="mean")
    with pytest.raises(UserError, match=r"Grad-CAM needs gradients, so a torch module .* got CallableClassifier"):
        rank_by_gradcam([model], squares)


def test_a_network_without_places_is_refused(two_squares: np.ndarray) -> None:
    explainer = GradCam(group(TorchClassifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1)))))
    with pytest.raises(UserError, match="Grad-CAM found no layer with a spatial extent"):
        explainer.maps(explainer.inputs([two_squares]))


def test_other_bad_input(squares: ConceptTable, colour_net) -> None:
    model = ConceptBottleneck(colour_net, [1.0, 0.0])
    with pytest.raises(UserError, match="Grad-CAM needs the pixels of concepts, and this table has no masks"):
        rank_by_gradcam([model], replace(squares, masks=None))
    with pytest.raises(UserError, match="`batch_size` must be an integer >= 1; got 0"):
        rank_by_gradcam([model], squares, batch_size=0)
    with pytest.raises(UserError, match="`target_class` must be given: the classifier has 3 classes"):
        rank_by_gradcam([TorchClassifier(TinyViT(3))], squares)
    assert rank_by_gradcam([TorchClassifier(TinyViT(3))], squares, target_class=2).importance.shape == (1, 2)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((1, 64, 8, 8), (64, 64), Layout("channels first", (8, 8))),
        ((1, 8, 8, 64), (64, 64), Layout("channels last", (8, 8))),
        ((1, 32, 6, 8), (96, 128), Layout("channels first", (6, 8))),
        ((1, 32, 8, 11), (250, 333), Layout("channels first", (8, 11))),
        ((1, 197, 768), (224, 224), Layout("tokens", (14, 14), 1)),
        ((1, 261, 768), (224, 224), Layout("tokens", (16, 16), 5)),  # class token and four registers
        ((1, 49, 768), (224, 224), Layout("tokens", (7, 7))),
        ((1, 64, 1, 1), (64, 64), None),
        ((1, 64), (64, 64), None),
    ],
)
def test_layouts(shape, size, expected) -> None:
    assert find_layout(shape, size) == expected


def test_a_given_grid_overrides_the_proportions() -> None:
    assert find_layout((1, 13, 8), (64, 64), (3, 4)) == Layout("tokens", (3, 4), 1)
    assert find_layout((1, 8, 3, 4), (64, 64), (3, 4)) == Layout("channels first", (3, 4))


def test_grids_can_be_put_back() -> None:
    for shape in ((2, 17, 5), (2, 4, 4, 5), (2, 5, 4, 4)):
        output = torch.randn(shape)
        layout = find_layout(shape, (32, 32))
        grid = layout.to_grid(output)
        assert grid.shape == (2, 5, 4, 4)
        assert torch.equal(layout.from_grid(grid, output), output)


def test_a_layer_that_runs_twice_is_no_default() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            return self.relu(self.second(self.relu(self.first(images)))).mean(dim=(1, 2, 3))

    module = Twice()
    assert default_layer(module, torch.rand(1, 3, 16, 16), module) == "second"
