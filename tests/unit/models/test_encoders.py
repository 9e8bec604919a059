"""Published encoders against implementations that are not ours.

`ast_of_transformers.safetensors` was made with transformers 5.24 and torch 2.14.1, in an environment of its own:

    torch.manual_seed(0)
    config = ASTConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96,
                       max_length=64, num_mel_bins=32, num_labels=5)
    model = ASTForAudioClassification(config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(0.2 * torch.randn(tensor.shape))
        inputs = torch.randn(2, 64, 32)                                      # [clip, frame, mel]
        pooled = model.audio_spectrogram_transformer(inputs).pooler_output   # [clip, feature]
    model.save_pretrained("saved")
    save_file({**load_file("saved/model.safetensors"), "test.inputs": inputs, "test.pooled": pooled}, ...)
"""

import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchaudio
from librosa import filters
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional

from auscult.config import ClipSettings, SpectrogramSettings
from auscult.config.encoder import KaldiBands, encoder_names, load_encoder
from auscult.config.model import ModelSettings, PublishedSettings
from auscult.config.spectrogram import PublishedFrontend, frontend_bands, frontend_fault, frontend_frames
from auscult.errors import DataError
from auscult.models import build_model
from auscult.models.encoders import load_published_weights
from auscult.models.frontends import KaldiFilterbank, build_frontend
from auscult.models.registry import build_backbone

FIXTURE = Path(__file__).with_name("ast_of_transformers.safetensors")
PANNS = ("cnn6", "cnn10", "cnn14")


def published(name, shape, n_targets=1):
    return build_model(PublishedSettings(name="published", encoder=name), n_targets, shape).eval()


# --- AST


@pytest.fixture
def ast():
    """Weights in the layout of the hub, inputs [clip, frame, mel] and the features that transformers computes."""
    weights = safetensors.torch.load_file(FIXTURE)
    return weights, weights.pop("test.inputs"), weights.pop("test.pooled")


def authors_names(weights):
    """The same weights in the layout of the authors' files, by other means than the encoder's own table."""
    renamed = {
        "module.v.head.weight": torch.zeros(1000, 24),
        "module.mlp_head.0.weight": weights["classifier.layernorm.weight"],
    }
    for name, tensor in weights.items():
        block = re.match(r"audio_spectrogram_transformer\.encoder\.layer\.(\d)\.(.*)\.(weight|bias)$", name)
        if block is None:
            short = name.removeprefix("audio_spectrogram_transformer.").removeprefix("embeddings.")
            short = short.replace("distillation_token", "dist_token").replace("position_embeddings", "pos_embed")
            short = short.replace("patch_embeddings.projection", "patch_embed.proj").replace("layernorm", "norm")
            if not short.startswith("classifier"):
                renamed[f"module.v.{short}"] = tensor
        elif "attention.attention" not in block[2]:
            part = {
                "attention.output.dense": "attn.proj", "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
                "layernorm_before": "norm1", "layernorm_after": "norm2",
            }[block[2]]  # fmt: skip
            renamed[f"module.v.blocks.{block[1]}.{part}.{block[3]}"] = tensor
        elif block[2].endswith("query"):
            parts = [weights[name.replace("query", kind)] for kind in ("query", "key", "value")]
            renamed[f"module.v.blocks.{block[1]}.attn.qkv.{block[3]}"] = torch.cat(parts)
    return renamed


def memory_names(weights):
    """The names that transformers 5 gives the same tensors in memory."""
    replaced = {
        "encoder.layer": "layers", "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj", "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj", "intermediate.dense": "mlp.fc1", ".output.dense": ".mlp.fc2",
    }  # fmt: skip
    renamed = {}
    for name, tensor in weights.items():
        for old, new in replaced.items():
            name = name.replace(old, new)  # noqa: PLW2901
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("layout", [dict, authors_names, memory_names])
def test_the_spectrogram_transformer_equals_that_of_transformers(ast, layout):
    weights, inputs, pooled = ast
    model = published("test_ast", (32, 64))
    arrival = load_published_weights(model, load_encoder("test_ast"), layout(weights), "test")
    with torch.no_grad():
        torch.testing.assert_close(model.backbone(inputs.transpose(1, 2)), pooled, atol=1e-5, rtol=0)
    assert arrival.new == ("head.linear.bias", "head.linear.weight")
    assert arrival.n_as_is + len(arrival.changed) == 31
    assert len(arrival.changed) == (0 if layout is authors_names else 4)
    assert all("classifier" in reason for reason in arrival.unused)


