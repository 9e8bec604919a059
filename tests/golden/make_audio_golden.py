"""Write `audio.npz` by librosa alone: what clips and spectrograms of a fixed sound must be.

    python tests/golden/make_audio_golden.py

The sound is written as 24 bit at 44.1 kHz and read, resampled (soxr HQ), cut and transformed by librosa. Run it only
when the definition of a clip or a spectrogram changes; a changed file is a change of every result.
"""

import tempfile
from pathlib import Path

import librosa
import numpy as np
import soundfile

SOURCE_HZ = 44_100
RATE_HZ = 8000
GOLDEN = Path(__file__).with_name("audio.npz")


def write_sound(path: Path) -> None:
    """Three seconds of two chirps and noise that swells like breath; PCM_24 at 44.1 kHz."""
    time_s = np.arange(3 * SOURCE_HZ) / SOURCE_HZ
    chirp = 0.2 * np.sin(2 * np.pi * (100 * time_s + 250 * time_s**2))
    wheeze = 0.1 * np.sin(2 * np.pi * 400 * time_s + 3 * np.sin(2 * np.pi * 4 * time_s))
    noise = np.random.Generator(np.random.PCG64(2017)).standard_normal(len(time_s))
    breath = 0.05 * noise * np.sin(np.pi * time_s / 3) ** 2
    soundfile.write(path, chirp + wheeze + breath, SOURCE_HZ, subtype="PCM_24")


def main() -> None:
    """Compute and write the arrays."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"
        write_sound(path)
        sound, _ = librosa.load(path, sr=RATE_HZ, res_type="soxr_hq")
    whole = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
    # Windows of 2 s: the second holds one second of sound and one of silence.
    clips = np.stack([whole[:16_000], np.pad(whole[16_000:], (0, 32_000 - len(whole)))])
    arrays: dict[str, np.ndarray] = {"clips": clips}
    waveforms = clips.astype(np.float32) / 32768
    for name, center, hop in (("spectrogram", False, 254), ("spectrogram_centred", True, 512)):
        power = librosa.feature.melspectrogram(
            y=waveforms,
            sr=RATE_HZ,
            n_fft=1024,
            hop_length=hop,
            n_mels=64,
            center=center,
            pad_mode="reflect",
        )
        arrays[name] = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).astype(np.float32)
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    main()
