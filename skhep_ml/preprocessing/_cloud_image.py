"""Images from clouds: intensity in pixels of eta and phi."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags

from skhep_ml._clouds import ArrayOutputMixin, feature_position, find_feature
from skhep_ml.exceptions import TruncationWarning
from skhep_ml.preprocessing._cloud_kinematics import (
    CloudTransformer,
    feature_list,
    particle_momenta,
    sum_by_event,
)
from skhep_ml.preprocessing._kinematics import delta_phi, refuse_unphysical
from skhep_ml.preprocessing._statistics import FloatArray

# pixels or particles in one block of events
_BLOCK = 1 << 18


class CloudToImage(ArrayOutputMixin, CloudTransformer):
    r"""Make images of clouds: the intensity that falls in pixels of eta and phi.

    Parameters
    ----------
    n_pixels : int or pair of int, default=32
        Number of pixels in eta and in phi.
    features : sequence of str, default=None
        Names of the features on the last axis, among them "eta" and "phi"; None stands for pt,
        eta, phi, mass, x4, x5, ...; give them wherever they are others or in another order, for
        example ``JaggedToPadded.features_``. The names are known in any case, also behind a prefix,
        as in "jet_pt" or "delta_eta", and "m" and "e" for "mass" and "energy"; exact names go
        first.
    extent : float or pair of float, default=0.4
        Half the width of the image in eta and in phi (radians): it ends at -extent and +extent,
        both included. What falls outside is left out.
    intensity : str or sequence of str, default="pt"
        Feature that is summed in the pixels; a sequence makes one channel of each. "energy" is
        computed from pt, eta and mass where it is no feature.
    center : bool, default=True
        Put the axis of the event, the mean direction weighted by the first channel's intensity,
        in the middle of the image.
    rotate : bool, default=False
        Turn the event around the middle of the image, so that its principal axis (weighted by
        the first channel's intensity) points along eta, the half with more intensity upwards.
    flip : bool, default=False
        Mirror the event in eta and in phi, so that the halves with more intensity (in the first
        channel) are at positive eta and at positive phi.
    normalize : bool, default=False
        Divide each channel of each image by the sum of the absolute values of its pixels.

    Attributes
    ----------
    features_ : list of str
        Names of the features of the clouds.
    channels_ : list of str
        Names of the channels.
    eta_edges_ : ndarray of shape (n_eta + 1,)
        Edges of the pixels in eta.
    phi_edges_ : ndarray of shape (n_phi + 1,)
        Edges of the pixels in phi.
    n_features_in_ : int
        Number of features of the clouds.

    See Also
    --------
    CloudToTable : Columns of a table from clouds.

    Notes
    -----
    The mean azimuth is the weighted mean of the differences to the direction of
    :math:`\sum_i w_i (\cos\phi_i, \sin\phi_i)`, so that nothing happens at
    :math:`\phi = \pm\pi`. Azimuths are wrapped to :math:`(-\pi, \pi]` about the middle of the
    image. The principal axis is at the angle :math:`\frac12 \operatorname{atan2}(2 S_{\eta\phi},
    S_{\eta\eta} - S_{\phi\phi})` from the eta axis, with :math:`S_{ab} = \sum_i w_i a_i b_i`.

    A pixel holds its lower edge, and the last one also its upper edge, as in
    `numpy.histogram2d`. Absent particles, and those whose eta, phi or intensity is missing, add
    nothing; an event without particles is an image of zeros. Sums run in float64, images are
    float32. See J. Cogan et al., Jet-images: computer vision inspired techniques for jet tagging,
    JHEP 02 (2015) 118, arXiv:1407.5675.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import CloudToImage
    >>> jet = [[3.0, 1.0, 3.1], [1.0, 1.2, -3.1], [np.nan] * 3]
    >>> image = CloudToImage(n_pixels=4).fit_transform(np.array([jet]))
    >>> image.shape
    (1, 1, 4, 4)
    >>> image[0, 0]
    array([[0., 0., 0., 0.],
           [0., 3., 0., 0.],
           [0., 0., 1., 0.],
           [0., 0., 0., 0.]], dtype=float32)
    """

    def __init__(
        self,
        n_pixels: int | tuple[int, int] = 32,
        *,
        features: Sequence[str] | None = None,
        extent: float | tuple[float, float] = 0.4,
        intensity: str | Sequence[str] = "pt",
        center: bool = True,
        rotate: bool = False,
        flip: bool = False,
        normalize: bool = False,
    ) -> None:
        self.n_pixels = n_pixels
        self.features = features
        self.extent = extent
        self.intensity = intensity
        self.center = center
        self.rotate = rotate
        self.flip = flip
        self.normalize = normalize

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Make the images.

        Parameters
        ----------
        X : array of shape (n_events, n_particles, n_features)
            Clouds with the features of `fit`.

        Returns
        -------
        float32 array of shape (n_events, n_channels, n_eta, n_phi)
            Images; eta grows with the third index, phi with the fourth.

        Raises
        ------
        ValueError
            X is no cloud, has infinite values, an eta or phi beyond 50 (sentinels) or another
            number of features; the intensity of the first channel is negative where it weighs an
            axis.

        Warns
        -----
        TruncationWarning
            More than half of the intensity of the first channel, summed over all events, lies
            outside the images.
        """
        cloud = self._fitted_cloud(X)
        n_events, n_particles, _ = cloud.shape
        shape = (len(self.channels_), len(self.eta_edges_) - 1, len(self.phi_edges_) - 1)
        out = np.empty((n_events, *shape), dtype=np.float32)
        rows = max(1, _BLOCK // max(shape[1] * shape[2], n_particles))
        sums = np.zeros(2)
        for start in range(0, n_events, rows):
            sums += self._draw(cloud[start : start + rows], out[start : start + rows])
        total, inside = sums
        if inside < total / 2:
            msg = (
                f"{1 - inside / total:.0%} of the intensity {self.channels_[0]!r} lies outside the "
                f"images: give a larger extent than {self.extent!r}, or center them"
            )
            warnings.warn(msg, TruncationWarning, stacklevel=2)
        return out

    def _prepare(self, names: list[str]) -> None:
        n_eta, n_phi = _pair(self.n_pixels)
        if not all(_is_count(number) for number in (n_eta, n_phi)):
            msg = f"n_pixels={self.n_pixels!r} must be a positive integer, or two of them"
            raise ValueError(msg)
        half_eta, half_phi = _pair(self.extent)
        if not all(_is_positive(number) for number in (half_eta, half_phi)):
            msg = f"extent={self.extent!r} must be a positive number, or two of them"
            raise ValueError(msg)
        given = self.intensity
        channels = [given] if isinstance(given, str) else feature_list(given, "intensity")
        if not channels:
            msg = "intensity=[] names no channel"
            raise ValueError(msg)
        for name in ("eta", "phi", *channels):
            computed = name == "energy" and find_feature(names, name, "CloudToImage") is None
            feature_position(names, "pt" if computed else name, "CloudToImage")
        self.channels_ = channels
        self.eta_edges_ = np.linspace(-half_eta, half_eta, n_eta + 1)
        self.phi_edges_ = np.linspace(-half_phi, half_phi, n_phi + 1)

    def _draw(self, block: FloatArray, out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the images of some events; return the first intensity, and what is inside."""
        i_eta, i_phi = (feature_position(self.features_, n, "CloudToImage") for n in ("eta", "phi"))
        used = ~(np.isnan(block[:, :, i_eta]) | np.isnan(block[:, :, i_phi]))
        event = np.nonzero(used)[0]
        particles = block[used]
        weights = [self._channel(particles, name) for name in self.channels_]
        eta: FloatArray = particles[:, i_eta].astype(np.float64)
        phi: FloatArray = particles[:, i_phi].astype(np.float64)
        refuse_unphysical(eta, "eta")
        refuse_unphysical(phi, "phi")
        eta, phi = self._place(eta, phi, weights[0], event, len(block))

        n_eta, n_phi = out.shape[2:]
        row, inside_eta = _pixel(eta, self.eta_edges_)
        column, inside_phi = _pixel(phi, self.phi_edges_)
        inside = inside_eta & inside_phi
        pixel = ((event * n_eta + row) * n_phi + column)[inside]
        for channel, weight in enumerate(weights):
            images = sum_by_event(weight[inside], pixel, len(block) * n_eta * n_phi)
            images = images.reshape(-1, n_eta, n_phi)
            if self.normalize:
                total = np.abs(images).sum(axis=(1, 2), keepdims=True)
                np.divide(images, total, out=images, where=total > 0)
            out[:, channel] = images
        size = np.abs(weights[0])
        return size.sum(), size[inside].sum()

    def _channel(self, particles: FloatArray, name: str) -> FloatArray:
        place = find_feature(self.features_, name, "intensity")
        if place is None:
            values = particle_momenta(particles, self.features_).energy
        else:
            values = particles[:, place].astype(np.float64)
        return np.nan_to_num(values, copy=False)

    def _place(
        self,
        eta: FloatArray,
        phi: FloatArray,
        weight: FloatArray,
        event: NDArray[np.intp],
        n_events: int,
    ) -> tuple[FloatArray, FloatArray]:
        """Coordinates in the image: centred, rotated and mirrored as asked."""
        if (self.center or self.rotate or self.flip) and (weight < 0).any():
            msg = (
                f"the intensity {self.channels_[0]!r} is negative for some particles and cannot "
                "weigh the axis of an event: name another intensity first, or switch center, "
                "rotate and flip off"
            )
            raise ValueError(msg)

        def total(values: FloatArray) -> FloatArray:
            return sum_by_event(weight * values, event, n_events)

        def turned_up(values: FloatArray) -> FloatArray:
            return np.where(total(np.sign(values)) < 0, -1.0, 1.0)[event]

        if self.center:
            sums = sum_by_event(weight, event, n_events)
            sums[sums == 0] = 1.0
            direction = np.arctan2(total(np.sin(phi)), total(np.cos(phi)))
            phi = delta_phi(phi, direction[event])
            eta = eta - (total(eta) / sums)[event]
            phi = phi - (total(phi) / sums)[event]
        phi = delta_phi(phi, 0.0)
        if self.rotate:
            angle = np.arctan2(2 * total(eta * phi), total(eta**2 - phi**2)) / 2
            cos, sin = np.cos(angle)[event], np.sin(angle)[event]
            eta, phi = cos * eta + sin * phi, cos * phi - sin * eta
            side = turned_up(eta)
            eta, phi = side * eta, side * phi
        if self.flip:
            eta, phi = turned_up(eta) * eta, turned_up(phi) * phi
        return eta, phi

    def __sklearn_tags__(self) -> Tags:
        """Images are float32."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _pixel(values: FloatArray, edges: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Pixel of each value, and whether it is inside."""
    n_pixels = len(edges) - 1
    inside = (values >= edges[0]) & (values <= edges[-1])
    quotient = (values - edges[0]) * (n_pixels / (edges[-1] - edges[0]))
    index = np.clip(quotient, 0, n_pixels - 1).astype(np.intp)
    # the quotient may miss an edge by one rounding
    index -= (values < edges[index]) & (index > 0)
    index += (values >= edges[index + 1]) & (index < n_pixels - 1)
    return index, inside


def _pair(value: Any) -> tuple[Any, Any]:
    if isinstance(value, (tuple, list, np.ndarray)) and len(value) == 2:
        return value[0], value[1]
    return value, value


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < np.inf
