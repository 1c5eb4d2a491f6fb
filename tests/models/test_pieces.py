"""Images in pieces: the same function, the same two derivatives, whoever computes it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from metastudy.models import conv4, first_block, image_chunks
from metastudy.models.first_block import pooled_convolution
from metastudy.models.image_chunks import embed_in_chunks


def pooled(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    return F.max_pool2d(F.conv2d(x, kernel, bias, padding=1), 2)


def inputs(*, wanted: tuple[bool, bool] = (True, True)) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x, kernel, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((5, 2, 5, 4), (3, 2, 3, 3), (3,))
    )
    return x, [w.requires_grad_(grad) for w, grad in zip((kernel, bias), wanted, strict=True)]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch) -> None:
    monkeypatch.setattr(first_block, "IMAGES", 2)
    monkeypatch.setattr(image_chunks, "IMAGES", 2)


FORMS = {
    "keeping little": lambda x, *weights: pooled_convolution(x, *weights, keep_little=True),
    "keeping all": lambda x, *weights: pooled_convolution(x, *weights, keep_little=False),
    "in chunks": lambda x, *weights: embed_in_chunks(lambda x, w, _: pooled(x, *w), x, weights),
}


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


def test_value(form) -> None:
    x, weights = inputs()
    torch.testing.assert_close(form(x, *weights), pooled(x, *weights), rtol=0, atol=1e-14)
    with torch.no_grad():
        torch.testing.assert_close(form(x, *weights), pooled(x, *weights), rtol=0, atol=1e-14)
        assert not form(x, *weights).requires_grad


def test_first_and_second_derivative_against_finite_differences(form) -> None:
    x, weights = inputs()
    assert torch.autograd.gradcheck(lambda *w: form(x, *w), weights)
    assert torch.autograd.gradgradcheck(lambda *w: form(x, *w), weights)


@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
def test_weights_that_are_not_learned_get_no_gradient(form, wanted) -> None:
    x, weights = inputs(wanted=wanted)
    form(x, *weights).square().sum().backward()
    assert tuple(w.grad is not None for w in weights) == wanted
    reference = [w.detach().clone().requires_grad_() for w in weights]
    pooled(x, *reference).square().sum().backward()
    for w, r in zip(weights, reference, strict=True):
        if w.grad is not None:
            torch.testing.assert_close(w.grad, r.grad, rtol=0, atol=1e-12)
    learned = [w for w in weights if w.requires_grad]
    assert torch.autograd.gradgradcheck(
        lambda *w: form(x, *((*w, weights[1]) if wanted[0] else (weights[0], *w))), learned
    )


def test_a_kept_graph_gives_its_gradient_again(form) -> None:
    x, weights = inputs()
    value = form(x, *weights).square().sum()
    first = torch.autograd.grad(value, weights, retain_graph=True)
    again = torch.autograd.grad(value, weights)
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_gradients_into_images_take_the_plain_way(form) -> None:
    x, weights = inputs()
    assert torch.autograd.gradcheck(form, (x.requires_grad_(), *weights))


def test_no_full_size_activation_is_kept_for_the_backward_pass() -> None:
    x, weights = inputs()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        pooled_convolution(x, *weights, keep_little=True)
    names = {t.data_ptr(): t for t in (x, *weights)}
    others = [t for t in kept if t.data_ptr() not in names]
    assert sum(t.numel() for t in others) == 5 * 3 * 2 * 2 and {t.dtype for t in others} == {torch.int16}


def test_a_gradient_finds_the_winning_pixel_of_large_images() -> None:
    """Where the number of a pixel needs more than 16 bits."""
    x = torch.zeros(1, 1, 2, 2**15, dtype=torch.float64)
    x[0, 0, 1, -1] = 1
    kernel = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    kernel[0, 0, 1, 1] = 1
    weights = kernel.requires_grad_(), torch.zeros(1, dtype=torch.float64, requires_grad=True)
    value = pooled_convolution(x, *weights, keep_little=True)[..., -1].sum()
    found, expected = (torch.autograd.grad(v, weights) for v in (value, pooled(x, *weights)[..., -1].sum()))
    assert torch.equal(found[0], expected[0]) and float(found[0][0, 0, 1, 1]) == 1


@pytest.mark.parametrize("keep_little", [True, False])
@pytest.mark.parametrize("scale", ["any", "positive", "negative"])
def test_the_first_block_is_a_block(keep_little: bool, scale: str) -> None:
    """Values and two derivatives, with statistics from patches instead of activations."""
    x, (kernel, bias) = inputs()
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randn(1, 3, generator=generator, dtype=torch.float64) for _ in range(2)]
    if scale != "any":
        rows[0] = rows[0].abs() * (1 if scale == "positive" else -1)
    weights = [w.detach().requires_grad_() for w in (kernel.permute(0, 2, 3, 1)[None], bias[None], *rows)]
    results = []
    for value in (first_block.first_block(x, *weights, keep_little), conv4.block(x, *weights)):
        first = torch.autograd.grad(value.sin().sum(), weights, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), weights)
        results.append((value, *first, *second))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_an_image_of_one_colour_is_no_division_by_zero() -> None:
    weights = [torch.ones(1, 3, 3, 3, 1), torch.zeros(1, 3), torch.ones(1, 3), torch.zeros(1, 3)]
    weights = [w.requires_grad_() for w in weights]
    for shade in (0.0, 1e4):
        value = first_block.first_block(torch.full((2, 1, 4, 4), shade), *weights, True)
        gradients = torch.autograd.grad(value.sum(), weights)
        assert torch.isfinite(value).all() and all(torch.isfinite(g).all() for g in gradients)


def test_a_failing_chunk_is_heard() -> None:
    def fail(x: Tensor, weights: list[Tensor], recompute: bool) -> Tensor:
        raise ArithmeticError("a bad image")

    x, weights = inputs()
    with pytest.raises(ArithmeticError, match="a bad image"):
        embed_in_chunks(fail, x, weights)
