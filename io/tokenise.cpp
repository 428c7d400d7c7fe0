#include "io/tokenise.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "io/hash_index.hpp"
#include "io/messages.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

// A range is the unit of work and of memory. Its impressions are not known when it is cut, hence also a limit in rows.
// Where it is cut shows in the packed bytes, so the limit is in these weights, not in bytes that depend on the values.
constexpr std::uint64_t kRangeWeight = 32U << 20;
constexpr std::uint64_t kRowWeight = 4, kFeatureWeight = 14, kImpressionWeight = 24, kDenseWeight = 4;
constexpr std::uint32_t kRangeRows = 8192;
constexpr std::size_t kBufferBytes = 256U << 20;  // of all ranges together
constexpr std::size_t kLeastBuffer = 64U << 10, kMostBuffer = 1U << 20;

std::uint64_t hash_of(const CommonKey& key) {
  return key.low;
}  // the key is a hash already

std::uint64_t weight(const FeatureRows& rows, std::size_t row) {
  const std::uint64_t begin = row == 0 ? 0 : rows.row_end[row - 1];
  return kRowWeight + kFeatureWeight * (rows.row_end[row] - begin);
}

class Tokeniser {
 public:
  Tokeniser(LogReader& log, const PackOptions& options, IdCodes& codes, TokenisedLog& out)
      : log_(log), options_(options), id_codes_(codes), out_(out) {
    out_.has_common = log.has_common();
    out_.dense = log.schema().dense.size();
    statistics().bad_rows.assign(static_cast<std::size_t>(BadRowKind::count_), 0);
  }

  void run() {
    if (out_.has_common) {
      log_.read_common([&](CommonRows&& rows) { add(std::move(rows)); });
      out_.common.flush();
      const std::size_t buffer = kBufferBytes / std::max<std::size_t>(1, range_begin_.size());
      out_.impressions.set_buffer_bytes(std::clamp(buffer, kLeastBuffer, kMostBuffer));
    }
    log_.read_impressions([&](ImpressionRows&& rows) { add(std::move(rows)); });
    out_.impressions.flush();
  }

 private:
  DatasetStatistics& statistics() { return out_.statistics; }

  void add(CommonRows&& rows) {
    statistics().text_bytes += rows.text_bytes;
    std::vector<BadRow> bad = std::move(rows.bad);
    id_codes_.encode(rows.features, Side::common, codes_);
    for (std::size_t r = 0; r < rows.key.size(); ++r) {
      std::uint32_t& number = number_of_(rows.key[r], hash_of);
      if (number != 0) {
        bad.push_back(
            bad_row({BadRowKind::duplicate_common, "a second definition of this common row"}, rows.file, rows.line[r]));
        continue;
      }
      if (common_rows_ == std::numeric_limits<std::uint32_t>::max()) {
        throw data_error("{}:{}: more than 2^32 - 2 common rows. Split the log.", rows.file, rows.line[r]);
      }
      number = ++common_rows_;
      if (range_begin_.empty() || range_weight_ >= kRangeWeight ||
          common_rows_ - 1 - range_begin_.back() >= kRangeRows) {
        if (!range_begin_.empty()) out_.common.finish(range_begin_.size() - 1);
        range_begin_.push_back(common_rows_ - 1);
        range_weight_ = 0;
      }
      append_tokens(rows.features, r, codes_, out_.common.end_of(range_begin_.size() - 1));
      range_weight_ += weight(rows.features, r);
      out_.common.appended(range_begin_.size() - 1);
    }
    report(bad);
    progress();
  }

  void add(ImpressionRows&& rows) {
    statistics().text_bytes += rows.text_bytes;
    std::vector<BadRow> bad = std::move(rows.bad);
    id_codes_.encode(rows.features, Side::sample, codes_);
    for (std::size_t r = 0; r < rows.click.size(); ++r) {
      std::uint32_t common_row = 0;
      if (out_.has_common) {
        common_row = number_of_.find(rows.common[r], hash_of(rows.common[r]));
        if (common_row == 0) {
          bad.push_back(bad_row({BadRowKind::unknown_common, "refers to a common row that does not exist"}, rows.file,
                                rows.line[r]));
          continue;
        }
        --common_row;
      }
      if (rows.click[r] == 0 && rows.conversion[r] != 0 && !keep_contradiction(rows, r, bad)) continue;
      append(rows, r, common_row);
    }
    report(bad);
    progress();
  }

