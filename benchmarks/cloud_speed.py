"""Speed and memory of ParticleNet and ParticleTransformer against the published operations.

python benchmarks/cloud_speed.py [--events 8] [--particles 128] [--threads 1] [--repeats 3]

The peers are the published architectures written plainly in PyTorch, in this file, with the same
number of parameters. ParticleNet: neighbours by matrix product, features (x_i, x_j - x_i) put
together on every edge, 1x1 Conv2d, BatchNorm2d. Particle Transformer: Conv1d over the pairs i >= j,
`torch.nn.MultiheadAttention` with the bias as mask, which by default also returns the mean
attention; "no attention returned" is the same with need_weights=False. One step is a forward and a
backward pass in training mode over clouds in which all particles are present, or each with
probability 0.4. Steps of both sides take turns in one process, the ratio is the median of the
steps' own, ours over the peer's.

Memory is the peak resident size (getrusage) of a process that does one step, less that of one that
only builds the module: a fresh process for each batch size.
"""

import argparse
import os
import resource
import subprocess
import sys

if "--threads" in sys.argv:
    os.environ["OMP_NUM_THREADS"] = sys.argv[sys.argv.index("--threads") + 1]
else:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import math

import torch
import torch.nn.functional as F
from _timing import interleaved
from torch import nn

from skhep_ml.neural_network.modules import ParticleNet, ParticleTransformer

N_FEATURES = 7


class PlainEdgeConv(nn.Module):
    def __init__(self, n_in, channels):
        super().__init__()
        widths = [2 * n_in, *channels]
        self.layers = nn.Sequential()
        for a, b in zip(widths, channels, strict=False):
            self.layers.extend([nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()])
        self.shortcut = nn.Sequential(
            nn.Conv1d(n_in, channels[-1], 1, bias=False), nn.BatchNorm1d(channels[-1])
        )

    def forward(self, points, x, k):
        square = points.square().sum(1)
        distance = square[:, :, None] + square[:, None, :] - 2 * points.mT @ points
        index = distance.topk(k + 1, dim=2, largest=False).indices[:, :, 1:]
        n_events, n_features, n_particles = x.shape
        rows = (index + n_particles * torch.arange(n_events)[:, None, None]).flatten()
        flat = x.transpose(1, 2).reshape(-1, n_features)
        neighbour = flat[rows].view(n_events, n_particles, k, n_features).permute(0, 3, 1, 2)
        centre = x[..., None].expand(-1, -1, -1, k)
        edges = self.layers(torch.cat([centre, neighbour - centre], dim=1))
        return F.relu(edges.mean(dim=3) + self.shortcut(x))


class PlainParticleNet(nn.Module):
    def __init__(self, k, channels, hidden):
        super().__init__()
        self.k = k
        self.input_norm = nn.BatchNorm1d(N_FEATURES)
        widths = [N_FEATURES, *(block[-1] for block in channels)]
        self.blocks = nn.ModuleList(
            PlainEdgeConv(n_in, block) for n_in, block in zip(widths, channels, strict=False)
        )
        self.body = nn.Sequential(nn.Linear(widths[-1], hidden), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(hidden, 2)

    def forward(self, X):
        mask = ~X.isnan().all(2)[:, None, :]
        X = torch.nan_to_num(X).transpose(1, 2)
        points = X[:, 1:3] + 1e9 * ~mask
        x = self.input_norm(X) * mask
        for block in self.blocks:
            x = block(points, x, self.k) * mask
            points = x + 1e9 * ~mask
        return self.head(self.body(x.sum(2) / mask.sum(2)))


class PlainBlock(nn.Module):
    def __init__(self, width, n_heads, dropout, *, need_weights):
        super().__init__()
        self.need_weights = need_weights
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, n_heads, dropout)
        self.scale = nn.Parameter(torch.ones(n_heads))
        self.attention_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.LayerNorm(4 * width),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )
        self.residual = nn.Parameter(torch.ones(width))

    def forward(self, x, token=None, absent=None, bias=None):
        if token is None:
            start, query = x, self.norm(x)
            key = query
        else:
            start, key = token, self.norm(torch.cat([token, x]))
            query = token
            absent = F.pad(absent, (1, 0), value=0.0)
        attended = self.attention(
            query, key, key, absent, need_weights=self.need_weights, attn_mask=bias
        )[0]
        heads = attended.unflatten(2, (self.n_heads, -1)) * self.scale[:, None]
        x = start + self.dropout(self.attention_norm(heads.flatten(2)))
        return x * self.residual + self.perceptron(x)


