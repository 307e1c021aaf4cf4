"""The U-Net: the paper's parameter counts, its parts against plain formulas, and what it refuses."""

import math

import pytest
import torch
from torch.nn import functional as F

from diffmemlib.nets.cpu import CPUAttention, CPUDropout, use_cpu_layers
from diffmemlib.nets.unet import Attention, Block, UNet


@pytest.mark.parametrize(
    ("width", "count"), [(8, 263_089), (16, 1_026_657), (32, 4_055_233), (48, 9_085_729), (64, 16_118_145)]
)
def test_the_parameter_counts_are_the_papers(width: int, count: int):
    for variant in ("paper", "early"):
        net = UNet(width, variant=variant)
        assert sum(p.numel() for p in net.parameters()) + net.embedding.numel() == count


@pytest.mark.parametrize(("variant", "slowest"), [("paper", 1e-4), ("early", 1e-4 ** (1 - 2 / 16))])
def test_the_slowest_frequency_of_the_time_table(variant: str, slowest: float):
    table = UNet(16, variant=variant).embedding.double()
    torch.testing.assert_close(table[:, 7], torch.sin(slowest * torch.arange(1000.0).double()), rtol=0, atol=1e-6)
    torch.testing.assert_close(table[:, 0], torch.sin(torch.arange(1000.0).double()), rtol=0, atol=1e-6)


def test_attention_starts_and_acts_as_torchs_own():
    """With the same weights the same output, and first weights of the same distribution: range, spread, no bias."""
    torch.manual_seed(0)
    ours = next(m for m in UNet(64).modules() if isinstance(m, Attention))
    channels = ours.out.in_features
    theirs = torch.nn.MultiheadAttention(channels, 4, batch_first=True)
    for mine, other in ((ours.qkv.weight, theirs.in_proj_weight), (ours.out.weight, theirs.out_proj.weight)):
        for statistic in (lambda w: float(w.detach().abs().max()), lambda w: float(w.detach().std())):
            assert statistic(mine) == pytest.approx(statistic(other), rel=0.02)
    assert not any(b.any() for b in (ours.qkv.bias, ours.out.bias, theirs.in_proj_bias, theirs.out_proj.bias))
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.out_proj.weight.copy_(ours.out.weight)
    x = torch.randn(2, channels, 4, 4)
    pixels = ours.norm(x).flatten(2).mT
    mixed = theirs(pixels, pixels, pixels, need_weights=False)[0]
    torch.testing.assert_close(ours(x), x + mixed.mT.reshape(x.shape), rtol=1e-4, atol=1e-5)


def test_the_papers_dropout_is_of_whole_channels_and_its_time_embedding_has_gelu():
    torch.manual_seed(0)
    net, seen = UNet(8, dropout=0.5), []
    hooks = [b.dropout.register_forward_hook(lambda *a: seen.append(a[2])) for b in net.modules() if type(b) is Block]
    net(torch.randn(4, 1, 8, 8), torch.tensor([1, 2, 3, 4]))
    assert len(seen) == len(hooks) == 17
    dropped = torch.cat([(h == 0).all((2, 3)).flatten() for h in seen]).double().mean()
    assert float(dropped) == pytest.approx(0.5, abs=0.05)
    assert not any(((h == 0).any((2, 3)) & (h != 0).any((2, 3))).any() for h in seen)
    k = torch.tensor([7])
    first, last = net.time[0], net.time[2]
    torch.testing.assert_close(net.time(net.embedding[k]), F.silu(last(F.gelu(first(net.embedding[k])))))
    early = UNet(8, variant="early")
    first, last = early.time[0], early.time[2]
    torch.testing.assert_close(early.time(early.embedding[k]), F.silu(last(F.silu(first(early.embedding[k])))))
    assert {type(b.dropout) for b in early.modules() if type(b) is Block} == {torch.nn.Dropout}


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="variant = 'tied': choose one of paper, early"):
        UNet(8, variant="tied")


@pytest.mark.parametrize("kind", [Attention, CPUAttention])
@pytest.mark.parametrize("side", [4, 8, 9])  # on a CPU by the formula up to 8, fused above
def test_attention_is_soft_max_over_pixels_in_four_heads(side: int, kind: type[Attention]):
    torch.manual_seed(0)
    layer, x = kind(16), torch.randn(3, 16, side, side)
    pixels = F.group_norm(x, 8, layer.norm.weight, layer.norm.bias).flatten(2).mT  # (3, pixels, 16 channels)
    q, k, v = (pixels @ layer.qkv.weight.T + layer.qkv.bias).chunk(3, dim=-1)
    heads = []
    for h in range(4):
        part = slice(4 * h, 4 * h + 4)
        weight = torch.softmax(q[..., part] @ k[..., part].mT / math.sqrt(4), dim=-1)
        heads.append(weight @ v[..., part])
    plain = x + (torch.cat(heads, -1) @ layer.out.weight.T + layer.out.bias).mT.reshape(x.shape)
    torch.testing.assert_close(layer(x), plain, rtol=1e-4, atol=1e-5)


