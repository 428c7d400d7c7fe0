#!/usr/bin/env python3
"""bench/quality: its metrics and intervals against hand-made cases, and short comparisons from end to end."""
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "bench/quality"))

import limit  # noqa: E402
from log import Log, auc, split_for_validation  # noqa: E402
from report import METRICS, paired_interval  # noqa: E402

PROGRAM = sys.argv.pop(1)


class Metrics(unittest.TestCase):
    def test_auc_counts_ties_half_and_is_undefined_with_one_class(self):
        scores = np.array([0.1, 0.5, 0.5, 0.9])
        self.assertEqual(auc(scores, np.array([False, False, True, True])), 3.5 / 4)
        self.assertTrue(np.isnan(auc(scores, np.zeros(4, dtype=bool))))

    def test_the_expected_auc_of_certain_labels_is_their_auc(self):
        scores, labels = np.array([0.3, 0.1, 0.9, 0.5]), np.array([True, False, True, False])
        self.assertEqual(limit.expected_auc(scores, labels.astype(float)), auc(scores, labels))

    def test_a_paired_interval_is_students_over_the_differences(self):
        mean, half = paired_interval([3.0, 5.0, 7.0], [2.0, 3.0, 4.0])  # differences 1, 2, 3: deviation 1
        self.assertAlmostEqual(mean, 2.0)
        self.assertAlmostEqual(half, 4.303 / 3**0.5)

    def test_more_impressions_teach_more_and_never_all(self):
        fields = limit.small_fields()
        shares = [limit.learnt_share(fields, rows * 0.1, 0.1, 1.21, rows) for rows in (1e4, 1e6, 1e8)]
        self.assertTrue(0 < shares[0] < shares[1] < shares[2] < 1 - limit.INTERACTION / 2)


class RawLog(unittest.TestCase):
    def test_the_last_fifth_of_the_train_half_validates_and_conversions_without_click_do_not_count(self):
        with tempfile.TemporaryDirectory() as folder:
            whole, split = Path(folder) / "whole", Path(folder) / "split"
            whole.mkdir()
            lines = [f"{i},{label},user,1,205\x027\x031.0\n" for i, label in enumerate(["0,0"] * 8 + ["1,1", "0,1"])]
            (whole / "sample_skeleton_train.csv").write_text("".join(lines))
            (whole / "common_features_train.csv").write_text("user,0,\n")
            split_for_validation(whole, split)
            self.assertEqual((split / "sample_skeleton_train.csv").read_text(), "".join(lines[:8]))
            self.assertEqual((split / "sample_skeleton_test.csv").read_text(), "".join(lines[8:]))
            self.assertEqual((split / "common_features_test.csv").read_text(), "user,0,\n")
            self.assertEqual(Log(split).counts(), {"rows": 1, "clicks": 1, "conversions": 1})


class Comparison(unittest.TestCase):
    def compare(self, out, *options):
        """The results of a comparison of base and esmm, two seeds each."""
        command = [sys.executable, ROOT / "bench/quality/run.py", "--binary", PROGRAM, "--methods", "base,esmm", "--seeds", "2",
                   "--rows", "3000", "--threads", "1", "--out", out, *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads((out / "results.json").read_text())

    def test_the_rate_is_the_best_of_the_validation_split_and_the_report_has_every_method(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            made = self.compare(out, "--tune", "0.001,0.01")
            means = made["about"]["validation"]
            self.assertEqual(made["about"]["lr"], max(means, key=means.get))
            for method in ("base", "esmm"):
                self.assertEqual({m: len(v) for m, v in made["values"][""]["results"][method].items()}, dict.fromkeys(METRICS, 2))
            report = (out / "report.md").read_text()
            for row in ("| base |", "| esmm |", "| truth (Bayes) |"):
                self.assertEqual(report.count(row), 1)
            first = (out / "results.json").read_text().split('"option"')[1]
            self.compare(out, "--tune", "0.001,0.01")  # with the predictions that are there
            self.assertEqual((out / "results.json").read_text().split('"option"')[1], first)

    def test_an_option_of_the_world_is_varied_in_worlds_of_its_own_and_others_reach_train(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            made = self.compare(out, "--vary", "selection-bias=-0.9,0.9", "--train", "dim=4,hidden=8")
            self.assertEqual(list(made["values"]), ["-0.9", "0.9"])
            self.assertIn("dim = 4\n", (out / "runs/esmm-selection-bias-0.9-1/config.toml").read_text())
            self.assertIn("selection-bias 0.9", (out / "report.md").read_text())
            self.assertTrue((out / "cvr_auc.svg").exists())

    def test_a_real_log_has_no_truth_and_may_have_conversions_without_a_click(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            subprocess.run([PROGRAM, "synth", "--rows", "3000", "--out", log], check=True, stdout=subprocess.DEVNULL)
            (log / "truth_test.csv").unlink()
            for half in ("train", "test"):
                skeleton = log / f"sample_skeleton_{half}.csv"
                skeleton.write_bytes(skeleton.read_bytes().replace(b",0,0,", b",0,1,", 2))
            made = self.compare(Path(folder) / "out", "--data", log, "--tune", "0.001,0.01")
            self.assertEqual(made["about"]["test half"]["rows"], 2998)
            self.assertEqual(list(made["values"][""]["results"]["esmm"]), ["cvr_auc", "ctcvr_auc"])

    def test_an_option_that_has_a_flag_of_its_own_may_be_varied(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            self.compare(out, "--vary", "epochs=1,2")
            self.assertIn("epochs = 2\n", (out / "runs/esmm-epochs-2-1/config.toml").read_text())

    def test_seeds_may_have_worlds_of_their_own(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            self.compare(out, "--worlds")
            first, second = ((out / f"world-seed-{seed}/truth_test.csv").read_bytes() for seed in (1, 2))
            self.assertNotEqual(first, second)


if __name__ == "__main__":
    unittest.main()
