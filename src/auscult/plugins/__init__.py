'''Models and augmentations of one's own: one file here each, settings and code together. Nothing else is edited.

All files of this folder are imported when settings are read, in a dry run too: import torch inside the functions.
A model:

    """Means of the mel bands."""

    from typing import Literal

    from auscult.config.model import MODELS, BaseModelSettings


    @MODELS.register(f"{__name__}:build")
    class BandMeansSettings(BaseModelSettings):
        """The mean of each mel band."""

        name: Literal["band_means"]


    def build(settings, input_shape):
        """Return a backbone from [batch, mel, frame] to [batch, mel]."""
        from torch import nn

        from auscult.models import Backbone

        return Backbone(nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten()), n_features=input_shape[0])

An augmentation of spectrograms:

    """Spectrograms turned round in time."""

    from typing import Literal

    from auscult.config.augment import SPECTROGRAM_FUNCTIONS, Augmentation


    @SPECTROGRAM_FUNCTIONS.register(f"{__name__}:turn_round")
    class TurnRound(Augmentation):
        """Turn the spectrogram round in time."""

        name: Literal["turn_round"]


    def turn_round(spectrograms, settings, rng, picked):
        """Return [batch, mel, frame] with the `picked` clips turned round."""
        from torch import where

        return where(picked[:, None, None], spectrograms.flip(2), spectrograms)

Whoever ships one for all adds a row in `docs/` and a golden value; see CONTRIBUTING.md.
'''