class PlainParticleTransformer(nn.Module):
    def __init__(self, *, need_weights):
        super().__init__()
        layers = [nn.BatchNorm1d(4)]
        for a, b in ((4, 64), (64, 64), (64, 64), (64, 8)):
            layers += [nn.Conv1d(a, b, 1), nn.BatchNorm1d(b), nn.GELU()]
        self.pairs = nn.Sequential(*layers[:-1])
        self.input_norm = nn.BatchNorm1d(N_FEATURES)
        layers = []
        for a, b in ((N_FEATURES, 128), (128, 512), (512, 128)):
            layers += [nn.LayerNorm(a), nn.Linear(a, b), nn.GELU()]
        self.embedding = nn.Sequential(*layers)
        options = {"need_weights": need_weights}
        self.blocks = nn.ModuleList(PlainBlock(128, 8, 0.1, **options) for _ in range(8))
        self.class_blocks = nn.ModuleList(PlainBlock(128, 8, 0.0, **options) for _ in range(2))
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, 128))
        self.norm = nn.LayerNorm(128)
        self.head = nn.Linear(128, 2)

    def bias(self, X):
        n_events, _, n_particles = X.shape
        i, j = torch.tril_indices(n_particles, n_particles)
        a, b = X[:, :3, i].unbind(1), X[:, :3, j].unbind(1)
        delta_phi = (a[2] - b[2] + math.pi) % (2 * math.pi) - math.pi
        delta = ((a[1] - b[1]).square() + delta_phi.square()).sqrt()
        soft = torch.minimum(a[0], b[0])
        mass2 = 2 * a[0] * b[0] * (torch.cosh(a[1] - b[1]) - torch.cos(delta_phi))
        z = soft / (a[0] + b[0]).clamp(min=1e-8)
        values = torch.stack([soft * delta, z, delta, mass2], dim=1).clamp(min=1e-8).log()
        values = self.pairs(values)
        bias = values.new_zeros(n_events, 8, n_particles, n_particles)
        bias[:, :, i, j] = values
        bias[:, :, j, i] = values
        return bias.view(-1, n_particles, n_particles)

    def forward(self, X):
        missing = X.isnan().all(2)
        X = torch.nan_to_num(X).transpose(1, 2)
        bias = self.bias(X)
        absent = torch.where(missing, -torch.inf, 0.0)
        x = self.embedding(self.input_norm(X).permute(2, 0, 1)) * ~missing.T[..., None]
        for block in self.blocks:
            x = block(x, absent=absent, bias=bias)
        token = self.token.expand(1, len(X), -1)
        for block in self.class_blocks:
            token = block(x, token, absent)
        return self.head(self.norm(token)[0])


def ours_and_peers():
    paper = ((64,) * 3, (128,) * 3, (256,) * 3)
    lite = ((32,) * 3, (64,) * 3)
    return {
        "ParticleNet.lite": {
            "published": lambda: PlainParticleNet(7, lite, 128),
            "ours": lambda: ParticleNet.lite(N_FEATURES, 2),
        },
        "ParticleNet": {
            "published": lambda: PlainParticleNet(16, paper, 256),
            "ours": lambda: ParticleNet(N_FEATURES, 2),
        },
        "ParticleTransformer": {
            "published": lambda: PlainParticleTransformer(need_weights=True),
            "no attention returned": lambda: PlainParticleTransformer(need_weights=False),
            "ours": lambda: ParticleTransformer(N_FEATURES, 2),
        },
    }


def clouds(n_events, n_particles, presence):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(n_events, n_particles, N_FEATURES, generator=generator)
    X[..., 0] = X[..., 0].exp()
    # absent particles at the end, at least 17 present, so that k = 16 means the same on both sides
    keep = torch.rand(n_events, n_particles, generator=generator) < presence
    length = keep.sum(1).clamp(min=min(17, n_particles))
    X[torch.arange(n_particles) >= length[:, None]] = torch.nan
    return X, (X[:, 0, 1] > 0).long()


def make_step(module, X, y):
    def step():
        module.zero_grad()
        F.cross_entropy(module(X), y).backward()

    return step


def peak(name, side, n_events, n_particles):
    """Peak resident size in MB of a fresh process."""
    command = [sys.executable, __file__, "--memory", name, side, str(n_events), str(n_particles)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_memory(name, side, n_events, n_particles):
    torch.set_num_threads(1)
    module = ours_and_peers()[name][side]()
    if n_events:
        make_step(module, *clouds(n_events, n_particles, 1.0))()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def speed(options):
    print(
        f"\n{options.events} events of {options.particles} particles, {N_FEATURES} features, ",
        end="",
    )
    print(f"float32, {torch.get_num_threads()} thread(s)\n")
    print("| module | present | against | ours (s) | theirs (s) | ratio |")
    print("|---|---:|---|---:|---:|---:|")
    for name, makers in ours_and_peers().items():
        modules = {side: make() for side, make in makers.items()}
        sizes = {sum(p.numel() for p in module.parameters()) for module in modules.values()}
        assert len(sizes) == 1, sizes
        for presence in (1.0, 0.4):
            X, y = clouds(options.events, options.particles, presence)
            steps = {side: make_step(module, X, y) for side, module in modules.items()}
            for step in steps.values():
                step()
            ours = steps.pop("ours")
            for side, step in steps.items():
                if side != "published" and presence < 1.0:
                    continue
                result = interleaved({side: step, "ours": ours}, options.repeats)
                (slow, _), (fast, ratio) = result.values()
                print(
                    f"| {name} | {presence:.0%} | {side} | {fast:.2f} | {slow:.2f} | {ratio:.2f} |",
                    flush=True,
                )


def memory(options):
    sizes = [options.events // 2, options.events, 2 * options.events]
    header = " | ".join(f"{size} events" for size in sizes)
    print(f"Peak memory of a step in MB, {options.particles} particles, all present\n")
    print(f"| module | side | {header} |\n|---|---|{'---:|' * len(sizes)}")
    for name in ("ParticleNet", "ParticleTransformer"):
        base = peak(name, "ours", 0, options.particles)
        for side in ("published", "ours"):
            used = [peak(name, side, size, options.particles) - base for size in sizes]
            print(f"| {name} | {side} | {' | '.join(f'{u:.0f}' for u in used)} |", flush=True)


def main():
    if "--memory" in sys.argv:
        name, side, *counts = sys.argv[2:]
        measure_memory(name, side, *map(int, counts))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=8)
    parser.add_argument("--particles", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    memory(options)  # first: children start from the peak of their parent
    speed(options)


if __name__ == "__main__":
    main()