def test_positions_are_resampled_for_clips_of_another_length(ast):
    weights, _, _ = ast
    model = published("test_ast", (32, 94))
    arrival = load_published_weights(model, load_encoder("test_ast"), weights, "test")
    assert "backbone.model.pos_embed resampled from [2, 5] patches to [2, 8]" in arrival.changed
    table = weights["audio_spectrogram_transformer.embeddings.position_embeddings"]
    resampled = model.backbone.model.pos_embed
    assert resampled.shape == (1, 2 + 16, 24)
    assert torch.equal(resampled[:, :2], table[:, :2])
    expected = functional.interpolate(
        table[:, 2:].reshape(1, 2, 5, 24).permute(0, 3, 1, 2), (2, 8), mode="bicubic", antialias=True
    )
    torch.testing.assert_close(resampled[:, 2:], expected.flatten(2).transpose(1, 2))
    assert model.backbone(torch.zeros(1, 32, 94)).shape == (1, 24)


FC1 = "audio_spectrogram_transformer.encoder.layer.1.intermediate.dense.weight"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda w: w.pop(FC1), f"{FC1} is missing"),
        (lambda w: w.update({FC1 + "s": w.pop(FC1)}), f"{FC1} is missing, {FC1}s is unknown"),
        (lambda w: w.update({FC1: w[FC1].T}), re.escape(f"{FC1} is [24, 96], expected [96, 24]")),
        (lambda w: w.clear() or w.update({"a": torch.zeros(1)}), "none of the encoder's tensors"),
    ],
)
def test_a_missing_a_renamed_and_a_transposed_tensor_are_refused_by_name(ast, spoil, said):
    weights, _, _ = ast
    spoil(weights)
    with pytest.raises(DataError, match=said):
        load_published_weights(published("test_ast", (32, 64)), load_encoder("test_ast"), weights, "test")


# --- PANNs: the published layers, written down once more in torch alone, on [clip, 1, frame, mel]


class PublishedBlock(nn.Module):
    def __init__(self, n_in, n_out, kernel_size):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        if kernel_size == 3:
            self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, x, pool_size):
        x = functional.relu(self.bn1(self.conv1(x)))
        if hasattr(self, "conv2"):
            x = functional.relu(self.bn2(self.conv2(x)))
        return functional.avg_pool2d(x, pool_size)


class PublishedCnn(nn.Module):
    def __init__(self, kind):
        super().__init__()
        channels = [1, 64, 128, 256, 512, *([1024, 2048] if kind == "cnn14" else [])]
        self.bn0 = nn.BatchNorm2d(64)
        self.pools = [2] * 4 if kind != "cnn14" else [2, 2, 2, 2, 2, 1]
        for number in range(1, len(channels)):
            block = PublishedBlock(channels[number - 1], channels[number], 5 if kind == "cnn6" else 3)
            self.add_module(f"conv_block{number}", block)
        self.fc1 = nn.Linear(channels[-1], channels[-1])
        self.fc_audioset = nn.Linear(channels[-1], 527)

    def forward(self, x):
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        for number, pool in enumerate(self.pools, start=1):
            x = getattr(self, f"conv_block{number}")(x, pool)
        x = x.mean(dim=3)
        pooled = x.max(dim=2)[0] + x.mean(dim=2)
        return pooled, functional.relu(self.fc1(pooled))


