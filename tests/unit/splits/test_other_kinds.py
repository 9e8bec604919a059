"""Official lists, columns, folds, a dataset or a site left out."""

import pytest

from auscult.errors import ConfigError, InfeasibleError


def subsets(split):
    return split["split"].to_dict()


def official(make_recordings, both=(), unlisted=0):
    """20 patients of one recording, half train and half test; patients in `both` have one in each subset."""
    rows, listed = [], []
    for k in range(20):
        rows.append((f"r{k:02d}", f"p{k:02d}", ("pneumonia", "copd")[k % 2]))
        listed.append("train" if k < 10 else "test")
    for k in both:
        rows.append((f"x{k:02d}", f"p{k:02d}", ("pneumonia", "copd")[k % 2]))
        listed.append("test" if k < 10 else "train")
    for k in range(unlisted):
        rows.append((f"u{k:02d}", f"u{k:02d}", "copd"))
        listed.append(None)
    return make_recordings(rows, attr_official_split=listed)


class TestOfficial:
    def test_test_is_the_lists_and_validation_comes_from_train(self, make_recordings, pneumonia, run_split):
        split, audit = run_split(
            official(make_recordings, unlisted=2), {"kind": "official", "val_fraction": 0.2}, pneumonia
        )
        listed_test = {f"icbhi/r{k:02d}" for k in range(10, 20)}
        assert set(split.index[split["split"] == "test"]) == listed_test
        assert audit["total"]["val"]["patients"] == 2
        assert audit["total"]["val"]["targets"]["pneumonia"]["patients"] == {
            "positive": 1,
            "negative": 1,
            "unknown": 0,
        }
        assert [(entry["reason"], entry["recordings"]) for entry in audit["left_out"]] == [
            ("not on the official list", 2)
        ]

    def test_patients_on_both_sides_are_dropped_and_named(self, make_recordings, pneumonia, run_split):
        split, audit = run_split(official(make_recordings, both=(1, 12)), {"kind": "official"}, pneumonia)
        assert {"icbhi/p01", "icbhi/p12"}.isdisjoint(split["patient_id"])
        note = audit["findings"][0]
        assert (note["kind"], note["severity"]) == ("official_list_overlap", "note")
        assert note["ids"] == ["icbhi/p01", "icbhi/p12"]
        assert "left out" in note["text"]
        assert audit["left_out"][0]["recordings"] == 4

    def test_patients_on_both_sides_can_leave_the_test_set_alone(self, make_recordings, pneumonia, run_split):
        settings = {"kind": "official", "patients_on_both_sides": "drop_from_test"}
        split, audit = run_split(official(make_recordings, both=(1, 12)), settings, pneumonia)
        kept = split[split["patient_id"].isin(["icbhi/p01", "icbhi/p12"])]
        assert sorted(kept.index) == ["icbhi/r01", "icbhi/x12"]
        assert set(kept["split"]) <= {"train", "val"}
        assert "left out of test" in audit["findings"][0]["text"]
        assert audit["left_out"][0]["recordings"] == 2

    @pytest.mark.parametrize("subset", ["train", "test"])
    def test_patients_on_both_sides_can_move(self, make_recordings, pneumonia, run_split, subset):
        settings = {"kind": "official", "patients_on_both_sides": subset}
        split, audit = run_split(official(make_recordings, both=(1, 12)), settings, pneumonia)
        moved = split[split["patient_id"].isin(["icbhi/p01", "icbhi/p12"])]
        assert len(moved) == 4
        assert set(moved["split"]) <= ({"test"} if subset == "test" else {"train", "val"})
        assert f"moved to {subset}" in audit["findings"][0]["text"]

    def test_patients_on_both_sides_can_stay_when_declared(self, make_recordings, pneumonia, run_split):
        settings = {"kind": "official", "patients_on_both_sides": "keep", "allow_patient_overlap": True}
        split, audit = run_split(official(make_recordings, both=(1, 12)), settings, pneumonia)
        assert subsets(split)["icbhi/r01"] == "train"
        assert subsets(split)["icbhi/x01"] == "test"
        overlap = next(finding for finding in audit["findings"] if finding["kind"] == "patient_overlap")
        assert (overlap["severity"], overlap["ids"]) == ("declared", ["icbhi/p01", "icbhi/p12"])
        assert audit["declared"] == [overlap["text"]]
        # Validation must not know test patients either.
        validated = set(split.loc[split["split"] == "val", "patient_id"])
        assert validated.isdisjoint({"icbhi/p01", "icbhi/p12"})

    def test_pneumonia_on_the_icbhi_list_is_refused_with_reason_and_proposal(
        self, make_recordings, pneumonia, run_split
    ):
        """All six pneumonia patients of ICBHI 2017 stand in train."""
        rows = [(f"r{k}", f"p{k}", "pneumonia" if k < 6 else "copd") for k in range(40)]
        table = make_recordings(rows, attr_official_split=["train" if k < 25 else "test" for k in range(40)])
        with pytest.raises(InfeasibleError) as error:
            run_split(table, {"kind": "official"}, pneumonia)
        message = str(error.value)
        assert "test holds no patient with a positive of 'pneumonia'" in message
        assert "Proposal: `split: {kind: patients}` can divide them, for at least 6 patients" in message

    def test_a_dataset_without_a_list_is_refused(self, make_recordings, make_patients, pneumonia, run_split):
        tables = [official(make_recordings), make_patients(6, dataset="jordan")]
        with pytest.raises(InfeasibleError, match="dataset 'jordan' has no official list"):
            run_split(tables, {"kind": "official"}, pneumonia)

    def test_no_list_anywhere_is_refused(self, make_patients, pneumonia, run_split):
        with pytest.raises(ConfigError, match="unknown attribute 'official_split'"):
            run_split(make_patients(6), {"kind": "official"}, pneumonia)


