#!/usr/bin/env python3
"""What bench/compare.py decides: which pairs count, what is reported of them, and what may leave bf16 out."""
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "bench"))

import compare  # noqa: E402
import machine  # noqa: E402
from compare_report import COMPILED, VARIANTS, plot, report, summarise  # noqa: E402


def pair(engine_rate, peaks=(100.0, 100.0), taken=0.01, variants=VARIANTS):
    """The engine at `engine_rate`, PyTorch's variants at 1, 2, 4, … thousand impressions per second."""
    rates = {"fp32": engine_rate, **{variant: 1e3 * 2**i for i, variant in enumerate(variants)}}
    details = {variant: {"gate_worst_over_bound": 0.1, "peak_mb": 1} for variant in variants}
    details["fp32"] = {"tower_gflop": 50.0, "seconds": [1.0, 1.0], "batches": 2, "stage_seconds": {"update": 1.0},
                       "peak_mb": 2}
    return {"fma_gflops": list(peaks), "taken_by_others": {name: taken for name in rates}, "details": details,
            "rates": {name: {"held": rate, "loaded": rate} for name, rate in rates.items()}}


def case(*pairs):
    made = {"case": "all ids", "optimizer": "adam", "pairs": list(pairs), "losses": {"fp32": [[0.5, 0.1]]}}
    summarise(made, 100.0)
    return made


class Compare(unittest.TestCase):
    def test_pairs_on_a_slow_or_busy_machine_do_not_count(self):
        made = case(pair(20e3), pair(30e3), pair(90e3, peaks=(100.0, 84.0)), pair(90e3, taken=0.06))
        self.assertEqual((made["kept"], made["dropped"]), (2, {"slow": 1, "busy": 1}))
        self.assertEqual(made["ratios"]["fp32"]["joined"]["held"], {"median": 25.0, "min": 20.0, "max": 30.0})
        self.assertEqual(made["peak_share"]["fp32"]["median"], 0.5)
        self.assertNotIn("not results", report([made], {"date": "today"}, "figure.svg"))

    def test_a_report_from_a_machine_that_was_never_at_rest_says_so(self):
        made = case(pair(20e3, taken=0.5), pair(30e3, taken=0.5))
        self.assertIn("all ids adam. Those figures are not results", report([made], {"date": "today"}, "figure.svg"))

    def test_targets_are_met_or_not(self):
        text = report([case(pair(12e3))], {"date": "today"}, "figure.svg")
        self.assertIn("| adam | engine over PyTorch without user dedup | 12.0× (12.0–12.0) | ≥ 10× | yes |", text)
        self.assertIn("| adam | engine over PyTorch with user dedup | 6.0× (6.0–6.0) | ≥ 3.5× | yes |", text)
        self.assertIn("| adam | engine over PyTorch with user dedup and a factorised first layer | 3.0× (3.0–3.0) | none | |",
                      text.replace("|  |", "| |"))
        self.assertIn("| ≥ 3.5× | **no** |", report([case(pair(6e3))], {"date": "today"}, "figure.svg"))

    def test_the_figure_has_a_bar_for_every_contestant(self):
        figure = plot([case(pair(12e3))])
        for name in ("engine fp32", *(f"PyTorch {variant}" for variant in VARIANTS)):
            self.assertIn(f">{name}</text>", figure)

    def test_compiled_variants_are_peers_of_their_own_with_the_same_targets(self):
        made = case(pair(24e3, variants=VARIANTS + COMPILED))
        self.assertEqual(made["ratios"]["fp32"]["joined compiled"]["held"]["median"], 3.0)
        text = report([made], {"date": "today"}, "figure.svg")
        self.assertIn("| adam | engine over PyTorch without user dedup, compiled | 3.0× (3.0–3.0) | ≥ 10× | **no** |", text)
        self.assertIn(">PyTorch dedup compiled</text>", plot([made]))

    def test_a_compiled_variant_is_warmed_up_on_every_batch_that_is_timed(self):
        with tempfile.TemporaryDirectory() as work:
            made = compare.Comparison(SimpleNamespace(build=Path(work), quick=False, pairs=1, compile=True, python="python"),
                                      Path(work))
            called = []
            made.measured = lambda command: called.append(" ".join(map(str, command))) or {"fma_gflops": 1, "losses": []}
            made.losses = lambda data, optimizer, export: export.mkdir() or {}
            made.pair = lambda number, runs: [run(number + 1) for run in runs.values()] and {
                "fma_gflops": [1], "taken_by_others": {"": 0}, "rates": {}}
            made.case("all ids", "data", "adam")
            for variant in VARIANTS:
                plain, compiled = [line for line in called if f"--variant {variant} " in line]
                self.assertIn("--gate 2 ", plain)
                self.assertNotIn("--compile", plain)
                self.assertIn(f"--gate {made.batches} ", compiled)
                self.assertTrue(compiled.endswith("--compile"))

    def test_others_are_all_processor_time_that_is_not_ones_own(self):
        before = {"all": 10.0, "busy": 5.0, "stolen": 1.0, "own": 2.0}
        after = {"all": 20.0, "busy": 11.0, "stolen": 2.0, "own": 6.0}
        self.assertAlmostEqual(machine.taken_by_others(before, after), (6.0 - 4.0 + 1.0) / 10.0)

    def test_only_the_refusal_of_a_processor_without_bf16_leaves_it_out(self):
        self.assertIn(compare.NO_BF16, (ROOT / "engine/device.cpp").read_text())
        with tempfile.TemporaryDirectory() as work:
            made = compare.Comparison(SimpleNamespace(build=Path(work), quick=True, pairs=None, compile=False), Path(work))
            for code, words, is_refusal in ((2, compare.NO_BF16, True), (1, compare.NO_BF16, False), (2, "else", False)):
                def engine(data, optimizer, precision, *rest):
                    if precision == "bf16":
                        raise compare.Failed("esmm_bench_step", code, words)
                    return {"losses": [[1.0, 2.0]]}
                made.engine = engine
                if is_refusal:
                    self.assertEqual(made.losses("data", "adam", Path(work)), {"fp32": [[1.0, 2.0]]})
                else:
                    with self.assertRaises(compare.Failed):
                        made.losses("data", "adam", Path(work))


if __name__ == "__main__":
    unittest.main()
