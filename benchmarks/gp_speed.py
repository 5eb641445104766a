"""Gaussian processes: time, RMSE and coverage against scikit-learn and gpytorch.

python benchmarks/gp_speed.py [--events 200000] [--exact-events 5000] [--same-events 2000]
    [--inducing 512] [--epochs 5] [--skip gpytorch ...]

CPU seconds are those of all threads; with OMP_NUM_THREADS=1 they hardly depend on what else runs.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from skhep_ml.gaussian_process import GPRegressor

FEATURES, NOISE = 5, 0.3


def truth(X):
    bend = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.5 * X[:, 2] ** 2
    return bend - 0.3 * X[:, 3] + np.exp(-4 * X[:, 4] ** 2)


def sample(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.5, 1.5, size=(n, FEATURES))
    return X, truth(X) + NOISE * rng.normal(size=n)


def kernel():
    return ConstantKernel() * RBF(np.full(FEATURES, 2.0), (1e-2, 1e3)) + WhiteKernel(0.1)


class GpytorchLoop:
    """The loop of gpytorch's own introduction to variational Gaussian processes."""

    def __init__(self, inducing, epochs, batch=1024):
        self.inducing, self.epochs, self.batch = inducing, epochs, batch

    def fit(self, X, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import gpytorch
        import torch

        class Model(gpytorch.models.ApproximateGP):
            def __init__(self, points):
                q = gpytorch.variational.CholeskyVariationalDistribution(len(points))
                super().__init__(
                    gpytorch.variational.VariationalStrategy(
                        self, points, q, learn_inducing_locations=True
                    )
                )
                self.mean_module = gpytorch.means.ConstantMean()
                self.covar_module = gpytorch.kernels.ScaleKernel(
                    gpytorch.kernels.RBFKernel(ard_num_dims=FEATURES)
                )

            def forward(self, x):
                return gpytorch.distributions.MultivariateNormal(
                    self.mean_module(x), self.covar_module(x)
                )

        torch.manual_seed(0)
        self.mean, self.scale = y.mean(), y.std()
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor((y - self.mean) / self.scale, dtype=torch.float32)
        self.model = Model(X[: self.inducing].clone())
        self.likelihood = gpytorch.likelihoods.GaussianLikelihood()
        parameters = [*self.model.parameters(), *self.likelihood.parameters()]
        adam = torch.optim.Adam(parameters, lr=0.01)
        bound = gpytorch.mlls.VariationalELBO(self.likelihood, self.model, num_data=len(y))
        for _ in range(self.epochs):
            for rows in torch.randperm(len(y)).split(self.batch):
                adam.zero_grad()
                loss = -bound(self.model(X[rows]), y[rows])
                loss.backward()
                adam.step()
        return self

    def predict(self, X, return_std):
        import torch

        self.model.eval()
        self.likelihood.eval()
        with torch.no_grad():
            parts = [
                self.likelihood(self.model(part))
                for part in torch.as_tensor(X, dtype=torch.float32).split(2048)
            ]
        mean = torch.cat([part.mean for part in parts]).double().numpy()
        std = torch.cat([part.stddev for part in parts]).double().numpy()
        return self.mean + self.scale * mean, self.scale * std


def timed(model, X, y):
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(X, y)
    return model, time.perf_counter() - wall, time.process_time() - cpu


def agreement(n):
    X, y = sample(n, 0)
    X_test, _ = sample(2000, 1)
    theirs, wall_theirs, cpu_theirs = timed(
        GaussianProcessRegressor(kernel(), normalize_y=True), X, y
    )
    ours, wall_ours, cpu_ours = timed(GPRegressor(kernel(), method="exact", device="cpu"), X, y)
    mean, std = theirs.predict(X_test, return_std=True)
    mean_ours, std_ours = ours.predict(X_test, return_std=True)
    print(f"\nSame {n} events x {FEATURES}, exact, the same kernel\n")
    print("| | wall s | CPU s | log marginal likelihood |\n|---|---:|---:|---:|")
    rows = [
        ("scikit-learn", theirs, wall_theirs, cpu_theirs),
        ("GPRegressor", ours, wall_ours, cpu_ours),
    ]
    for name, model, wall, cpu in rows:
        value = model.log_marginal_likelihood_value_
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {value:.4f} |")
    print(
        f"\nlargest difference of the mean {np.abs(mean_ours - mean).max() / mean.std():.1e} "
        f"(of the spread of means), of the std {np.abs(std_ours / std - 1).max():.1e}"
    )


def main(args):
    agreement(args.same_events)
    X, y = sample(args.events, 0)
    X_test, y_test = sample(20_000, 1)
    options = {"n_inducing": args.inducing, "random_state": 0, "device": "cpu"}
    sides = {
        "scikit-learn": (args.exact_events, GaussianProcessRegressor(kernel(), normalize_y=True)),
        "sparse": (args.events, GPRegressor(kernel(), method="sparse", **options)),
        "svgp": (
            args.events,
            GPRegressor(kernel(), method="svgp", max_epochs=args.epochs, **options),
        ),
        "gpytorch": (args.events, GpytorchLoop(args.inducing, args.epochs)),
    }
    names = {
        "scikit-learn": "scikit-learn, exact",
        "sparse": 'GPRegressor, "sparse"',
        "svgp": f'GPRegressor, "svgp", {args.epochs} epochs',
        "gpytorch": f"gpytorch SVGP with Adam, {args.epochs} epochs",
    }
    print(
        f"\n{FEATURES} features, {args.inducing} inducing points, noise {NOISE}; RMSE from the "
        "true function, coverage of 20000 new events\n"
    )
    print(
        "| | events | wall s | CPU s | RMSE | 68.3% | 95.0% |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    for name, (n, model) in sides.items():
        if name in args.skip:
            continue
        _, wall, cpu = timed(model, X[:n], y[:n])
        mean, std = model.predict(X_test, return_std=True)
        pull = np.abs(y_test - mean) / std
        rmse = np.sqrt(np.mean((mean - truth(X_test)) ** 2))
        print(
            f"| {names[name]} | {n} | {wall:.0f} | {cpu:.0f} | {rmse:.4f} "
            f"| {(pull < 1).mean():.3f} | {(pull < 1.96).mean():.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--exact-events", type=int, default=5000)
    parser.add_argument("--same-events", type=int, default=2000)
    parser.add_argument("--inducing", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--skip", nargs="*", default=[])
    main(parser.parse_args())