def test_a_block_adds_the_time_embedding_between_its_convolutions():
    torch.manual_seed(0)
    block, x, e = Block(8, 16, 4, torch.nn.Identity(), attention=False), torch.randn(2, 8, 6, 6), torch.randn(2, 4)
    h = block.conv_1(F.silu(F.group_norm(x, 8)))  # weights of a fresh norm are 1 and 0
    h = h + (e @ block.time.weight.T + block.time.bias).view(2, 16, 1, 1)
    h = block.conv_2(F.silu(F.group_norm(h, 8))) + block.shortcut(x)
    torch.testing.assert_close(block(x, e), h)


@pytest.mark.parametrize("side", [8, 16, 32])
def test_memory_format_and_batch_do_not_change_the_prediction(side: int):
    torch.manual_seed(0)
    net = UNet(8).eval()
    x, k = torch.randn(3, 1, side, side), torch.tensor([1, 500, 999])
    plain = net(x, k)
    assert plain.shape == x.shape
    torch.testing.assert_close(net(x[1:2], k[1:2]), plain[1:2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.to(memory_format=torch.channels_last)(x, k), plain, rtol=1e-4, atol=1e-5)


def test_time_and_every_weight_matter():
    torch.manual_seed(0)
    net = UNet(8)
    x = torch.randn(2, 1, 8, 8)
    net.eval()
    assert not torch.allclose(net(x, torch.tensor([1, 1])), net(x, torch.tensor([900, 900])))
    net(x, torch.tensor([1, 900])).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    net, x, k = UNet(8), torch.randn(2, 1, 8, 8), torch.tensor([5, 6])
    assert not torch.equal(net(x, k), net(x, k))
    net.eval()
    assert torch.equal(net(x, k), net(x, k))


def test_both_ways_of_attention_have_the_same_gradients():
    torch.manual_seed(0)
    layer, x = Attention(16).double(), torch.randn(3, 16, 8, 8, dtype=torch.float64)
    x = x.to(memory_format=torch.channels_last)
    gradients = []
    for kind in (Attention, CPUAttention):
        layer.__class__ = kind
        gradients.append(torch.autograd.grad(layer(x).square().sum(), list(layer.parameters())))
    for formula, fused in zip(*gradients, strict=True):
        torch.testing.assert_close(formula, fused)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_a_share_p_and_keeps_the_mean(p: float):
    torch.manual_seed(0)
    layer, x = CPUDropout(p), torch.ones(7, 16, 33, 33, requires_grad=True)
    y = layer(x)
    dropped = (y == 0).double()
    assert float(dropped.mean()) == pytest.approx(p, abs=4 * (p * (1 - p) / x.numel()) ** 0.5)
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - p)), rtol=2e-5, atol=0)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y)  # of ones: the same factor forward and backward
    for axis in range(4):  # neighbours along any axis are dropped independently of each other
        one, other = dropped.narrow(axis, 0, x.shape[axis] - 1), dropped.narrow(axis, 1, x.shape[axis] - 1)
        both = float((one * other).mean())
        assert both == pytest.approx(p**2, abs=5 * p / one.numel() ** 0.5)


def test_dropout_does_not_depend_on_the_layout_in_memory():
    x = torch.randn(3, 8, 5, 5)
    torch.manual_seed(1)
    plain = CPUDropout(0.3)(x)
    torch.manual_seed(1)
    last = CPUDropout(0.3)(x.to(memory_format=torch.channels_last))
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_layers_for_a_cpu_are_the_reference_in_another_form():
    """Without dropout the same prediction, with names and weights that load into each other."""
    torch.manual_seed(0)
    net, x, k = UNet(8, variant="early"), torch.randn(2, 1, 16, 16), torch.tensor([5, 600])
    plain, names = net.eval()(x, k), list(net.state_dict())
    use_cpu_layers(net)
    assert {type(m) for m in net.modules()} >= {CPUAttention, CPUDropout}
    assert list(net.state_dict()) == names
    torch.testing.assert_close(net(x, k), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 24), (4, 8), (32, 16)])
@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 0), (3, 10), (5, 2)])
def test_images_may_have_channels_labels_and_unequal_sides(shape: tuple[int, int], channels: int, classes: int):
    torch.manual_seed(0)
    net = UNet(8, channels=channels, classes=classes).eval()
    x, k = torch.randn(2, channels, *shape), torch.tensor([3, 700])
    hidden = net(x, k)
    assert hidden.shape == x.shape
    if classes:
        torch.testing.assert_close(net(x, k, torch.tensor([-1, -1])), hidden)
        assert not torch.allclose(net(x, k, torch.tensor([0, 0])), hidden)
        assert not torch.allclose(net(x, k, torch.tensor([0, 1]))[1], net(x, k, torch.tensor([0, 0]))[1])
    else:
        with pytest.raises(ValueError, match="labels for a network without classes"):
            net(x, k, torch.tensor([0, 0]))
    with pytest.raises(ValueError, match=rf"takes \(m, {channels}, height, width\) with sides that are multiples of 4"):
        net(torch.randn(2, channels, 16, 18), k)
    with pytest.raises(ValueError, match="images of shape"):
        net(torch.randn(2, channels + 1, *shape), k)


@pytest.mark.parametrize("width", [0, 4, 12, 20])
def test_a_width_that_groups_or_heads_cannot_divide_is_refused(width: int):
    with pytest.raises(ValueError, match=f"width = {width}.*such as 8, 16, 32, 48, 64"):
        UNet(width)
