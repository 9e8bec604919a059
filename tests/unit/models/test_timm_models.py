import pytest
import safetensors.torch
import timm
import torch
from torch.nn import functional
from torchvision.transforms.v2.functional import normalize

from auscult.config.model import TimmSettings, timm_names
from auscult.config.train import PretrainedSettings
from auscult.models import Normalisation, build_model, model_facts
from auscult.models.timm_model import _pool, pretrained_standard
from auscult.training.pretrained import load_pretrained

SHAPE = (128, 311)

# Convolutional networks, transformers, mixers and what lies between; plain, pyramidal and windowed.
TIMM_FAMILIES = [
    "resnet18", "efficientnet_b0", "mobilenetv3_small_050", "convnext_atto", "densenet121", "regnetx_002",
    "ghostnet_050", "repvgg_a0", "rexnet_100", "dla34", "hrnet_w18_small", "inception_v3", "xception41", "tinynet_e",
    "edgenext_xx_small", "poolformer_s12", "fastvit_t8", "mobilevit_xxs", "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "mixer_s16_224",
    "levit_128", "xcit_nano_12_p16_224", "pit_ti_224", "eva02_tiny_patch14_224", "coatnet_0_rw_224",
    "crossvit_tiny_240", "gmlp_ti16_224", "mvitv2_tiny", "efficientformer_l1",
]  # fmt: skip


NOTES = ("padded with zeros from [128, 311] to [", "resized (bilinear) from [128, 311] to [")


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("name", TIMM_FAMILIES)
def test_timm_families_train_a_step_from_one_channel_and_export(name):
    model = build_model(TimmSettings(name=f"timm/{name}"), 2, SHAPE, seed=0)
    before = {key: value.clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    spectrograms = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    loss = functional.binary_cross_entropy_with_logits(model(spectrograms), torch.eye(2))
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    changed = sum(not torch.equal(value, before[key]) for key, value in model.named_parameters())
    # Branches that begin at zero (the last norm of a residual block, say) hold back the gradients of the first step.
    assert changed > 0.25 * len(before)
    assert model.input_note == "" or model.input_note.startswith(NOTES)

    exported = torch.export.export(model.eval(), (spectrograms,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(spectrograms), model(spectrograms))


def test_the_families_are_at_least_thirty_and_of_both_kinds():
    assert len(TIMM_FAMILIES) >= 30
    assert {f"timm/{name}" for name in TIMM_FAMILIES} <= {f"timm/{name}" for name in timm_names()}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("start", range(11))
def test_every_tenth_architecture_takes_a_spectrogram_of_any_size(start):
    """By shapes alone (no arithmetic); each start takes another hundred and tenth, so some 140 in all."""
    for name in sorted(timm_names())[start * 10 :: 110]:
        facts = model_facts(TimmSettings(name=f"timm/{name}"), 1, SHAPE)
        assert facts.n_parameters > 0
        model_facts(TimmSettings(name=f"timm/{name}"), 1, (40, 101))


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("csatv2", "padded with zeros from [40, 101] to [64, 128], given 3 times, as 3 channels"),
        ("mobilenetv5_300m_enc", ""),
        ("gemma4_vit_167m_enc", "padded with zeros from [40, 101] to [48, 144]"),
    ],
)
def test_odd_ones_are_brought_in_too(name, note):
    """One that works with three channels alone, one that gives maps, one that gives tokens."""
    assert model_facts(TimmSettings(name=f"timm/{name}"), 1, (40, 101)).input_note == note


def test_a_network_for_three_channels_reads_the_spectrogram_in_each():
    model = build_model(TimmSettings(name="timm/csatv2"), 1, (64, 64)).eval()
    spectrograms = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = model.backbone.model(spectrograms[:, None].repeat(1, 3, 1, 1))
        torch.testing.assert_close(model.embed(spectrograms), features)
    assert not torch.equal(features[0], features[1])


def test_tokens_and_maps_are_averaged_and_features_left_alone():
    tokens, maps = torch.randn(2, 5, 3), torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(_pool(tokens), tokens.mean(dim=1))
    torch.testing.assert_close(_pool(maps), maps.flatten(2).mean(dim=2))
    assert _pool(tokens[:, 0]).equal(tokens[:, 0])


@pytest.mark.parametrize("name", ["timm/resnet18", "timm/vit_tiny_patch16_224"])
def test_pictures_are_normalised_as_torchvision_does_by_what_pretrained_weights_presuppose(name):
    mean, std = pretrained_standard(name)
    config = timm.get_pretrained_cfg(name.removeprefix("timm/"))
    assert (mean, std) == (config.mean, config.std)
    brightness = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    stored = (255 * brightness).round().to(torch.float16)  # as pictures lie in stores
    expected = normalize(stored.float() / 255, list(mean), list(std))
    torch.testing.assert_close(Normalisation.from_brightness(mean, std).apply(stored), expected, atol=1e-5, rtol=1e-5)


def test_weights_of_colours_arrive_as_they_are_in_a_model_of_pictures(tmp_path):
    theirs = timm.create_model("test_convnext", pretrained=False)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(theirs.state_dict(), path)
    settings = TimmSettings(name="timm/test_convnext")
    model = build_model(settings, 4, (3, 64, 64))
    load_pretrained(model, PretrainedSettings(timm=str(path)), settings, (3, 64, 64))
    pictures = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    theirs.reset_classifier(0)
    torch.testing.assert_close(model.eval().embed(pictures), theirs.eval()(pictures))
