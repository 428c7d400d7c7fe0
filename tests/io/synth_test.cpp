#include "io/synth.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "kernels/error.hpp"

namespace esmm {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kSampleFields = {"205", "206", "207", "210", "216", "508", "509", "702", "853", "301"};
const std::vector<std::string> kCommonFields = {"101", "109_14", "110_14", "127_14", "150_14", "121", "122",
                                                "124", "125",    "126",    "127",    "128",    "129"};

struct Record {
  std::string field;
  std::uint64_t id = 0;
  std::string value;
};
using Records = std::vector<Record>;

struct SynthImpression {
  std::uint64_t sample_id = 0;
  int click = 0, conversion = 0, conversion_if_clicked = 0;
  double pctr = 0, pcvr = 0;
  std::string key;
  Records features;
};

struct Log {
  std::vector<SynthImpression> impressions;
  std::vector<std::pair<std::string, Records>> common;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::vector<std::string> lines(const fs::path& file) {
  std::ifstream stream(file);
  EXPECT_TRUE(stream) << file;
  std::vector<std::string> result;
  for (std::string line; std::getline(stream, line);) result.push_back(line);
  return result;
}

Records parse_features(const std::string& count, const std::string& text) {
  Records records;
  for (const std::string& record : split(text, '\x01')) {
    const std::size_t id = record.find('\x02'), value = record.find('\x03');
    EXPECT_TRUE(id != std::string::npos && value != std::string::npos && id < value) << record;
    records.push_back(
        {record.substr(0, id), std::stoull(record.substr(id + 1, value - id - 1)), record.substr(value + 1)});
  }
  EXPECT_EQ(std::to_string(records.size()), count);
  return records;
}

Log read_log(const fs::path& directory, const std::string& half) {
  Log log;
  for (const std::string& line : lines(directory / ("common_features_" + half + ".csv"))) {
    const auto columns = split(line, ',');
    EXPECT_EQ(columns.size(), 3U);
    log.common.emplace_back(columns.at(0), parse_features(columns.at(1), columns.at(2)));
  }
  const auto truth = lines(directory / ("truth_" + half + ".csv"));
  EXPECT_EQ(truth.at(0), "sample_id,pctr,pcvr,conversion_if_clicked");
  const auto skeleton = lines(directory / ("sample_skeleton_" + half + ".csv"));
  EXPECT_EQ(truth.size(), skeleton.size() + 1);
  for (std::size_t i = 0; i < skeleton.size(); ++i) {
    const auto columns = split(skeleton[i], ','), known = split(truth.at(i + 1), ',');
    EXPECT_EQ(columns.size(), 6U);
    EXPECT_EQ(known.size(), 4U);
    EXPECT_EQ(columns.at(0), known.at(0));
    log.impressions.push_back({std::stoull(columns.at(0)), std::stoi(columns.at(1)), std::stoi(columns.at(2)),
                               std::stoi(known.at(3)), std::stod(known.at(1)), std::stod(known.at(2)), columns.at(3),
                               parse_features(columns.at(4), columns.at(5))});
  }
  return log;
}

/// A directory of its own for each test, removed at its end.
class Synth : public testing::Test {
 protected:
  Synth() : root_(fs::path(testing::TempDir()) / ("synth_test_" + std::to_string(getpid()))) {
    fs::create_directories(root_);
  }
  ~Synth() override { fs::remove_all(root_); }

  SynthOptions options(std::uint64_t rows, SynthProfile profile = SynthProfile::small, std::uint64_t users = 0) {
    SynthOptions result;
    result.out = (root_ / std::to_string(directories_++)).string();
    result.rows = rows;
    result.users = users;
    result.profile = profile;
    result.threads = 2;
    return result;
  }
  static Log train_log(const SynthOptions& wanted) {
    synthesise(wanted);
    return read_log(wanted.out, "train");
  }