def published_file(kind):
    """A network of random weights, and its file as published, with the tensors of its front end."""
    generator = torch.Generator().manual_seed(0)
    network = PublishedCnn(kind).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "running_var" in name or ("bn" in name and name.endswith("weight")):
                tensor.copy_(1 + 0.3 * torch.rand(tensor.shape, generator=generator))
            elif tensor.ndim > 1:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5)
            elif tensor.is_floating_point():
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
    frontend = {"spectrogram_extractor.stft.conv_real.weight": torch.zeros(513, 1, 1024)}
    return network, {**frontend, "logmel_extractor.melW": torch.zeros(513, 64), **network.state_dict()}


@pytest.mark.parametrize("kind", PANNS)
def test_the_networks_of_panns_equal_their_published_layers(kind):
    network, weights = published_file(kind)
    encoder = load_encoder(f"panns_{kind}")
    model = published(f"panns_{kind}", (64, 101))
    arrival = load_published_weights(model, encoder, weights, "test")
    spectrograms = torch.randn(2, 64, 101, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        pooled, embedding = network(spectrograms.transpose(1, 2)[:, None])
        found = model.backbone(spectrograms)
        torch.testing.assert_close(found, pooled, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(functional.relu(model.head.embed(found)), embedding, atol=1e-5, rtol=1e-5)
    assert arrival.new == ("head.linear.bias", "head.linear.weight")
    assert "logmel_extractor.melW (the front end, computed here)" in arrival.unused
    assert all("transposed" in change for change in arrival.changed)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda w: w.pop("conv_block2.bn1.running_var"), "conv_block2.bn1.running_var is missing"),
        (lambda w: w.update({"conv_block2.bn": w.pop("conv_block2.bn1.weight")}), "conv_block2.bn is unknown"),
        (
            lambda w: w.update({"conv_block3.conv1.weight": w["conv_block3.conv1.weight"].transpose(0, 1)}),
            r"conv_block3.conv1.weight is \[128, 256, 5, 5\], expected \[256, 128, 5, 5\]",
        ),
    ],
)
def test_a_spoilt_file_of_panns_is_refused_by_name(spoil, said):
    _, weights = published_file("cnn6")
    spoil(weights)
    with pytest.raises(DataError, match=said):
        load_published_weights(published("panns_cnn6", (64, 101)), load_encoder("panns_cnn6"), weights, "test")


# --- AudioMAE


