"""Numbers of few digits are what they are said to be, and a network in them is the network up to these digits."""

import numpy as np
import torch

from diffmemlib.bench import precision
from diffmemlib.bench.precision import in_tf32, precision_report, precision_study, precisions, to_tf32
from diffmemlib.nets.unet import UNet
from diffmemlib.randomness import generator, seeded


def test_tf32_has_ten_digits_after_the_point_ties_to_even():
    ulp = 2.0**-10
    x = torch.tensor([1 + 0.4 * ulp, 1 + 0.6 * ulp, 1 + 0.5 * ulp, 1 + 1.5 * ulp, -1 - 0.6 * ulp, 0.0, 3e-39, 1e30])
    expected = [1.0, 1 + ulp, 1.0, 1 + 2 * ulp, -1 - ulp, 0.0]
    assert to_tf32(x)[:6].tolist() == expected
    g = torch.randn(10_000, generator=generator(0, "tf32"))
    assert float(((to_tf32(g) - g) / g).abs().max()) <= 2.0**-11
    assert torch.equal(to_tf32(to_tf32(g)), to_tf32(g))


def test_bfloat16_rounded_likewise_is_that_of_torch(monkeypatch):
    """The same lines with other digits are judged by a format that torch has."""
    monkeypatch.setattr(precision, "DROPPED", 16)
    g = torch.randn(10_000, generator=generator(1, "tf32"))
    assert torch.equal(to_tf32(g), g.bfloat16().float())


def test_a_network_in_few_digits_is_near_to_itself():
    net = seeded(0, lambda: UNet(8)).eval()
    x, k = torch.randn(4, 1, 16, 16, generator=generator(0, "x")), torch.tensor([1, 50, 500, 999])
    with torch.no_grad():
        outputs = {name: predict(x, k) for name, predict in precisions(net).items()}
    off = {name: float((y - outputs["float32"]).norm() / outputs["float32"].norm()) for name, y in outputs.items()}
    assert 1e-5 < off["TF32"] < 3e-3 < off["bfloat16"] < 5e-2
    assert in_tf32(net) is not net and type(net.middle[0].attention).__name__ == "Attention", "the network stays"


def test_the_study_says_what_changes(monkeypatch):
    monkeypatch.setattr(precision, "SAMPLING_STEPS", 5)
    found = precision_study(samples=40, milestones=(1, 2))
    assert [(row["step"], row["precision"]) for row in found["rows"]] == [
        (step, name) for step in (1, 2) for name in ("float32", "TF32", "bfloat16")
    ]
    exact, tf32, half = found["rows"][:3]
    assert exact["moved"] == exact["changed"] == 0 < tf32["moved"] < half["moved"]
    assert np.isclose(exact["fd"][0], tf32["fd"][0], rtol=0.05)
    assert 0 < abs(exact["loss_test"] - half["loss_test"]) < 0.01 * exact["loss_test"]
    assert len(precision_report(found).splitlines()) == 7
