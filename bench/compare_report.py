"""From the pairs of bench/compare.py to its report (standard library only)."""
from statistics import median

from plot import chart, figure
from results import SLOW, TAKEN, facts, spread, table, words

VARIANTS = ("joined", "dedup", "factorised")
COMPILED = tuple(f"{variant} compiled" for variant in VARIANTS)  # by torch.compile
ENGINE = ("fp32", "bf16")


def over_peak(detail, peak):
    return detail["tower_gflop"] * len(detail["seconds"]) / sum(detail["seconds"]) / peak


def summarise(case, best_peak):
    """Adds what the report says about a case."""
    for pair in case["pairs"]:
        pair["slow"] = min(pair["fma_gflops"]) < SLOW * best_peak
        pair["busy"] = max(pair["taken_by_others"].values()) > TAKEN
    kept = [pair for pair in case["pairs"] if not pair["slow"] and not pair["busy"]]
    case["dropped"] = {"slow": sum(pair["slow"] for pair in case["pairs"]),
                       "busy": sum(pair["busy"] for pair in case["pairs"])}
    case["kept"], case["not_at_rest"] = len(kept), not kept
    kept = kept or case["pairs"]
    keys = list(kept[0]["rates"])
    peers = [key for key in keys if key not in ENGINE]
    columns = ("held", "loaded")
    case["rates"] = {key: {column: spread([pair["rates"][key][column] for pair in kept]) for column in columns}
                     for key in keys}
    case["ratios"] = {key: {variant: {column: spread([pair["rates"][key][column] / pair["rates"][variant][column]
                                                      for pair in kept]) for column in columns} for variant in peers}
                      for key in keys if key in ENGINE}
    peak = {"fp32": lambda pair: sum(pair["fma_gflops"]) / 2,
            "bf16": lambda pair: pair["details"]["bf16"]["probes_after"]["bf16_gflops"]}
    case["peak_share"] = {key: spread([over_peak(pair["details"][key], peak[key](pair)) for pair in kept])
                          for key in case["ratios"]}
    case["stages"] = {key: {stage: median([pair["details"][key]["stage_seconds"][stage] / pair["details"][key]["batches"]
                                           for pair in kept]) for stage in kept[0]["details"][key]["stage_seconds"]}
                      for key in case["ratios"]}
    case["step"] = {key: median([sum(pair["details"][key]["seconds"]) / len(pair["details"][key]["seconds"]) /
                                 pair["details"][key]["batches"] for pair in kept]) for key in case["ratios"]}
    case["peak_mb"] = {key: max(pair["details"][key]["peak_mb"] for pair in kept) for key in keys}
    case["gate"] = max(pair["details"][variant]["gate_worst_over_bound"] for pair in case["pairs"] for variant in peers)
    case["taken_by_others"] = max(max(pair["taken_by_others"].values()) for pair in kept)


def facts_of(cases, run):
    first = cases[0]["pairs"][0]["details"]
    peer, probes = first["joined"], [pair["details"]["fp32"]["probes_after"] for case in cases for pair in case["pairs"]]
    best = lambda name: max(probe[name] for probe in probes)
    ids = {case["case"]: case["pairs"][0]["details"]["fp32"]["ids_per_impression"] for case in cases}
    parameters = {case["case"]: case["pairs"][0]["details"]["fp32"]["parameters"] for case in cases}
    return {**facts(),
            "PyTorch": f"{peer['torch']}, {peer['blas']}, {peer['threads']} threads",
            "model": "--preset paper (D 18, 200-80-1, ReLU), batch 5000",
            "ids per impression": ", ".join(f"{case}: {count:.0f}" for case, count in ids.items()),
            "parameters": ", ".join(f"{case}: {count / 1e6:.1f} M" for case, count in parameters.items()),
            "ceilings (best probe)": f"fp32 {best('fma_gflops'):.0f} GFLOP/s, bf16 {best('bf16_gflops'):.0f} GFLOP/s, "
                                     f"read {best('read_gbps'):.1f} GB/s, random rows {best('random_row_gbps'):.1f} GB/s",
            "time taken": f"{run['seconds'] / 60:.0f} min, others had {100 * run['taken']:.1f} % of the processors"}


def targets(cases):
    """What the project set itself, for the case with all ids, without loading."""
    met = lambda value, least: "yes" if value >= least else "**no**"
    for case in cases:
        if case["case"] != "all ids" or case["optimizer"] == "sgd":
            continue
        goals = [("joined", "without user dedup", 10), ("dedup", "with user dedup", 3.5),
                 ("factorised", "with user dedup and a factorised first layer", None)]
        goals += [(f"{variant} compiled", f"{what}, compiled", least) for variant, what, least in goals]
        for variant, what, least in goals:
            if variant not in case["ratios"]["fp32"]:
                continue
            ratio = case["ratios"]["fp32"][variant]["held"]
            yield (case["optimizer"], f"engine over PyTorch {what}", words(ratio, unit="×"), f"≥ {least}×" if least else "none",
                   met(ratio["median"], least) if least else "")
        for precision, share in case["peak_share"].items():
            yield (case["optimizer"], f"share of the {precision} peak, factorised arithmetic",
                   words(share, "{:.0f}", " %", 100), "≥ 50 %",
                   met(share["median"], 0.5))


