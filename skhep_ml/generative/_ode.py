"""Ordinary differential equations with a fixed number of steps, and the change of volume."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]

SOLVERS = ("euler", "midpoint", "heun", "rk4")


def integrate(velocity: Velocity, x: Tensor, times: list[float], solver: str) -> Tensor:
    """Solution at the last time of dx/dt = velocity(x, t) that begins with x at the first.

    Parameters
    ----------
    velocity : callable
        From events and a time to their derivative.
    x : Tensor
        Events at the first time.
    times : list of float
        Ends of the steps, rising or falling.
    solver : {"euler", "midpoint", "heun", "rk4"}
        Explicit method, of order 1, 2, 2 and 4, with as many evaluations a step.
    """
    for t, end in pairwise(times):
        h = end - t
        k1 = velocity(x, t)
        if solver == "euler":
            x = x + h * k1
        elif solver == "midpoint":
            x = x + h * velocity(x + 0.5 * h * k1, t + 0.5 * h)
        elif solver == "heun":
            x = x + 0.5 * h * (k1 + velocity(x + h * k1, end))
        else:
            k2 = velocity(x + 0.5 * h * k1, t + 0.5 * h)
            k3 = velocity(x + 0.5 * h * k2, t + 0.5 * h)
            k4 = velocity(x + h * k3, end)
            x = x + h / 6 * (k1 + 2 * (k2 + k3) + k4)
    return x


def with_divergence(velocity: Velocity) -> Velocity:
    """Velocity of events with a last column that integrates the divergence of the others."""

    def both(y: Tensor, t: float) -> Tensor:
        with torch.enable_grad():
            x = y[:, :-1].detach().requires_grad_()
            value = velocity(x, t)
            divergence = torch.zeros_like(x[:, 0])
            for index in range(x.shape[1]):
                # rows do not see each other: one backward pass for a column of all of them
                slope = torch.autograd.grad(value[:, index].sum(), x, retain_graph=True)[0]
                divergence = divergence + slope[:, index]
        return torch.cat([value.detach(), divergence[:, None]], dim=1)

    return both


def even_times(start: float, end: float, n_steps: int) -> list[float]:
    """Ends of steps of equal length."""
    return [start + (end - start) * k / n_steps for k in range(n_steps + 1)]
