#pragma once
#include <string>
#include <utility>
#include <vector>

#include "engine/report/figures.hpp"
#include "engine/report/run_data.hpp"

namespace esmm::report {

/// A metric as it is written everywhere; "undefined" without a value.
[[nodiscard]] std::string metric_text(const std::optional<double>& value);

/// Every metric that one of the columns has, and the counts below; the best of a row is strong where `mark_best`.
[[nodiscard]] std::string metrics_table(const Labelled<Metrics>& columns, bool mark_best);
/// Size and rates of the datasets; their fields: coverage, ids per row, vocabulary; their dense columns.
[[nodiscard]] std::string data_tables(const RunData& run);
/// Where the time of the process went that finished the run.
[[nodiscard]] std::string stage_table(const RunData& run);
/// Every option with its group; those that are not at their default are strong.
[[nodiscard]] std::string config_tables(const Config& config);
/// The options in which runs differ, by their labels; a sentence when there is none.
[[nodiscard]] std::string config_differences(const Labelled<Config>& configs);
/// Device, processor, memory, system, program; one column per run.
[[nodiscard]] std::string machine_table(const Labelled<RunData>& runs);
/// Model, state, steps, seconds, rows per second, parameters; one column per run.
[[nodiscard]] std::string training_table(const Labelled<RunData>& runs);

/// "finished", "stopped early", "not finished, last logged step 120".
[[nodiscard]] std::string state_text(const RunData& run);

}  // namespace esmm::report
