import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)

from skhep_ml.gaussian_process._kernels import check_kernel, covariance, default_kernel, variance

RNG = np.random.default_rng(0)
X, Z = RNG.normal(size=(30, 3)), RNG.normal(size=(12, 3))


class AnotherRBF(RBF):
    """A function of its own, which must not pass for an RBF."""

    def __call__(self, X, Y=None, eval_gradient=False):
        return -super().__call__(X, Y)


KERNELS = [
    2.0 * RBF([1.0, 2.0, 3.0]) + WhiteKernel(0.3),
    Matern([1.0, 2.0, 0.5], nu=0.5) * RationalQuadratic(1.2, 0.5) + DotProduct(0.4) ** 3,
    ConstantKernel(2.0, "fixed") * ExpSineSquared(1.1, 2.2) * WhiteKernel(2.0) + Matern(nu=1.5),
    (Matern(0.7, nu=2.5) + 0.5) ** 2 + Matern(1.5, nu=np.inf) + RBF(0.3, "fixed"),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_values_are_those_of_scikit_learn(kernel):
    theta = torch.as_tensor(kernel.theta)
    x, z = torch.as_tensor(X), torch.as_tensor(Z)
    np.testing.assert_allclose(covariance(kernel, theta, x, z), kernel(X, Z), atol=1e-12)
    np.testing.assert_allclose(covariance(kernel, theta, x, x), kernel(X, X), atol=1e-7)
    np.testing.assert_allclose(variance(kernel, theta, x, noise=True), kernel.diag(X))
    np.testing.assert_allclose(
        variance(kernel, theta, x, noise=False), np.diag(kernel(X, X)), atol=1e-12
    )


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_gradients_are_those_of_scikit_learn(kernel):
    slope = RNG.normal(size=(len(X), len(X)))
    theta = torch.as_tensor(kernel.theta).requires_grad_()
    x = torch.as_tensor(X)
    full = covariance(kernel, theta, x, x)
    noise = variance(kernel, theta, x, noise=True) - variance(kernel, theta, x, noise=False)
    ((full + torch.diag(noise)) * torch.as_tensor(slope)).sum().backward()
    expected = np.einsum("ij,ijk->k", slope, kernel(X, eval_gradient=True)[1])
    # distances of an event from itself are zero within the rounding of a difference only
    np.testing.assert_allclose(theta.grad, expected, rtol=1e-5, atol=1e-5)


def test_offsets_do_not_spoil_distances():
    shifted = covariance(
        RBF(1.0), torch.zeros(1), torch.as_tensor(X + 1e6), torch.as_tensor(Z + 1e6)
    )
    np.testing.assert_allclose(shifted, RBF(1.0)(X, Z), atol=1e-8)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (PairwiseKernel(), "PairwiseKernel.*not supported: take ConstantKernel"),
        ("rbf", "kernel 'rbf' is not supported"),
        (RBF(-1.0), "length_scale=-1.0 of RBF must be positive"),
        (-1.0 * RBF(), "constant_value=-1.0 of ConstantKernel must be positive"),
        (RBF(1.0) + WhiteKernel(np.nan), "noise_level=nan"),
        (RBF([1.0, 2.0]), "2 length scales, but X has 3 features"),
        (Matern(nu=2.0), r"nu=2.0 has no closed form: nu must be one of \(0.5"),
        (ExpSineSquared(0.1, 1.0), "is not positive.*ExpSineSquared is a covariance for a single"),
        (DotProduct() ** 0.5, "is not positive"),
        (AnotherRBF() + WhiteKernel(), "kernel AnotherRBF.* is not supported: take"),
        (RBF() ** -1, "is not positive"),
    ],
)
def test_what_is_no_covariance_is_refused(kernel, message):
    with pytest.raises(ValueError, match=message):
        check_kernel(kernel, X)


def test_good_kernels_pass():
    for kernel in [
        RBF() + ConstantKernel(0.0, "fixed"),
        DotProduct(0.0, "fixed") ** 2,
        default_kernel(X, noise=True),
    ]:
        check_kernel(kernel, X)
    check_kernel(ExpSineSquared(0.1, 1.0), X[:, :1])


def test_default_kernel_is_in_units_of_the_features():
    table = np.column_stack([X[:, 0], 1000 * X[:, 1], np.ones(len(X))])
    kernel = default_kernel(table, noise=False)
    scale = kernel.k2.length_scale / np.sqrt(3)
    np.testing.assert_allclose(scale, [X[:, 0].std(), 1000 * X[:, 1].std(), 1.0])
