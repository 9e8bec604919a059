"""Patients, and recordings as a whole with their ground truth."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt, welch

from auscult.errors import ConfigError
from auscult_simulate.devices import DEVICES, FILTERS
from auscult_simulate.diseases import DISEASES
from auscult_simulate.patients import SITES, Patient, deal_diseases, draw_patient, healthy_rates, milder
from auscult_simulate.recording import CRACKLE_KINDS, WHEEZE_KINDS, Sound, cycle_flags, listen, simulate_source
from auscult_simulate.signals import generator
from auscult_simulate.write import write_dataset


def _patient(disease: str, seed: int = 0) -> Patient:
    return draw_patient("1", disease, (0.2, 88), generator(seed, disease))


@pytest.mark.parametrize("disease", sorted(DISEASES))
def test_sounds_are_those_of_the_disease_and_lie_inside(disease: str) -> None:
    kinds: set[str] = set()
    for seed in range(6):
        source = simulate_source(_patient(disease, seed), SITES[seed], 12.0, 4000, generator(seed, "r"))
        duration_s = len(source.waveform) / source.sample_rate_hz
        assert duration_s == 12.0
        for sound in source.sounds:
            assert 0 <= sound.start_s < sound.end_s <= duration_s
        starts = [sound.start_s for sound in source.sounds]
        assert starts == sorted(starts)
        cycles = [sound for sound in source.sounds if sound.kind == "cycle"]
        assert cycles
        assert all(a.end_s <= b.start_s + 1e-9 for a, b in pairwise(cycles))
        kinds |= {sound.kind for sound in source.sounds}
        assert np.isfinite(source.waveform).all()
    profile = DISEASES[disease]
    assert bool(kinds & set(CRACKLE_KINDS)) == (profile.crackles is not None)
    assert bool(kinds & set(WHEEZE_KINDS)) == (profile.wheezes is not None)


def test_crackles_of_fibrosis_are_late_inspiratory() -> None:
    phases = []
    for seed in range(10):
        source = simulate_source(_patient("lung fibrosis", seed), "Pl", 20.0, 4000, generator(seed, "r"))
        for sound in source.sounds:
            for breath in source.breaths:
                if sound.kind == "fine_crackle" and breath.start_s <= sound.start_s < breath.expiration_start_s:
                    phases.append((sound.start_s - breath.start_s) / breath.inspiration_s)
    assert len(phases) > 50
    assert min(phases) >= 0.5


def test_crackles_are_in_the_sound_where_the_truth_says() -> None:
    source = simulate_source(_patient("lung fibrosis", 3), "Pl", 20.0, 4000, generator(5, "r"))
    high = sosfiltfilt(butter(4, 700, "highpass", fs=source.sample_rate_hz, output="sos"), source.waveform)
    power = high**2
    inside = np.zeros(len(power), dtype=bool)
    for sound in source.sounds:
        if sound.kind in CRACKLE_KINDS:
            first = round(sound.start_s * source.sample_rate_hz)
            inside[first : first + 40] = True
    assert inside.any()
    assert power[inside].mean() > 5 * power[~inside].mean()


def test_wheezes_are_in_the_sound_at_their_pitch() -> None:
    found = 0
    for seed in range(8):
        source = simulate_source(_patient("asthma", seed), "Pr", 10.0, 4000, generator(seed, "r"))
        for sound in source.sounds:
            others = [s for s in source.sounds if s.kind in WHEEZE_KINDS and s is not sound]
            is_alone = all(s.end_s <= sound.start_s or s.start_s >= sound.end_s for s in others)
            if sound.kind == "wheeze" and sound.pitch_hz is not None and is_alone and sound.end_s - sound.start_s > 0.3:
                low, high = (round(t * source.sample_rate_hz) for t in (sound.start_s, sound.end_s))
                frequencies_hz, power = welch(source.waveform[low:high], source.sample_rate_hz, nperseg=1024)
                near = np.abs(np.log2(np.maximum(frequencies_hz, 1) / sound.pitch_hz)) < 0.25
                far = (frequencies_hz > 1.3 * sound.pitch_hz) & (frequencies_hz < 1.7 * sound.pitch_hz)
                assert power[near].max() > 3 * power[far].max()
                found += 1
    assert found > 5


def test_cycle_flags_match_a_plain_count() -> None:
    source = simulate_source(_patient("copd", 1), "Pl", 60.0, 4000, generator(1, "r"))
    rows = cycle_flags(source.sounds)
    assert {(crackle, wheeze) for _, _, crackle, wheeze in rows} == {
        (a, b) for a in (False, True) for b in (False, True)
    }
    for start_s, end_s, has_crackle, has_wheeze in rows:
        inside = [s.kind for s in source.sounds if s.kind != "cycle" and start_s <= (s.start_s + s.end_s) / 2 < end_s]
        assert has_crackle == any(kind.endswith("crackle") for kind in inside)
        assert has_wheeze == any(kind in ("wheeze", "rhonchus") for kind in inside)


def test_cycle_flags_of_nothing() -> None:
    assert cycle_flags(()) == []
    assert cycle_flags((Sound("cycle", 0.0, 1.0),)) == [(0.0, 1.0, False, False)]


def test_filters_change_the_response_and_not_the_sound() -> None:
    source = simulate_source(_patient("pneumonia"), "Pl", 10.0, 4000, generator(2, "r"))
    names = ("E", "B", "D")
    waveforms = listen(
        source, DEVICES["Litt3200"], 4000, 0.05, generator(2, "l"), responses=tuple(FILTERS[name] for name in names)
    )
    spectra = {}
    for name, waveform in zip(names, waveforms, strict=True):
        frequencies_hz, spectra[name] = welch(waveform, 4000, nperseg=1024)
    inside = (frequencies_hz > 80) & (frequencies_hz < 1000)
    for name in ("B", "D"):
        found_db = 10 * np.log10(spectra[name][inside] / spectra["E"][inside])
        ratio = FILTERS[name].gain(frequencies_hz[inside]) / FILTERS["E"].gain(frequencies_hz[inside])
        assert np.max(np.abs(found_db - 20 * np.log10(ratio))) < 2.0
    assert np.sqrt(np.mean(waveforms[0] ** 2)) == pytest.approx(0.05, rel=0.01)


@pytest.mark.parametrize("rate_hz", [4000, 10_000, 44_100])
def test_listening_gives_the_asked_rate_level_and_range(rate_hz: int) -> None:
    source = simulate_source(_patient("healthy"), "Pl", 3.0, rate_hz, generator(1, "r"))
    (waveform,) = listen(source, DEVICES["Meditron"], rate_hz, 0.1, generator(1, "l"))
    assert len(waveform) == 3 * rate_hz
    assert np.sqrt(np.mean(waveform**2)) == pytest.approx(0.1, rel=0.05)
    (loud,) = listen(source, DEVICES["Meditron"], rate_hz, 2.0, generator(1, "l"))
    assert loud.max() < 1.0
    assert loud.min() == -1.0


def test_equal_generators_give_equal_sounds_and_others_do_not() -> None:
    def once(name: str) -> np.ndarray:
        return simulate_source(_patient("copd"), "Al", 4.0, 4000, generator(3, name)).waveform

    assert np.array_equal(once("a"), once("a"))
    assert not np.array_equal(once("a"), once("b"))


def test_pneumonia_differs_from_health_in_all_its_signs() -> None:
    ill = [_patient("pneumonia", seed) for seed in range(30)]
    well = [_patient("healthy", seed) for seed in range(30)]

    def relative_rate(patients: list[Patient]) -> float:
        return float(np.mean([p.breathing.rate_per_min / healthy_rates(p.age_years)[0] for p in patients]))

    assert relative_rate(ill) > 1.25 * relative_rate(well)
    assert min(p.bronchial for p in ill) > max(p.bronchial for p in well)
    assert all(p.crackles_per_breath > 0 for p in ill)
    # Others crackle too, but less: crackles alone do not give the answer away.
    others = [_patient(name, seed) for name in ("copd", "heart failure", "lung fibrosis") for seed in range(10)]
    assert all(p.crackles_per_breath > 0 for p in others)
    assert np.mean([p.crackles_per_breath for p in others]) < 0.5 * np.mean([p.crackles_per_breath for p in ill])


def test_a_focus_is_loudest_where_it_is() -> None:
    patient = _patient("pneumonia", 4)
    opposite = patient.focus[0] + ("r" if patient.focus[1] == "l" else "l")

    def n_crackles(site: str) -> int:
        sources = [simulate_source(patient, site, 20.0, 4000, generator(seed, "r")) for seed in range(4)]
        return sum(sound.kind in CRACKLE_KINDS for source in sources for sound in source.sounds)

    assert n_crackles(patient.focus) > n_crackles(opposite)


@pytest.mark.parametrize("ages", [(2 / 12, 35 / 12), (4, 88), (30, 30)])
def test_ages_stay_in_the_collection(ages: tuple[float, float]) -> None:
    for disease in DISEASES:
        patient = draw_patient("x", disease, ages, generator(0, disease))
        assert int(ages[0]) <= patient.age_years <= ages[1]


def test_diseases_are_dealt_in_their_shares() -> None:
    dealt = deal_diseases(30, {"pneumonia": 1.0, "healthy": 2.0}, generator(0, "deal"))
    assert (dealt.count("pneumonia"), dealt.count("healthy")) == (10, 20)
    assert deal_diseases(1, {"pneumonia": 1.0, "healthy": 2.0}, generator(0, "deal")) == ["healthy"]


def test_a_milder_course_is_heard_less_and_the_full_one_is_the_patient_as_drawn() -> None:
    grave = _patient("pneumonia", 2)
    assert milder(grave, 1.0) == grave
    none = milder(grave, 0.0)
    assert (none.bronchial, none.crackle_level, set(none.cycles)) == (0.0, 0.0, {"none"})
    assert none.breathing.rate_per_min == pytest.approx(healthy_rates(grave.age_years)[0])
    source = simulate_source(none, grave.focus, 10.0, 4000, generator(1, "r"))
    assert {sound.kind for sound in source.sounds} == {"cycle"}
    half = milder(grave, 0.5)
    assert half.cycles.count("none") > grave.cycles.count("none")
    assert half.crackle_level == grave.crackle_level / 2
    with pytest.raises(ValueError, match=r"expected 0 .nothing is heard. to 1"):
        milder(grave, 1.5)


def test_a_dataset_of_impossible_severity_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"severity of pneumonia is .* expected -1 <= mildest <= gravest <= 1"):
        write_dataset("bd", tmp_path / "bd", n_patients=3, seed=1, severity={"pneumonia": (0.5, 0.2)})
    with pytest.raises(ConfigError, match="unknown disease 'pneumonja'; did you mean 'pneumonia'"):
        write_dataset("bd", tmp_path / "bd", n_patients=3, seed=1, severity={"pneumonja": (0.0, 0.2)})


def test_only_the_diseases_that_are_named_run_a_milder_course(tmp_path) -> None:
    full = write_dataset("icbhi", tmp_path / "full", n_patients=12, seed=1, duration_s=(5.0, 6.0))
    mild = write_dataset(
        "icbhi", tmp_path / "mild", n_patients=12, seed=1, duration_s=(5.0, 6.0), severity={"pneumonia": (0.0, 0.1)}
    )
    for one, other in zip(full, mild, strict=True):
        assert (one.patient == other.patient) == (one.disease != "pneumonia")