  bool keep_contradiction(const ImpressionRows& rows, std::size_t row, std::vector<BadRow>& bad) {
    ++statistics().contradictions;
    if (options_.on_contradiction == OnContradiction::keep) return true;
    if (options_.on_contradiction == OnContradiction::error) {
      report(bad);  // bad rows are errors too where they come first
      throw data_error("{}:{}: conversion = 1 with click = 0. Fix the line, or pass --on-contradiction drop or keep.",
                       rows.file, rows.line[row]);
    }
    ++statistics().contradictions_dropped;
    return false;
  }

  void append(const ImpressionRows& rows, std::size_t row, std::uint32_t common_row) {
    std::size_t range = range_;
    if (out_.has_common) {
      range = static_cast<std::size_t>(std::upper_bound(range_begin_.begin(), range_begin_.end(), common_row) -
                                       range_begin_.begin() - 1);
      common_row -= range_begin_[range];
    }
    append_tokens(rows, row, codes_, out_.dense, common_row, statistics().impressions, out_.impressions.end_of(range));
    range_weight_ +=
        kImpressionWeight + rows.sample_id[row].size() + kDenseWeight * out_.dense + weight(rows.features, row);
    out_.impressions.appended(range);
    if (!out_.has_common && range_weight_ >= kRangeWeight) {
      out_.impressions.finish(range_++);
      range_weight_ = 0;
    }
    ++statistics().impressions;
    statistics().clicks += rows.click[row];
    statistics().conversions += rows.conversion[row];
  }

  void report(std::vector<BadRow>& bad) {
    if (bad.empty()) return;
    if (options_.on_bad_row == OnBadRow::error) {
      const auto first =
          std::min_element(bad.begin(), bad.end(), [](const BadRow& a, const BadRow& b) { return a.line < b.line; });
      throw Error(ExitCode::data, first->message);
    }
    for (const BadRow& row : bad) ++statistics().bad_rows[static_cast<std::size_t>(row.kind)];
    bad.clear();
  }

  void progress() {
    if (options_.progress) options_.progress("read", statistics().impressions, statistics().text_bytes);
  }

  LogReader& log_;
  const PackOptions& options_;
  IdCodes& id_codes_;
  TokenisedLog& out_;
  std::vector<std::uint32_t> codes_;  // of the rows at hand
  HashIndex<CommonKey> number_of_;    // 1 + the common row's place in the log
  std::uint32_t common_rows_ = 0;
  std::vector<std::uint32_t> range_begin_;  // first common row of each range
  std::uint64_t range_weight_ = 0;
  std::size_t range_ = 0;  // without common rows: the one being filled
};

}  // namespace

void tokenise(LogReader& log, const PackOptions& options, IdCodes& codes, TokenisedLog& out) {
  Tokeniser(log, options, codes, out).run();
}

void TokenRange::load(const TokenisedLog& log, std::size_t range) {
  dense_ = log.dense;
  groups_.clear();
  impressions_ = log.impressions.read(range, impression_memory_);
  const auto common = log.common.read(range, common_memory_);
  for (std::size_t at = 0; at < common.size();) {
    const TokenRow row = read_token_row(common, at);
    groups_.push_back({row, 0, 0, row.size()});
  }
  places_.clear();
  for (std::size_t at = 0; at < impressions_.size();) {
    const std::size_t begin = at;
    const ImpressionTokens impression = read_impression_tokens(impressions_, dense_, at);
    if (!log.has_common) groups_.push_back({});
    const auto common_row = log.has_common ? impression.common_row : static_cast<std::uint32_t>(groups_.size() - 1);
    places_.push_back({begin, common_row});
    ++groups_[common_row].end;  // for now the number of impressions
    groups_[common_row].ids += impression.features.size();
  }
  std::size_t end = 0;
  for (Group& group : groups_) {
    group.begin = end;
    end += std::exchange(group.end, end);
  }
  order_.resize(end);
  for (const Place& place : places_) order_[groups_[place.common_row].end++] = place.begin;
  unused_ = std::erase_if(groups_, [](const Group& group) { return group.begin == group.end; });
}

}  // namespace esmm