def spoken(make_recordings, names="abc"):
    rows = [(f"{d}_{name}_{i}", name, None) for d in range(10) for name in names for i in range(12)]
    return make_recordings(
        rows,
        "fsdd",
        label_digit=[row[0][0] for row in rows],
        attr_index=[row[0].split("_")[2] for row in rows],
    )


BY_INDEX = {"kind": "column", "column": "index", "test": [0, 1, 2, 3, 4], "val": [5, 6, 7, 8, 9]}


class TestColumn:
    def test_the_usual_digits_split_is_declared(self, make_recordings, digits, run_split):
        split, audit = run_split(spoken(make_recordings), {**BY_INDEX, "allow_patient_overlap": True}, digits)
        assert split["split"].value_counts().to_dict() == {"test": 150, "val": 150, "train": 60}
        assert subsets(split)["fsdd/3_b_4"] == "test"
        assert subsets(split)["fsdd/3_b_10"] == "train"
        assert len(audit["declared"]) == 1
        assert "3 of 3 patients are in several subsets" in audit["declared"][0]

    def test_patients_on_several_sides_are_refused_unless_declared(self, make_recordings, digits, run_split):
        with pytest.raises(
            InfeasibleError, match=r"3 patients in several subsets.*fsdd/a.*allow_patient_overlap: true"
        ):
            run_split(spoken(make_recordings), BY_INDEX, digits)

    def test_patients_on_both_sides_can_leave_the_test_set(self, make_patients, pneumonia, run_split):
        table = make_patients(20, per_patient=2, every=2, attr_ward=["north"] * 11 + ["south"] * 29)
        settings = {"kind": "column", "column": "ward", "test": {"up": ["north"]}}
        with pytest.raises(InfeasibleError, match="drop_from_test"):
            run_split(table, settings, pneumonia)
        split, audit = run_split(table, {**settings, "patients_on_both_sides": "drop_from_test"}, pneumonia)
        assert len(split) == 39
        assert (split["split"] == "test").sum() == 10
        assert "ward puts 1 patients in test and elsewhere too; left out of test" in str(audit["findings"])

    def test_each_part_of_the_test_set_needs_recordings(self, make_patients, pneumonia, run_split):
        table = make_patients(20, per_patient=1, every=2, attr_ward=["north", "north", "south", "south"] * 5)
        settings = {"kind": "column", "column": "ward", "test": {"up": ["north"], "down": ["sowth"]}}
        with pytest.raises(ConfigError, match="no recording has ward sowth"):
            run_split(table, settings, pneumonia)

    def test_patients_who_stand_in_train_and_validation_alone_are_refused_too(
        self, make_patients, pneumonia, run_split
    ):
        table = make_patients(20, per_patient=2, every=2, attr_ward=["north"] * 10 + ["south", "east"] * 15)
        settings = {"kind": "column", "column": "ward", "test": ["north"], "val": ["east"]}
        with pytest.raises(InfeasibleError, match="15 patients"):
            run_split(table, settings, pneumonia)

    def test_validation_cannot_be_drawn_when_all_train_patients_are_tested(self, make_recordings, digits, run_split):
        settings = {**BY_INDEX, "val": [], "allow_patient_overlap": True}
        with pytest.raises(InfeasibleError, match="found 0, at least 2"):
            run_split(spoken(make_recordings), settings, digits)

    def test_a_published_split_may_declare_what_a_subset_lacks(self, make_patients, pneumonia, run_split):
        table = make_patients(20, per_patient=1, every=10, attr_ward=["north"] * 5 + ["south"] * 15)
        table["label_diagnosis"] = ["pneumonia" if k in {0, 1, 10} else "copd" for k in range(20)]
        settings = {"kind": "column", "column": "ward", "test": ["north"]}
        with pytest.raises(InfeasibleError, match=r"(?s)val holds no patient with a positive.*allow_absent: \{val"):
            run_split(table, settings, pneumonia)
        split, _ = run_split(table, {**settings, "allow_absent": {"val": ["pneumonia"]}}, pneumonia)
        assert set(split["split"]) == {"train", "val", "test"}
        with pytest.raises(ConfigError, match="did you mean 'pneumonia'"):
            run_split(table, {**settings, "allow_absent": {"val": ["pneumona"]}}, pneumonia)

    def test_validation_is_drawn_when_no_value_is_named(self, make_patients, pneumonia, run_split):
        table = make_patients(30, per_patient=1, attr_ward=["north", "south", "east"] * 10)
        # Every third patient is ill, which is the whole north; take another rhythm.
        table["label_diagnosis"] = [("pneumonia", "copd")[k // 3 % 2] for k in range(30)]
        split, audit = run_split(table, {"kind": "column", "column": "ward", "test": ["north"]}, pneumonia)
        assert set(split.index[split["split"] == "test"]) == {f"icbhi/p{k:04d}_0" for k in range(0, 30, 3)}
        assert audit["total"]["val"]["patients"] == 3
        assert audit["declared"] == []

    def test_facts_of_the_recordings_serve_as_columns(self, make_patients, pneumonia, run_split):
        table = make_patients(20, per_patient=1, every=2, device=["Meditron"] * 10 + ["Litt3200"] * 10)
        split, _ = run_split(table, {"kind": "column", "column": "device", "test": ["Litt3200"]}, pneumonia)
        assert set(split.index[split["split"] == "test"]) == set(table["recording_id"][10:])

    def test_values_that_no_side_names_and_missing_values_take_no_part(self, make_patients, pneumonia, run_split):
        table = make_patients(24, per_patient=1, every=2, attr_fold=["1", "1", "2", "2", "3", "3", "4", None] * 3)
        settings = {"kind": "column", "column": "fold", "test": [1], "val": [2], "train": [3]}
        split, audit = run_split(table, settings, pneumonia)
        assert len(split) == 18
        assert {entry["reason"]: entry["recordings"] for entry in audit["left_out"]} == {
            "no value of fold": 3,
            "no subset names its fold": 3,
        }

    def test_an_unknown_column_names_its_nearest(self, make_patients, pneumonia, run_split):
        table = make_patients(10, attr_ward=["a"] * 20)
        with pytest.raises(ConfigError, match="unknown attribute 'wards'; did you mean 'ward'"):
            run_split(table, {"kind": "column", "column": "wards", "test": ["a"]}, pneumonia)

    def test_a_test_value_that_nobody_has_is_refused_and_another_is_noted(self, make_patients, pneumonia, run_split):
        table = make_patients(20, per_patient=1, every=2, attr_ward=["a"] * 10 + ["b"] * 10)
        with pytest.raises(ConfigError, match=r"split\.test: no recording has ward z; found a, b"):
            run_split(table, {"kind": "column", "column": "ward", "test": ["z"]}, pneumonia)
        _, audit = run_split(table, {"kind": "column", "column": "ward", "test": ["b", "z"]}, pneumonia)
        assert [(finding["kind"], finding["ids"]) for finding in audit["findings"]] == [("values_not_found", ["z"])]


class TestFolds:
    def test_every_patient_is_tested_once(self, make_patients, pneumonia, run_split):
        table = make_patients(37, every=4)
        tested = []
        for fold in range(1, 6):
            split, audit = run_split(table, {"kind": "folds", "fold": fold, "seed": 3}, pneumonia)
            assert 7 <= audit["total"]["test"]["patients"] <= 8
            assert audit["total"]["test"]["targets"]["pneumonia"]["patients"]["positive"] == 2
            assert len(split) == len(table)
            tested += split.index[split["split"] == "test"].tolist()
        assert sorted(tested) == sorted(table["recording_id"])

    def test_more_folds_than_patients_are_refused(self, make_patients, pneumonia, run_split):
        with pytest.raises(InfeasibleError, match="4 patients cannot be divided into 5 folds"):
            run_split(make_patients(4), {"kind": "folds", "fold": 1}, pneumonia)

    def test_a_fold_without_a_positive_is_refused(self, make_patients, pneumonia, run_split):
        refused = 0
        for fold in range(1, 6):
            try:
                run_split(make_patients(30, every=10), {"kind": "folds", "fold": fold}, pneumonia)
            except InfeasibleError:
                refused += 1
        assert refused == 2, "three positives serve three of five folds"


class TestLeftOut:
    def test_a_dataset_is_tested_and_the_others_train(self, make_patients, pneumonia, run_split):
        tables = [make_patients(20), make_patients(10, dataset="jordan"), make_patients(9, dataset="bd")]
        split, audit = run_split(tables, {"kind": "leave_dataset_out", "dataset": "bd"}, pneumonia)
        assert set(split.loc[split["split"] == "test", "dataset"]) == {"bd"}
        assert set(split.loc[split["split"] != "test", "dataset"]) == {"icbhi", "jordan"}
        assert audit["total"]["test"]["patients"] == 9
        assert audit["by_dataset"]["bd"]["train"]["patients"] == 0

    def test_what_is_missing_is_counted_by_side_and_dataset(self, make_patients, pneumonia, run_split):
        tables = [make_patients(20, every=4), make_patients(9, dataset="bd", every=100)]
        tables[1]["label_diagnosis"] = "copd"
        with pytest.raises(InfeasibleError) as error:
            run_split(tables, {"kind": "leave_dataset_out", "dataset": "bd"}, pneumonia)
        message = str(error.value)
        assert "test holds no patient with a positive of 'pneumonia'" in message
        counts = [line.split() for line in message.splitlines() if line.lstrip().startswith("pneumonia ")]
        assert [row[1:5] for row in counts if row[2] == "test"] == [
            ["bd", "test", "9", "18"],
            ["icbhi", "test", "0", "0"],
            ["all", "test", "9", "18"],
        ]
        # dataset, subset, patients, recordings, then patients positive, negative, unknown.
        assert ["bd", "test", "9", "18", "0", "9", "0"] in [row[1:] for row in counts]
        assert len(counts) == 9
        assert "Proposal: `split: {kind: patients}` can divide them, for at least 5 patients" in message

    def test_an_absent_dataset_names_its_nearest(self, make_patients, pneumonia, run_split):
        with pytest.raises(ConfigError, match="unknown dataset 'icbi'; did you mean 'icbhi'"):
            run_split(make_patients(10), {"kind": "leave_dataset_out", "dataset": "icbi"}, pneumonia)

    def test_a_site_is_tested_without_its_patients_recordings_elsewhere(self, make_patients, pneumonia, run_split):
        sites = [["Porto", "Aveiro"][k % 2] for k in range(20) for _ in range(2)]
        sites[1] = "Aveiro"  # p0000 was recorded at both
        sites[5] = None
        table = make_patients(20, site=sites)
        table["label_diagnosis"] = [("pneumonia", "copd")[k // 2 % 2] for k in range(20) for _ in range(2)]
        split, audit = run_split(table, {"kind": "leave_site_out", "site": "Porto"}, pneumonia)
        assert subsets(split)["icbhi/p0000_0"] == "test"
        assert "icbhi/p0000_1" not in split.index
        assert "icbhi/p0002_1" not in split.index
        assert {entry["reason"]: entry["recordings"] for entry in audit["left_out"]} == {
            "the site is not known": 1,
            "recorded elsewhere of a patient of the tested site": 1,
        }
        assert audit["findings"] == []

    def test_a_site_of_one_dataset_leaves_the_others_in(self, make_patients, pneumonia, run_split):
        bd = make_patients(20, dataset="bd", every=2, site=["A", "A", "B", "B"] * 10)
        bd["label_diagnosis"] = [("pneumonia", "copd")[k // 4 % 2] for k in range(40)]
        tables = [make_patients(20), bd]
        settings = {"kind": "leave_site_out", "site": "A", "dataset": "bd"}
        split, audit = run_split(tables, settings, pneumonia)
        assert audit["left_out"] == []
        assert audit["by_dataset"]["icbhi"]["test"]["patients"] == 0
        assert (split["split"] == "test").sum() == 20

    def test_an_absent_site_is_refused(self, make_patients, pneumonia, run_split):
        table = make_patients(10, site=["Porto"] * 20)
        with pytest.raises(ConfigError, match="unknown site 'Proto'; did you mean 'Porto'"):
            run_split(table, {"kind": "leave_site_out", "site": "Proto"}, pneumonia)

    def test_a_device_is_tested_without_its_patients_recordings_with_another(self, make_patients, pneumonia, run_split):
        devices = [["AKG", "Meditron", "Litt3200"][k % 3] for k in range(30) for _ in range(2)]
        devices[1] = "Meditron"  # p0000 was recorded with both
        devices[5] = None
        table = make_patients(30, device=devices)
        table["label_diagnosis"] = [("pneumonia", "copd")[k // 3 % 2] for k in range(30) for _ in range(2)]
        of_patient = table.set_index("recording_id")["patient_id"]
        tested = {}
        for device in ("AKG", "Meditron"):
            split, audit = run_split(table, {"kind": "leave_device_out", "device": device}, pneumonia)
            tested[device] = {name for name, subset in subsets(split).items() if subset == "test"}
            others = set(of_patient[[name for name in split.index if name not in tested[device]]])
            assert not others & set(of_patient[sorted(tested[device])])
            assert "icbhi/p0002_1" not in split.index
            assert audit["findings"] == []
        assert "icbhi/p0000_0" in tested["AKG"] and "icbhi/p0000_1" in tested["Meditron"]
        assert {entry["reason"]: entry["recordings"] for entry in audit["left_out"]} == {
            "the device is not known": 1,
            "recorded with another device of a patient of the tested device": 1,
        }

    def test_an_absent_device_is_refused_and_those_that_are_there_are_named(self, make_patients, pneumonia, run_split):
        table = make_patients(10, device=["AKG", "Meditron"] * 10)
        with pytest.raises(ConfigError, match="unknown device 'Neo'; allowed: AKG, Meditron"):
            run_split(table, {"kind": "leave_device_out", "device": "Neo"}, pneumonia)


def test_what_was_left_out_is_not_brought_back_by_validation(make_patients, pneumonia, run_split):
    table = make_patients(30, site=["Porto", None] * 10 + ["Aveiro", None] * 20, every=2)
    split, audit = run_split(table, {"kind": "leave_site_out", "site": "Porto"}, pneumonia)
    assert all(name.endswith("_0") for name in split.index)
    assert len(split) == 30
    assert audit["left_out"][0]["recordings"] == 30


def test_an_unlisted_recording_of_a_moved_patient_stays_out(make_recordings, pneumonia, run_split):
    rows = [(f"r{k:02d}", f"p{k:02d}", ("pneumonia", "copd")[k % 2]) for k in range(20)]
    rows += [("x", "p01", "copd"), ("y", "p01", "copd")]
    table = make_recordings(rows, attr_official_split=["train"] * 10 + ["test"] * 10 + ["test", None])
    for subset in ("train", "test", "drop"):
        split, audit = run_split(table, {"kind": "official", "patients_on_both_sides": subset}, pneumonia)
        assert "icbhi/y" not in split.index
        assert len(split) + sum(entry["recordings"] for entry in audit["left_out"]) == 22


class TestValidationFolds:
    KINDS = (
        {"kind": "patients", "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}, "seed": 4},
        {"kind": "official", "seed": 4},
        {"kind": "column", "column": "ward", "test": ["south"], "seed": 4},
        {"kind": "leave_site_out", "site": "east", "seed": 4},
    )

    def recordings(self, make_patients):
        n = 40
        wards = ["south" if k % 5 == 0 else "north" for k in range(n) for _ in range(2)]
        listed = ["test" if k % 5 < 2 else "train" for k in range(n) for _ in range(2)]
        sites = ["east" if k % 4 == 0 else "west" for k in range(n) for _ in range(2)]
        return make_patients(n, every=3, attr_ward=wards, attr_official_split=listed, site=sites)

    @pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings["kind"])
    def test_the_test_set_stays_and_every_other_patient_is_validation_once(
        self, make_patients, pneumonia, run_split, settings
    ):
        recordings = self.recordings(make_patients)
        plain = subsets(run_split(recordings, settings, pneumonia)[0])
        tested = {name for name, subset in plain.items() if subset == "test"}
        validated, sick = [], []
        for fold in (1, 2, 3, None):
            split, audit = run_split(recordings, {**settings, "val_fold": {"n_folds": 3, "fold": fold}}, pneumonia)
            assert set(split.index[split["split"] == "test"]) == tested
            assert set(split.index) == set(plain)
            patients = split.loc[split["split"] == "val", "patient_id"].unique().tolist()
            assert set(patients).isdisjoint(split.loc[split["split"] != "val", "patient_id"])
            if fold is None:
                assert not patients
                assert [row["step"] for row in audit["flow"]][-2:] == ["train", "test"]
                continue
            validated += patients
            sick.append(audit["total"]["val"]["targets"]["pneumonia"]["patients"]["positive"])
        others = {name for name, subset in plain.items() if subset != "test"}
        assert sorted(validated) == sorted(set(split.loc[sorted(others), "patient_id"]))
        assert max(sick) - min(sick) <= 1 and min(sick) >= 1

    def test_patients_who_stand_in_test_too_are_never_validation(self, make_recordings, pneumonia, run_split):
        settings = {"kind": "official", "patients_on_both_sides": "keep", "allow_patient_overlap": True}
        for fold in (1, 2):
            split, _ = run_split(
                official(make_recordings, both=(1, 12)),
                {**settings, "val_fold": {"n_folds": 2, "fold": fold}},
                pneumonia,
            )
            assert {"icbhi/p01", "icbhi/p12"}.isdisjoint(split.loc[split["split"] == "val", "patient_id"])
            assert subsets(split)["icbhi/r01"] == "train"

    def test_too_many_parts_are_refused_with_what_to_change(self, make_patients, pneumonia, run_split):
        for n_folds, message in ((60, "divided into 60 parts; lower val_folds"), (33, "Proposal: lower val_folds")):
            settings = {"kind": "patients", "val_fold": {"n_folds": n_folds, "fold": 1}}
            with pytest.raises(InfeasibleError, match=message):
                run_split(self.recordings(make_patients), settings, pneumonia)


class TestCalibration:
    KINDS = (
        *TestValidationFolds.KINDS,
        {"kind": "folds", "n_folds": 4, "fold": 2, "val_fraction": 0.4, "seed": 4},
        {"kind": "column", "column": "ward", "test": ["south"], "val": ["north"], "seed": 4},
    )

    def recordings(self, make_patients):
        wards = [("south", "north", "east", "east", "east")[k % 5] for k in range(60) for _ in range(2)]
        listed = ["test" if k % 5 < 2 else "train" for k in range(60) for _ in range(2)]
        sites = ["east" if k % 4 == 0 else "west" for k in range(60) for _ in range(2)]
        return make_patients(60, every=3, attr_ward=wards, attr_official_split=listed, site=sites)

    @pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings["kind"])
    def test_a_stratified_share_of_validation_moves_and_nobody_else(
        self, make_patients, pneumonia, run_split, settings
    ):
        settings = {**settings, "val_fraction": 0.3} if settings["kind"] not in {"patients", "folds"} else settings
        recordings = self.recordings(make_patients)
        plain, before = run_split(recordings, settings, pneumonia)
        split, audit = run_split(recordings, {**settings, "calibration_fraction": 0.4}, pneumonia)
        moved = split["split"] != plain["split"]
        assert set(plain.loc[moved, "split"]) == {"val"} and set(split.loc[moved, "split"]) == {"calibration"}
        assert split.groupby("patient_id")["split"].nunique().max() == 1
        patients = {name: count["patients"] for name, count in audit["total"].items()}
        assert list(patients) == ["train", "val", "calibration", "test"]
        n_val = before["total"]["val"]["patients"]
        assert patients["val"] + patients["calibration"] == n_val
        assert abs(patients["calibration"] - 0.4 * n_val) <= 1
        held = audit["total"]["calibration"]["targets"]["pneumonia"]["patients"]
        assert held["positive"] > 0 and held["negative"] > 0
        assert [row["step"] for row in audit["flow"]][-4:] == ["train", "val", "calibration", "test"]
        assert audit["table_one"][0]["calibration"]["n"] == patients["calibration"]

    def test_without_it_no_count_names_it(self, make_patients, pneumonia, run_split):
        _, audit = run_split(self.recordings(make_patients), {"kind": "patients"}, pneumonia)
        assert "calibration" not in str(audit["total"]) + str(audit["flow"]) + str(audit["table_one"])

    def test_patients_who_stand_in_validation_and_elsewhere_stay_there(self, make_recordings, pneumonia, run_split):
        wards = ["north", "south", "east"]
        rows = [(f"r{k:02d}_{ward}", f"p{k:02d}", ("pneumonia", "copd")[k % 2]) for k in range(4) for ward in wards]
        rows += [(f"v{k:02d}", f"v{k:02d}", ("pneumonia", "copd")[k % 2]) for k in range(8)]
        column = wards * 4 + ["north"] * 8
        settings = {
            "kind": "column", "column": "ward", "test": ["south"], "val": ["north"], "calibration_fraction": 0.5,
            "patients_on_both_sides": "keep", "allow_patient_overlap": True,
        }  # fmt: skip
        split, _ = run_split(make_recordings(rows, attr_ward=column), settings, pneumonia)
        calibrated = set(split.loc[split["split"] == "calibration", "patient_id"])
        assert len(calibrated) == 4 and all(name.startswith("icbhi/v") for name in calibrated)

    def test_a_class_that_it_lacks_is_told_with_the_counts(self, make_patients, pneumonia, run_split):
        settings = {"kind": "patients", "fractions": {"train": 0.8, "val": 0.1, "test": 0.1}}
        table = make_patients(20, every=2)
        run_split(table, settings, pneumonia)
        with pytest.raises(
            InfeasibleError, match=r"(?s)holds no patient with a .*calibration .*raise the share of val"
        ):
            run_split(table, {**settings, "calibration_fraction": 0.5}, pneumonia)

    def test_one_patient_cannot_be_divided(self, make_patients, pneumonia, run_split):
        wards = ["north", *("south", "east") * 9, "east"]
        settings = {
            "kind": "column",
            "column": "ward",
            "test": ["south"],
            "val": ["north"],
            "calibration_fraction": 0.5,
        }
        with pytest.raises(InfeasibleError, match="found 1, at least 2 are needed: raise the share of validation"):
            run_split(make_patients(20, per_patient=1, attr_ward=wards), settings, pneumonia)
