#include "io/pack.hpp"

#include <utility>

#include "io/count_ids.hpp"
#include "io/packed_writer.hpp"
#include "io/range_encoder.hpp"
#include "io/tokenise.hpp"
#include "kernels/error.hpp"
#include "kernels/thread_pool.hpp"

namespace esmm {
namespace {

std::shared_ptr<const Vocabulary> hashed_vocabulary(const Schema& schema, std::uint32_t buckets) {
  std::vector<Vocabulary::Table> tables;
  for (const std::string& name : schema.tables()) tables.push_back({name, Encoding::hash, buckets, 0, {}});
  return std::make_shared<const Vocabulary>(std::move(tables), 0);
}

void write_blocks(const TokenisedLog& log, const Schema& schema, const CodedVocabulary& vocabulary, ThreadPool& pool,
                  std::vector<TokenRange>& memory, PackedWriter& writer, DatasetStatistics& statistics,
                  const std::function<void(std::size_t)>& done) {
  std::vector<RangeEncoder> encoders;
  for (int t = 0; t < pool.threads(); ++t) encoders.emplace_back(schema, vocabulary);
  std::vector<Moments> dense(schema.dense.size());
  statistics.fields.assign(schema.fields.size(), no_ids());

  std::vector<EncodedRange> encoded(log.ranges());  // held until their wave is done, then written in order
  const auto encode = [&](std::size_t number, const TokenRange& range, std::size_t thread) {
    encoded[number] = encoders[thread].encode(range);
  };
  const auto write = [&](std::size_t first, std::size_t end) {
    for (std::size_t r = first; r < end; ++r) {
      const EncodedRange range = std::move(encoded[r]);
      for (const EncodedBlock& block : range.blocks) writer.add(block);
      statistics.common_rows += range.common_rows;
      statistics.unused_common_rows += range.unused_common_rows;
      for (std::size_t f = 0; f < statistics.fields.size(); ++f) merge(statistics.fields[f], range.fields[f]);
      for (std::size_t e = 0; e < dense.size(); ++e) dense[e].merge(range.dense[e]);
    }
    done(end);
  };
  for_each_range(log, pool, memory, encode, write);
  for (auto& field : statistics.fields)
    if (field.ids == 0) field.value_min = field.value_max = 0;
  for (const Moments& moments : dense) statistics.dense.push_back(moments.statistics());
}

void warn_of(const DatasetStatistics& statistics, const PackOptions& options) {
  if (!options.warn) return;
  for (std::size_t kind = 0; kind < statistics.bad_rows.size(); ++kind)
    if (statistics.bad_rows[kind] > 0)
      options.warn(
          fmt::format("skipped {} bad rows ({})", statistics.bad_rows[kind], name(static_cast<BadRowKind>(kind))));
  if (statistics.contradictions > 0)
    options.warn(fmt::format("{} conversions without a click, {} of them dropped", statistics.contradictions,
                             statistics.contradictions_dropped));
}

}  // namespace

void pack(LogReader& log, const std::string& directory, const PackOptions& options) {
  PackedWriter writer(directory);
  ThreadPool pool(options.threads);
  const Schema& schema = log.schema();

  CodedVocabulary vocabulary{options.vocabulary, {}};
  if (vocabulary.vocabulary == nullptr && options.encoding == Encoding::hash)
    vocabulary.vocabulary = hashed_vocabulary(schema, options.buckets);
  IdCodes codes(schema, vocabulary.vocabulary, pool);
  TokenisedLog tokens(writer.staging_path());
  tokenise(log, options, codes, tokens);
  DatasetStatistics statistics = tokens.statistics;
  warn_of(statistics, options);
  if (statistics.impressions == 0)
    throw data_error("{}: no usable impression. Check the file and its format.", log.files().back());

  const auto progress = [&](const char* stage) {
    const auto report = [&, stage](std::size_t ranges) {
      const std::uint64_t rows = statistics.impressions * ranges / tokens.ranges();
      if (options.progress) options.progress(stage, rows, statistics.text_bytes);
    };
    report(0);
    return report;
  };
  std::vector<TokenRange> memory;
  if (vocabulary.vocabulary == nullptr)  // nothing is counted for a vocabulary that is given or hashed
    vocabulary = count_vocabulary(tokens, schema, codes, options.min_count, pool, memory, progress("count"));
  write_blocks(tokens, schema, vocabulary, pool, memory, writer, statistics, progress("write"));
  writer.finish(schema, log.labelled(), *vocabulary.vocabulary, std::move(statistics));
}

}  // namespace esmm
