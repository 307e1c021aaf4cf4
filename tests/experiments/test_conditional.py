"""Labels from the data through training to guided samples; the unconditional case stays as it was."""

import pytest
import torch
from torch.nn import functional as F

from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion.guidance import classifier_free_guidance
from diffmemlib.diffusion.losses import DenoisingLoss
from diffmemlib.diffusion.samplers import sample
from diffmemlib.diffusion.schedule import Schedule, forward_noise
from diffmemlib.experiments.gmm import GmmConfig, run
from diffmemlib.files import NumberedFiles
from diffmemlib.nets.mlp import ResidualMLP
from diffmemlib.randomness import generator, seeded
from diffmemlib.training.loop import make_optimizer, train

S = Schedule()
X, Y = GaussianMixture(d=2).labelled(24, 0)
X = X.float()


def evaluate(loss: DenoisingLoss, model, x0, g, labels):
    return loss.per_sample(model, x0, labels, *loss.draw_noise(x0, g, labels)).mean()


def net() -> ResidualMLP:
    return seeded(0, lambda: ResidualMLP(2, 8, classes=2))


def trained(steps: int, drop: float = 0.1, labels=Y, **options) -> ResidualMLP:
    model = net()
    for _ in train(
        model, X, make_optimizer(model, "adam", 1e-2), DenoisingLoss(S, drop),
        seed=1, milestones=[steps], batch=24, labels=labels, **options,
    ):  # fmt: skip
        pass
    return model


def test_without_guidance_a_draw_is_the_conditional_model_itself():
    model, x, k = net(), torch.randn(6, 2), torch.randint(1, 999, (6,))
    y = torch.tensor([0, 1, 0, 1, 1, 0])
    assert torch.equal(classifier_free_guidance(model, y, 0.0)(x, k), model(x, k, y))
    assert torch.equal(classifier_free_guidance(model, 1)(x, k), model(x, k, torch.ones(6).long()))


@pytest.mark.parametrize("w", [0.5, 3.0])
def test_guidance_is_that_of_classifier_free_guidance(w: float):
    model, x, k, y = net(), torch.randn(6, 2), torch.randint(1, 999, (6,)), torch.tensor([0, 1, 0, 1, 1, 0])
    expected = (1 + w) * model(x, k, y) - w * model(x, k, None)
    torch.testing.assert_close(classifier_free_guidance(model, y, w)(x, k), expected)
    assert not torch.allclose(expected, model(x, k, y))


def test_a_hidden_label_is_no_label():
    model, x, k = net(), torch.randn(6, 2), torch.randint(1, 999, (6,))
    assert torch.equal(model(x, k, torch.full((6,), -1)), model(x, k))
    assert not torch.equal(model(x, k, torch.zeros(6).long()), model(x, k))


def test_labels_go_with_their_samples_whatever_the_batch():
    model, y = net(), torch.tensor([0, 0, 1, 0, 1, 1, 1, 1, 0])  # no two batches of 4 are labelled alike
    options = {"steps": 10, "labels": y, "guidance": 1.0}
    whole = sample(model, 9, (2,), S, 7, **options)
    torch.testing.assert_close(whole, sample(model, 9, (2,), S, 7, batch_size=4, **options), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(whole, sample(model, 9, (2,), S, 7, **{**options, "labels": 1 - y}))


def test_the_loss_hides_the_share_of_labels_that_was_asked_for():
    model, n = net(), 20_000
    x, y = GaussianMixture(d=2).labelled(n, 1)
    seen = []
    model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[2]))
    evaluate(DenoisingLoss(S, 0.3), model, x.float(), generator(0, "noise", 0), y)
    assert (seen[0] == -1).float().mean().item() == pytest.approx(0.3, abs=0.015)
    assert torch.equal(seen[0][seen[0] >= 0], y[seen[0] >= 0])