def report(cases, facts, figure):
    keys = list(cases[0]["rates"])
    engine = list(cases[0]["ratios"])
    peers = [key for key in keys if key not in engine]
    name = lambda key: ("engine " if key in engine else "PyTorch ") + key
    k = lambda values: words(values, scale=1e-3)
    of = lambda case: (case["case"], case["optimizer"])
    lines = [f"# Engine and PyTorch, {facts['date']}", "", "Made by `bench/compare.sh`; docs/benchmarking.md explains it.",
             "", "| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in facts.items()), ""]
    if any(case["not_at_rest"] for case in cases):
        names = "; ".join(" ".join(of(case)) for case in cases if case["not_at_rest"])
        lines += [f"**The machine was at rest in no pair of: {names}. Those figures are not results.**", ""]
    lines += ["Targets, all ids, without loading:", "",
              *table(["optimizer", "what", "measured, median (minimum–maximum)", "target", "met"], targets(cases)),
              f"![Throughput and stages]({figure})", ""]
    for column, title in (("held", "without loading"), ("loaded", "with loading")):
        lines += [f"Thousand impressions per second {title}, median (minimum–maximum):", "",
                  *table(["case", "optimizer", *map(name, keys)],
                         ([*of(case), *(k(case["rates"][key][column]) for key in keys)] for case in cases)),
                  f"The engine over PyTorch {title}, ratio within each pair:", "",
                  *table(["case", "optimizer", *(f"{key} over {v}" for key in engine for v in peers)],
                         ([*of(case), *(words(case["ratios"][key][v][column]) for key in engine for v in peers)]
                          for case in cases))]
    lines += ["Share of the measured peak of its precision that a step's factorised tower arithmetic reaches, and the sum of",
              "the stages over the whole step:", "",
              *table(["case", "optimizer", *(f"{key}: {what}" for key in engine for what in ("share of peak", "stages / step"))],
                     ([*of(c), *(cell for key in engine for cell in (
                         f"{100 * c['peak_share'][key]['median']:.0f} %",
                         f"{sum(c['stages'][key].values()) / c['step'][key]:.2f}"))] for c in cases)),
              "Milliseconds of a step by stage:", ""]
    stages = list(cases[0]["stages"]["fp32"])
    lines += [*table(["case", "optimizer", "precision", *stages],
                     ([*of(c), key, *(f"{1e3 * c['stages'][key][stage]:.2f}" for stage in stages)]
                      for c in cases for key in engine)),
              "Peak memory in MB (the engine holds its batches and the loader's, PyTorch its batches):", "",
              *table(["case", "optimizer", *map(name, keys)],
                     ([*of(c), *(f"{c['peak_mb'][key]:.0f}" for key in keys)] for c in cases)),
              f"Pairs: kept, and dropped because the FMA peak was below {100 * SLOW:.0f} % of the best (slow) or others had more",
              f"than {100 * TAKEN:.0f} % of all processor time (busy); the most that others had in a kept pair; greatest loss",
              "difference to PyTorch over its bound:", "",
              *table(["case", "optimizer", "kept", "slow", "busy", "others", "gate"],
                     ([*of(c), c["kept"], c["dropped"]["slow"], c["dropped"]["busy"], f"{100 * c['taken_by_others']:.1f} %",
                       f"{c['gate']:.3f}"] for c in cases))]
    if "bf16" in cases[0]["losses"]:
        lines += ["Loss by step, fp32 and bf16:", ""]
        rows = []
        for case in cases:
            fp32, bf16 = case["losses"]["fp32"], case["losses"]["bf16"]
            steps = sorted({*range(0, len(fp32), max(1, len(fp32) // 5)), len(fp32) - 1})
            rows += [[*of(case), s + 1, f"{sum(fp32[s]):.5f}", f"{sum(bf16[s]):.5f}",
                      f"{100 * (sum(bf16[s]) / sum(fp32[s]) - 1):+.2f} %"] for s in steps]
        lines += table(["case", "optimizer", "step", "fp32", "bf16", "difference"], rows)
    return "\n".join(lines).rstrip() + "\n"


def plot(cases):
    """Throughput of every case, and where the engine's step spends its time."""
    of = lambda case: f"{case['case']}, {case['optimizer']}"
    name = lambda case, key: ("engine " if key in case["ratios"] else "PyTorch ") + key
    return figure(
        chart("Thousand impressions per second, without loading (median)",
              {of(case): {name(case, key): rate["held"]["median"] / 1e3 for key, rate in case["rates"].items()}
               for case in cases}),
        chart("Milliseconds of one engine step by stage, fp32 (median)",
              {of(case): {"": {stage: 1e3 * seconds for stage, seconds in case["stages"]["fp32"].items()}}
               for case in cases}, stacked=True))