  fs::path root_;
  int directories_ = 0;
};

/// A probability and the label drawn with it.
using Prediction = std::pair<double, int>;

/// Σ labels against Σ probabilities: at most 4.5 standard deviations of a sum of independent Bernoulli draws apart
/// (once in 147,000 tests by chance).
void expect_calibrated(const std::vector<Prediction>& predictions, const std::string& what) {
  double expected = 0, variance = 0, seen = 0;
  for (const auto& [p, label] : predictions) {
    expected += p;
    variance += p * (1 - p);
    seen += label;
  }
  EXPECT_NEAR(seen, expected, 4.5 * std::sqrt(variance)) << what << " of " << predictions.size();
}

void expect_calibrated_in_deciles(std::vector<Prediction> predictions, const std::string& what) {
  expect_calibrated(predictions, what);
  std::sort(predictions.begin(), predictions.end(), [](auto& a, auto& b) { return a.first < b.first; });
  const auto bound = [&](std::size_t decile) {
    return predictions.begin() + static_cast<std::ptrdiff_t>(predictions.size() * decile / 10);
  };
  for (std::size_t decile = 0; decile < 10; ++decile) {
    expect_calibrated({bound(decile), bound(decile + 1)}, what + ", decile " + std::to_string(decile));
  }
}

/// The AUC of score p when labels are drawn with probability p, in expectation over the labels; rows count by weight.
double bayes_auc(std::vector<std::pair<double, double>> probability_and_weight) {
  std::sort(probability_and_weight.begin(), probability_and_weight.end());
  double positives = 0, negatives = 0, ordered = 0;
  for (const auto& [p, weight] : probability_and_weight) {
    ordered += weight * p * (negatives + weight * (1 - p) / 2);
    positives += weight * p;
    negatives += weight * (1 - p);
  }
  return ordered / (positives * negatives);
}

struct BayesAucs {
  double ctr, clicked_cvr;
};
BayesAucs bayes_aucs(const Log& log) {
  std::vector<std::pair<double, double>> ctr, cvr;
  for (const SynthImpression& i : log.impressions) {
    ctr.emplace_back(i.pctr, 1.0);
    cvr.emplace_back(i.pcvr, i.pctr);  // an impression is among the clicked ones with probability pctr
  }
  return {bayes_auc(ctr), bayes_auc(cvr)};
}

struct Estimate {
  double mean, standard_error;
};
/// Mean with its standard error when the rows of one cluster vary together.
Estimate clustered_mean(const std::vector<double>& values, const std::vector<std::uint64_t>& clusters) {
  double sum = 0;
  for (const double value : values) sum += value;
  const auto count = static_cast<double>(values.size());
  std::map<std::uint64_t, double> residuals;
  for (std::size_t i = 0; i < values.size(); ++i) residuals[clusters[i]] += values[i] - sum / count;
  double squares = 0;
  for (const auto& [cluster, residual] : residuals) squares += residual * residual;
  return {sum / count, std::sqrt(squares) / count};
}

class SynthProfiles : public Synth, public testing::WithParamInterface<SynthProfile> {};

TEST_P(SynthProfiles, WriteEveryRowInTheAliCcpLayout) {
  const SynthOptions wanted = options(3000, GetParam(), 100);
  const SynthReport report = synthesise(wanted);
  EXPECT_EQ(report.rows, 6000U);
  EXPECT_EQ(report.users, 200U);
  std::set<std::string> keys;
  std::uint64_t last_sample_id = 0, clicks = 0, conversions = 0, bytes = 0, largest_id = 0;
  const auto check = [&](const Records& records, const std::vector<std::string>& fields) {
    std::set<std::pair<std::string, std::uint64_t>> seen;
    for (const Record& r : records) {
      EXPECT_TRUE(std::find(fields.begin(), fields.end(), r.field) != fields.end()) << r.field;
      EXPECT_TRUE(seen.emplace(r.field, r.id).second) << "twice in a row: " << r.field << " " << r.id;
      EXPECT_TRUE(r.value == "1.0" || (r.value.size() == 7 && r.value[1] == '.')) << r.value;
      largest_id = std::max(largest_id, r.id);
    }
  };
  for (const std::string half : {"train", "test"}) {
    const Log log = read_log(wanted.out, half);
    ASSERT_EQ(log.impressions.size(), 3000U);
    ASSERT_EQ(log.common.size(), 100U);
    std::set<std::string> own_keys;
    for (const auto& [key, records] : log.common) {
      EXPECT_THAT(key, testing::MatchesRegex("[0-9a-f]+"));
      EXPECT_EQ(key.size(), 32U);
      EXPECT_TRUE(keys.insert(key).second) << "key used twice: " << key;
      own_keys.insert(key);
      check(records, kCommonFields);
    }
    for (const SynthImpression& i : log.impressions) {
      EXPECT_GT(i.sample_id, last_sample_id);
      last_sample_id = i.sample_id;
      EXPECT_TRUE(own_keys.contains(i.key));
      EXPECT_EQ(i.conversion, i.click * i.conversion_if_clicked);
      check(i.features, kSampleFields);
      clicks += static_cast<std::uint64_t>(i.click);
      conversions += static_cast<std::uint64_t>(i.conversion);
    }
  }
  for (const auto& entry : fs::directory_iterator(wanted.out)) bytes += entry.file_size();
  EXPECT_EQ(report.clicks, clicks);
  EXPECT_EQ(report.conversions, conversions);
  EXPECT_EQ(report.bytes, bytes);
  EXPECT_GT(largest_id, 3'000'000'000U) << "ids should need 32 unsigned bits";
  EXPECT_LT(largest_id, 3'400'000'000U);
}

INSTANTIATE_TEST_SUITE_P(Both, SynthProfiles, testing::Values(SynthProfile::small, SynthProfile::ali_ccp),
                         [](const auto& profile) { return profile.param == SynthProfile::small ? "Small" : "AliCcp"; });

// Up to 65,536 rows the biases are fitted on the whole train half, so only the labels are random there. The
// probabilities are written as floats (relative error 6e-8), hence 1e-6.
TEST_P(SynthProfiles, HaveTheirRatesAndLabelsThatFollowTheTruth) {
  const bool small = GetParam() == SynthProfile::small;
  const double click_rate = small ? 0.10 : 0.0389, conversions_per_click = small ? 0.10 : 0.0055;
  const Log log = train_log(options(40'000, GetParam()));
  double sum_pctr = 0, sum_pctcvr = 0;
  std::vector<Prediction> click, conversion, clicked_conversion;
  for (const SynthImpression& i : log.impressions) {
    sum_pctr += i.pctr;
    sum_pctcvr += i.pctr * i.pcvr;
    click.emplace_back(i.pctr, i.click);
    conversion.emplace_back(i.pcvr, i.conversion_if_clicked);
    if (i.click == 1) clicked_conversion.emplace_back(i.pcvr, i.conversion);
  }
  EXPECT_NEAR(sum_pctr / 40'000, click_rate, 1e-6 * click_rate);
  EXPECT_NEAR(sum_pctcvr / sum_pctr, conversions_per_click, 1e-6 * conversions_per_click);
  expect_calibrated_in_deciles(click, "clicks");
  expect_calibrated_in_deciles(conversion, "conversions if clicked");
  expect_calibrated(clicked_conversion, "conversions of clicks");
}

TEST_F(Synth, TestRatesAreThoseOfOtherUsersOfTheSameWorld) {
  const SynthOptions wanted = options(40'000);
  synthesise(wanted);
  std::vector<double> clicks;
  std::vector<std::uint64_t> users;
  for (const SynthImpression& i : read_log(wanted.out, "test").impressions) {
    clicks.push_back(i.click);
    users.push_back(std::hash<std::string>{}(i.key));
  }
  const Estimate rate = clustered_mean(clicks, users);
  // The users of both halves are draws from one population, so the train half's own rate varies as much: sqrt(2).
  EXPECT_NEAR(rate.mean, 0.10, 4.5 * std::sqrt(2.0) * rate.standard_error);
  EXPECT_LT(rate.standard_error, 0.01) << "the bound above would accept anything";
}

/// How far the mean pcvr of clicked impressions is from the mean of all, relative to the latter.
Estimate selection_effect(const Log& log) {
  double all = 0, squares = 0, clicked = 0, clicks = 0;
  for (const SynthImpression& i : log.impressions) {
    all += i.pcvr;
    squares += i.pcvr * i.pcvr;
    clicked += i.click * i.pcvr;
    clicks += i.click;
  }
  const auto count = static_cast<double>(log.impressions.size());
  const double mean = all / count;
  return {clicked / clicks / mean - 1, std::sqrt((squares / count - mean * mean) / clicks) / mean};
}

// With normal logits of standard deviations 1.0 and 1.1 and rare events, a click shifts the conversion logit by
// rho * 1.0 * 1.1: exp(0.55) - 1 = +73 % at rho = 0.5, -42 % at -0.5. Rates near 10 % dampen that; half of it is asked
// for. At 0 the logits are uncorrelated, and what remains (higher moments) must drown in the noise of the clicks.
TEST_F(Synth, SelectionBiasSetsHowFarClickedImpressionsDiffer) {
  const auto effect = [&](double selection_bias) {
    SynthOptions wanted = options(40'000);
    wanted.selection_bias = selection_bias;
    return selection_effect(train_log(wanted));
  };
  const Estimate none = effect(0.0), some = effect(0.5), strong = effect(0.9), opposite = effect(-0.5);
  EXPECT_LT(std::abs(none.mean), 4 * none.standard_error);
  EXPECT_LT(none.standard_error, 0.025) << "too few clicks to tell";
  EXPECT_GT(some.mean, 0.36);
  EXPECT_LT(opposite.mean, -0.21);
  EXPECT_GT(strong.mean, some.mean + 4 * strong.standard_error);
}

TEST_F(Synth, RatesThatAreAskedForReplaceTheProfiles) {
  SynthOptions wanted = options(20'000);
  wanted.click_rate = 0.02;
  wanted.conversion_rate = 0.3;
  double sum_pctr = 0, sum_pctcvr = 0;
  for (const SynthImpression& i : train_log(wanted).impressions) {
    sum_pctr += i.pctr;
    sum_pctcvr += i.pctr * i.pcvr;
  }
  EXPECT_NEAR(sum_pctr / 20'000, 0.02, 1e-6 * 0.02) << "fitted on the whole half; written as floats";
  EXPECT_NEAR(sum_pctcvr / sum_pctr, 0.3, 1e-6 * 0.3);
}

TEST_F(Synth, BayesAucsAreInTheProfilesRange) {
  const BayesAucs small = bayes_aucs(train_log(options(40'000)));
  EXPECT_GT(small.ctr, 0.70);
  EXPECT_LT(small.ctr, 0.80);
  EXPECT_GT(small.clicked_cvr, 0.75);
  EXPECT_LT(small.clicked_cvr, 0.80);
  const BayesAucs real = bayes_aucs(train_log(options(40'000, SynthProfile::ali_ccp)));
  EXPECT_GT(real.ctr, 0.65);
  EXPECT_LT(real.ctr, 0.70);
  EXPECT_GT(real.clicked_cvr, 0.70);
  EXPECT_LT(real.clicked_cvr, 0.75);
}

TEST_F(Synth, BytesDependOnTheSeedAndNotOnTheThreads) {
  const auto bytes = [&](int threads, std::uint64_t seed) {
    SynthOptions wanted = options(20'000);  // five chunks
    wanted.threads = threads;
    wanted.seed = seed;
    synthesise(wanted);
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(wanted.out)) {
      std::ifstream stream(entry.path(), std::ios::binary);
      files[entry.path().filename().string()] = {std::istreambuf_iterator<char>(stream), {}};
    }
    return files;
  };
  const auto one = bytes(1, 1);
  EXPECT_EQ(one.size(), 6U);
  EXPECT_TRUE(one == bytes(2, 1));
  EXPECT_TRUE(one == bytes(5, 1));
  const auto other = bytes(2, 2);
  for (const auto& [name, text] : one) EXPECT_TRUE(text != other.at(name)) << name;
}

struct FieldShape {
  std::string field;
  double ids, missing;  // mean ids per row, share of rows without any
};
const std::vector<FieldShape> ali_ccp_shape = {
    {"205", 1, 0},           {"206", 1, 0},           {"207", 1, 0},           {"210", 6.10, 0},
    {"216", 0.71, .289},     {"508", 0.70, .304},     {"509", 0.22, .779},     {"702", 0.22, .776},
    {"853", 1.40, .590},     {"301", 1, 0},           {"101", 0.998, .002},    {"109_14", 69.0, .009},
    {"110_14", 250.1, .009}, {"127_14", 153.7, .010}, {"150_14", 135.9, .002}, {"121", 0.87, .130},
    {"122", 0.87, .130},     {"124", 0.87, .130},     {"125", 0.87, .130},     {"126", 0.416, .584},
    {"127", 0.87, .130},     {"128", 0.87, .130},     {"129", 0.637, .363}};

// Common rows are independent of each other; on the sample side the impressions of one item vary together. 46
// comparisons at 4.5 standard errors, plus half of the last digit of the table.
TEST_F(Synth, AliCcpHasTheRealIdsPerFieldAndMissingRates) {
  const Log log = train_log(options(30'000, SynthProfile::ali_ccp, 3000));
  double all_ids = 0;
  for (const auto& [field, ids, missing] : ali_ccp_shape) {
    std::vector<double> number, absent;
    std::vector<std::uint64_t> cluster;
    const auto add = [&, &name = field](const Records& records, std::uint64_t group) {
      number.push_back(static_cast<double>(
          std::count_if(records.begin(), records.end(), [&](const Record& r) { return r.field == name; })));
      absent.push_back(number.back() == 0 ? 1 : 0);
      cluster.push_back(group);
    };
    if (std::find(kSampleFields.begin(), kSampleFields.end(), field) != kSampleFields.end()) {
      for (const SynthImpression& i : log.impressions) add(i.features, i.features.at(0).id);
    } else {
      for (std::size_t c = 0; c < log.common.size(); ++c) add(log.common[c].second, c);
    }
    const Estimate mean_ids = clustered_mean(number, cluster), mean_absent = clustered_mean(absent, cluster);
    EXPECT_NEAR(mean_ids.mean, ids, 4.5 * mean_ids.standard_error + 0.005) << field;
    EXPECT_NEAR(mean_absent.mean, missing, 4.5 * mean_absent.standard_error + 0.0005) << field;
    EXPECT_LE(mean_ids.standard_error, 0.03 * ids) << field << ": the bounds would accept anything";
    all_ids += mean_ids.mean;
  }
  EXPECT_NEAR(all_ids, 629, 0.05 * 629);
}

TEST_F(Synth, UsersHaveHeavyTailedNumbersOfImpressions) {
  const Log log = train_log(options(58'000));
  ASSERT_EQ(log.common.size(), 1000U) << "58 impressions per user by default";
  std::map<std::string, int> count;
  for (const SynthImpression& i : log.impressions) ++count[i.key];
  ASSERT_EQ(count.size(), 1000U) << "every user has an impression";
  std::vector<int> counts;
  for (const auto& [key, n] : count) counts.push_back(n);
  std::sort(counts.begin(), counts.end());
  // Log-normal with spread 1: median / mean = exp(-1/2) = 0.61, 99 % quantile / mean = exp(2.33 - 1/2) = 6.2. Of 1000
  // draws the mean and the median have standard errors of 4 %, the quantile one of 12 %: 4 of them, rounded up.
  EXPECT_NEAR(counts[500] / 58.0, 0.61, 0.15);
  EXPECT_NEAR(counts[990] / 58.0, 6.2, 3.2);
}

TEST_F(Synth, HalfOfTheTestUsersReturnWithPartlyRenewedBehaviour) {
  const SynthOptions wanted = options(2000, SynthProfile::small, 1000);
  synthesise(wanted);
  const auto by_user = [&](const std::string& half) {
    std::map<std::uint64_t, std::set<std::pair<std::string, std::uint64_t>>> users;
    for (const auto& [key, records] : read_log(wanted.out, half).common) {
      if (records.at(0).field != "101") continue;
      for (const Record& r : records) users[records[0].id].emplace(r.field, r.id);
    }
    return users;
  };
  const auto train = by_user("train"), test = by_user("test");
  int returning = 0, kept = 0, behaviour = 0;
  for (const auto& [user, features] : test) {
    const auto before = train.find(user);
    if (before == train.end()) continue;
    ++returning;
    for (const auto& feature : before->second) {
      const bool changing = feature.first.ends_with("_14");
      const bool still = features.contains(feature);
      EXPECT_TRUE(still || changing) << feature.first;
      kept += changing && still ? 1 : 0;
      behaviour += changing ? 1 : 0;
    }
  }
  EXPECT_NEAR(returning, 500, 8) << "half of 1000, less the 0.2 % without a user id";
  // 30 % of about 10,000 ids are drawn anew (standard error 0.5 %), of which some come back by chance: the likeliest id
  // of the smallest vocabulary, 40, has a share of 15 %.
  EXPECT_GT(kept, 0.68 * behaviour);
  EXPECT_LT(kept, (0.72 + 0.3 * 0.5) * behaviour);
}

template <class Action>
ExitCode failure(Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.code();
  }
  return ExitCode::ok;
}

TEST_F(Synth, RefusesADirectoryThatHoldsALogAndKeepsIt) {
  const SynthOptions wanted = options(100);
  fs::create_directories(wanted.out);
  std::ofstream(fs::path(wanted.out) / "sample_skeleton_test.csv.gz") << "precious";
  EXPECT_EQ(failure([&] { synthesise(wanted); }), ExitCode::usage);
  EXPECT_EQ(lines(fs::path(wanted.out) / "sample_skeleton_test.csv.gz").at(0), "precious");
  EXPECT_EQ(std::distance(fs::directory_iterator(wanted.out), {}), 1) << "nothing else may be left";
}

TEST_F(Synth, RefusesWhatMakesNoWorldOrCannotBeWritten) {
  const auto code = [&](auto change) {
    SynthOptions wanted = options(100);
    change(wanted);
    return failure([&] { synthesise(wanted); });
  };
  EXPECT_EQ(code([](SynthOptions& o) { o.rows = 0; }), ExitCode::usage);
  EXPECT_EQ(code([](SynthOptions& o) { o.users = 101; }), ExitCode::usage);
  EXPECT_EQ(code([](SynthOptions& o) { o.out.clear(); }), ExitCode::usage);
  EXPECT_EQ(code([](SynthOptions& o) { o.selection_bias = 1.5; }), ExitCode::usage);
  EXPECT_EQ(code([](SynthOptions& o) { o.selection_bias = std::nan(""); }), ExitCode::usage);
  EXPECT_EQ(code([](SynthOptions& o) { o.click_rate = 0; }), ExitCode::usage);
  EXPECT_EQ(code([](SynthOptions& o) { o.click_rate = std::nan(""); }), ExitCode::usage);
  EXPECT_EQ(code([](SynthOptions& o) { o.conversion_rate = 1; }), ExitCode::usage);
  std::ofstream(root_ / "file") << "in the way";
  EXPECT_EQ(code([&](SynthOptions& o) { o.out = (root_ / "file" / "log").string(); }), ExitCode::io);
}

TEST_F(Synth, MakesEvenTheSmallestLog) {
  const Log log = train_log(options(1));
  EXPECT_EQ(log.impressions.size(), 1U);
  EXPECT_EQ(log.common.size(), 1U);
}

}  // namespace
}  // namespace esmm