@pytest.mark.slow
@pytest.mark.soak
def test_the_masked_autoencoder_equals_timms_transformer_on_the_transposed_spectrogram():
    """The port is timm's own network for [1, 1024 frames, 128 mel]; here it sees [mel, frame]."""
    oracle = timm.create_model("vit_base_patch16_224", img_size=(1024, 128), in_chans=1, num_classes=0).eval()
    weights = oracle.state_dict()
    weights["pos_embed"].copy_(torch.randn(1, 513, 768, generator=torch.Generator().manual_seed(0)))
    model = published("audiomae", (128, 1024))
    arrival = load_published_weights(model, load_encoder("audiomae"), weights, "test")
    spectrograms = torch.randn(2, 128, 1024, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = oracle(spectrograms.transpose(1, 2)[:, None])
        torch.testing.assert_close(model.backbone(spectrograms), expected, atol=1e-5, rtol=1e-5)
    assert arrival.changed == (
        "backbone.model.pos_embed transposed",
        "backbone.model.patch_embed.proj.weight transposed",
    )


# --- all


@pytest.mark.parametrize("name", encoder_names())
def test_an_encoder_states_every_tensor_of_its_architecture(name):
    """So that a dry run, which builds nothing, refuses what loading would refuse."""
    encoder = load_encoder(name)
    architecture = TypeAdapter(ModelSettings).validate_python(encoder.architecture)
    with torch.device("meta"):
        backbone = build_backbone(architecture, (encoder.frontend.n_mels, encoder.n_frames or 1001))
    has = {f"backbone.{key}": list(tensor.shape) for key, tensor in backbone.module.state_dict().items()}
    for layout in encoder.layouts:
        # Every kernel is square, so that it has one shape in both orientations.
        assert has == {row.to: list(row.shape) for row in encoder._rows(layout) if row.to.startswith("backbone.")}


@pytest.mark.parametrize("name", encoder_names())
def test_front_end_and_network_fit_together(name):
    encoder = load_encoder(name)
    clips = ClipSettings(length_s=1.0, sample_rate_hz=encoder.sample_rate_hz)
    settings = PublishedFrontend(name="published", encoder=name, pad=False)
    frontend = build_frontend(settings, SpectrogramSettings(), clips)
    assert frontend.shape == (
        frontend_bands(settings, SpectrogramSettings(), clips),
        frontend_frames(settings, SpectrogramSettings(), clips),
    )
    assert frontend(torch.zeros(2, clips.n_samples)).shape == (2, *frontend.shape)
    other = ClipSettings(length_s=1.0, sample_rate_hz=4000)
    fault = frontend_fault(settings, SpectrogramSettings(), other)
    assert fault == (
        f"{name} was trained on sound at {encoder.sample_rate_hz} Hz, and clips.sample_rate_hz is 4000; "
        f"make it {encoder.sample_rate_hz}"
    )


# --- front ends


@pytest.mark.parametrize(("rate_hz", "n_mels"), [(16_000, 128), (8_000, 64), (16_000, 32)])
def test_the_filter_bank_of_kaldi_equals_torchaudios(rate_hz, n_mels):
    waveforms = 0.1 * torch.randn(3, 2 * rate_hz, generator=torch.Generator().manual_seed(0)) + 0.02
    waveforms[2, rate_hz:] = 0.0
    found = KaldiFilterbank(KaldiBands(name="kaldi_fbank", n_mels=n_mels), rate_hz)(waveforms)
    expected = [
        torchaudio.compliance.kaldi.fbank(
            (waveform - waveform.mean())[None], htk_compat=True, sample_frequency=rate_hz, use_energy=False,
            window_type="hanning", num_mel_bins=n_mels, dither=0.0, frame_shift=10,
        ).T
        for waveform in waveforms
    ]  # fmt: skip
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-4, rtol=0)


def test_short_clips_are_padded_before_they_are_normalised_as_published():
    clips = ClipSettings(length_s=0.5, sample_rate_hz=16_000)
    settings = PublishedFrontend(name="published", encoder="test_ast")
    frontend = build_frontend(settings, SpectrogramSettings(), clips)
    waveform = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    bands = torchaudio.compliance.kaldi.fbank(
        waveform - waveform.mean(), htk_compat=True, window_type="hanning", num_mel_bins=32, dither=0.0
    )
    padded = functional.pad(bands, (0, 0, 0, 64 - len(bands)))
    expected = (padded + 4.2677393) / (2 * 4.5689974)
    assert frontend.shape == (32, 64)
    torch.testing.assert_close(frontend(waveform)[0], expected.T, atol=1e-4, rtol=0)


def test_the_front_end_of_panns_is_torchlibrosas():
    """Power of a centred Hann spectrogram, librosa's filters, 10 log10 from 1e-10 on; bn0 normalises in the network."""
    clips = ClipSettings(length_s=1.0, sample_rate_hz=32_000)
    frontend = build_frontend(PublishedFrontend(name="published", encoder="panns_cnn14"), SpectrogramSettings(), clips)
    waveform = 0.1 * torch.randn(1, 32_000, generator=torch.Generator().manual_seed(0))
    window = torch.hann_window(1024)
    spectrum = torch.stft(waveform, 1024, 320, window=window, center=True, pad_mode="reflect", return_complex=True)
    mel = filters.mel(sr=32_000, n_fft=1024, n_mels=64, fmin=50, fmax=14_000)
    expected = 10 * np.log10(np.maximum(mel @ spectrum.abs().square()[0].numpy(), 1e-10))
    np.testing.assert_allclose(frontend(waveform)[0], expected, atol=2e-4)
