"""Decorators of the files in `plugins/` beside `config/`: code of your own, by the name that a config says.

    from auscult import plugin

    @plugin.loss("squared_hinge")
    def squared_hinge(logits, targets, *, margin: float = 1.0):
        ...

What follows the `*` are the settings of that name in YAML. `docs/plugins.md` has an example of each kind. Settings are
checked against the text of the file, which nothing imports before the job that uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def _as_it_is(name: str) -> Callable[[Function], Function]:
    if not isinstance(name, str):
        raise TypeError(f"a plugin is registered by its name, found {name!r}")
    return lambda function: function


def model(name: str) -> Callable[[Function], Function]:
    """Register `(input_shape, *, ...) -> auscult.models.Backbone`.

    Args:
        name: What `model.name` says. `input_shape` is (bands, frames), of pictures (channels, height, width).
    """
    return _as_it_is(name)


def loss(name: str) -> Callable[[Function], Function]:
    """Register `(logits, targets, *, ...) -> losses`; unknown targets and class weights are taken care of around it.

    Args:
        name: What `train.loss.name` says. Logits and targets have the shape [..., target], the losses too; of a
            multi-class task they are [clip, class], the losses [clip].
    """
    return _as_it_is(name)


def waveform(name: str) -> Callable[[Function], Function]:
    """Register `(waveforms, rng, sample_rate_hz, *, ...) -> waveforms`, float32 [clip, sample] of full scale 1.

    Args:
        name: What a step of `augment.waveform`, or a function of its `augmix`, says.
    """
    return _as_it_is(name)


def spectrogram(name: str) -> Callable[[Function], Function]:
    """Register `(spectrograms, rng, *, ...) -> spectrograms`, normalised, float32 [clip, band, frame].

    Args:
        name: What a step of `augment.spectrogram` says.
    """
    return _as_it_is(name)


def picture(name: str) -> Callable[[Function], Function]:
    """Register `(pictures, maps, rng, *, ...) -> (pictures, maps)`; maps, int8 [clip, map, height, width], may be None.

    Args:
        name: What a step of `augment.picture` says. Pictures are standardised, [clip, channel, height, width].
    """
    return _as_it_is(name)


def reader(name: str) -> Callable[[Function], Function]:
    """Register `(root, dataset, *, ...)`, which yields recordings, events, rejections (`auscult.storage.tables`).

    Args:
        name: What `layout` of a dataset says.
    """
    return _as_it_is(name)


def train_step(name: str) -> Callable[[Function], Function]:
    """Register `(model, inputs, targets, loss, *, ...) -> value`: what is minimised on a batch, a mean over its clips.

    Args:
        name: What `train.train_step.name` says. `loss(logits, targets)` is the job's loss, a mean over what is known.
    """
    return _as_it_is(name)


def test_step(name: str) -> Callable[[Function], Function]:
    """Register `(model, inputs, *, ...) -> logits`: how the trained model decides, in validation and ever after.

    Args:
        name: What `train.test_step.name` says.
    """
    return _as_it_is(name)