def test_the_loss_is_plain_denoising_score_matching_with_labels():
    model, g = net(), generator(5, "noise", 0)
    k, eps = torch.randint(1, 1000, (24,), generator=g), torch.randn(24, 2, generator=g)
    expected = F.mse_loss(model(forward_noise(X, k, eps, S), k, Y), eps)
    torch.testing.assert_close(evaluate(DenoisingLoss(S), model, X, generator(5, "noise", 0), Y), expected)


def test_rows_of_labels_that_training_never_shows_do_not_move():
    """With every label hidden only the row of `no label` learns, and with none hidden it is the one that does not."""
    start, never, always = net().label.weight, trained(5, drop=1.0).label.weight, trained(5, drop=0.0).label.weight
    assert torch.equal(never[1:], start[1:]) and not torch.equal(never[0], start[0])
    assert torch.equal(always[0], start[0]) and not torch.equal(always[1], start[1])


def test_a_conditional_run_resumes_bit_for_bit(tmp_path):
    whole = trained(20)
    files = NumberedFiles(tmp_path, ".safetensors")
    trained(8, checkpoints=files)
    resumed = trained(20, checkpoints=files)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_mini_batches_keep_point_and_label_together():
    """Labels that equal the point's sign must be learned with them: the net is shown no other pair."""
    seen = []
    model = net()
    model.register_forward_pre_hook(lambda _, arguments: seen.append((arguments[0], arguments[2])))
    x = torch.where(Y[:, None] == 1, 1e3, -1e3) * torch.ones(24, 2)  # far out, so that noise never changes the sign
    loss = DenoisingLoss(S)
    for _ in train(model, x, make_optimizer(model, "sgd", 1e-9), loss, seed=0, milestones=[6], batch=7, labels=Y):
        pass
    for noised, label in seen:
        early = noised.abs().amax(1) > 50
        assert early.any()
        assert torch.equal(noised[early, 0] > 0, label[early] == 1)


@pytest.mark.parametrize("guidance", [0.0, 1.0])
def test_a_conditional_run_measures_each_class(guidance: float, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    given = {"tier": "smoke", "conditional": True, "guidance": guidance, "share": 0.25, "sampler": "ddim",
             "sampling_steps": 10, "steps": 20, "milestones": 2}  # fmt: skip
    result = run(GmmConfig.from_parameters(given), show_progress=False)
    metrics = set(result.curves["metric"])
    each = ["f_mem", "kl_nn"] if guidance else ["f_mem", "kl_nn", "kl", "kl_fisher"]
    assert {f"{m}_class_{c}" for m in each for c in (0, 1)} <= metrics
    assert ("kl_fisher_class_0" in metrics) == (guidance == 0)
    mean = (result.curve("f_mem_class_0") + result.curve("f_mem_class_1"))["value"] / 2
    assert mean.tolist() == pytest.approx(result.curve("f_mem")["value"].tolist())


def test_settings_that_came_later_leave_older_identities_as_they_were():
    given = {"tier": "laptop", "n": 64, "balanced": False}
    plain = GmmConfig.from_parameters(given)
    assert plain.id == GmmConfig.from_parameters(given | {"conditional": False}).id
    assert plain.id != GmmConfig.from_parameters(given | {"conditional": True}).id
    assert plain.result_dir.exists(), "the stored run of these settings has this identity"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"guidance": 1.0}, "guidance = 1.0"),
        ({"conditional": True, "label_drop": 0.0, "guidance": 1.0}, "guidance = 1.0"),
        ({"share": 1.0}, "share = 1.0"),
        ({"spread": 0.0}, "spread = 0.0"),
        ({"conditional": True, "samples": 150}, "samples = 150"),
        ({"sampling_steps": 1}, "sampling_steps = 1"),
    ],
)
def test_bad_settings_name_themselves(given: dict, message: str):
    with pytest.raises(ValueError, match=message):
        GmmConfig.from_parameters({"tier": "smoke", **given})
