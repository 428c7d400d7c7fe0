#pragma once
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/rows.hpp"

namespace esmm::test {

/// One feature: the field by name, the id as a number.
struct MemoryFeature {
  std::string field;
  std::uint64_t id = 0;
  float value = 1.0F;
};
struct MemoryCommonRow {
  std::string key;
  std::vector<MemoryFeature> features;
};
struct MemoryImpression {
  std::string sample_id;
  int click = 0, conversion = 0;
  std::string common;  // key; unused when the log has no common rows
  std::vector<MemoryFeature> features;
  std::vector<float> dense;  // one per dense column; NaN: missing
};

/// A log held in memory: row i of each part is line i + 1 of "common.csv" and "impressions.csv".
class MemoryLog : public LogReader {
 public:
  explicit MemoryLog(Schema schema) : schema_(std::move(schema)) {}

  std::vector<MemoryCommonRow> common;
  std::vector<MemoryImpression> impressions;
  bool with_labels = true;
  std::size_t rows_per_batch = 3;                               // how the rows are handed out
  std::vector<std::pair<std::size_t, BadRow>> bad_impressions;  // reported with the batch of that row

  [[nodiscard]] const Schema& schema() const override { return schema_; }
  [[nodiscard]] bool labelled() const override { return with_labels; }
  [[nodiscard]] bool has_common() const override { return !common.empty(); }
  [[nodiscard]] std::vector<std::string> files() const override;
  void read_common(const std::function<void(CommonRows&&)>& sink) override;
  void read_impressions(const std::function<void(ImpressionRows&&)>& sink) override;

 private:
  void append(const std::vector<MemoryFeature>& features, Side side, FeatureRows& out) const;
  Schema schema_;
};

/// Fields "s0", "s1", … on the sample side, "c0", … on the common side, each its own table, and dense "d0", ….
[[nodiscard]] Schema memory_schema(int sample_fields, int common_fields, int dense = 0);

struct RandomLogShape {
  int common_rows = 20;  // 0: a log without common rows
  int impressions = 500;
  int sample_fields = 3, common_fields = 2, dense = 1;
  int most_ids = 4;  // per bag; from 0
  std::uint64_t distinct_ids = 50;
  std::uint64_t seed = 1;
};
/// Random rows: small ids more frequent, some values other than 1, some dense values missing, sample ids "1", "2", ….
[[nodiscard]] MemoryLog random_log(const RandomLogShape& shape);

}  // namespace esmm::test
