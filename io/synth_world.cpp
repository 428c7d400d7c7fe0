#include "io/synth_world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace esmm::synth {
namespace {

constexpr double full_rows = 42.3e6;       // of the real train half
constexpr double small_vocabulary = 2000;  // up to here a vocabulary does not grow with the rows
constexpr std::uint64_t segments = 8;      // hidden kinds of user, seen only through the combination fields
constexpr double renewed_share = 0.3;      // of a returning user's behaviour
constexpr double row_spread = 1.0;         // of the log of a user's share of the impressions
constexpr double count_tail = 1.2;         // P(count >= n) = n^-1.2
constexpr std::size_t calibration_rows = 1 << 16;

// First key of everything drawn, so that no two uses share numbers.
enum class Stream : std::uint64_t {
  key,
  rows,
  segment,
  activity,
  demographics,
  bag,
  attribute,
  effect,
  sample,
  labels
};

double uniform(std::uint64_t hash) {
  return Random(hash).uniform();
}
double sigmoid(double logit) {
  return 1.0 / (1.0 + std::exp(-logit));
}

double normal(std::uint64_t hash) {  // Box-Muller
  Random random(hash);
  const double radius = std::sqrt(-2.0 * std::log(1.0 - random.uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * random.uniform());
}

// A whole number with mean `mean`.
std::uint32_t round_randomly(double mean, Random& random) {
  return static_cast<std::uint32_t>(mean + random.uniform());
}

double at_least(int count) {
  return count > max_count ? 0 : std::pow(count, -count_tail);
}

std::uint16_t draw_count(double counted, Random& random) {
  if (!random.bernoulli(counted)) return 0;
  return static_cast<std::uint16_t>(std::min<double>(max_count, std::pow(1.0 - random.uniform(), -1.0 / count_tail)));
}

// Bags are short enough (hundreds of ids) for a plain search.
void append_distinct(std::vector<Feature>& features, std::size_t first, Feature feature) {
  const auto same = [&](const Feature& other) { return other.index == feature.index; };
  if (std::none_of(features.begin() + static_cast<std::ptrdiff_t>(first), features.end(), same)) {
    features.push_back(feature);
  }
}

// The argument at which an increasing function of a bias reaches `target`.
template <class Rate>
double solve(Rate rate, double target) {
  double low = -50, high = 50;
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (rate(middle) < target ? low : high) = middle;
  }
  return (low + high) / 2;
}

Profile profile_with_rates(const SynthOptions& options) {
  Profile result = profile(options.profile);
  result.click_rate = options.click_rate.value_or(result.click_rate);
  result.conversions_per_click = options.conversion_rate.value_or(result.conversions_per_click);
  return result;
}

}  // namespace

double count_value(int count) {
  return count == 0 ? 1.0 : std::round(std::log1p(count) * 1e5) / 1e5;
}

/// One field's law of frequency and its stream of hidden effects.
struct World::Field {
  FieldSpec spec;
  std::uint32_t vocabulary;
  std::uint64_t effects;  // key
  double reach, power;    // of the inverse distribution function
  double main_scale, latent_scale;

  Field(const FieldSpec& spec_, double vocabulary_, std::uint64_t effects_, double mean_square)
      : spec(spec_),
        vocabulary(static_cast<std::uint32_t>(vocabulary_)),
        effects(effects_),
        reach(std::pow(vocabulary_ + 1, 1 - spec_.zipf) - 1),
        power(1 / (1 - spec_.zipf)),
        main_scale(std::sqrt(spec_.weight / (spec_.mean_ids * mean_square))),
        latent_scale(std::sqrt(spec_.latent_weight / (spec_.mean_ids * mean_square))) {}

  /// Inverse distribution function of the density rank^-zipf on [1, vocabulary + 1), cut to whole ranks.
  [[nodiscard]] std::uint32_t draw(Random& random) const {
    const double rank = std::pow(1 + random.uniform() * reach, power);
    return std::min(static_cast<std::uint32_t>(rank) - 1, vocabulary - 1);
  }

  /// Adds value · effect of the id: uniform components, scaled so that a bag of mean length has the field's weight as
  /// variance.
  void add_effect(std::uint32_t index, double value, Contribution& sum) const {
    const auto component = [value](std::uint64_t bits, double full) {  // of variance value²
      return value * (static_cast<double>(bits) / full - 0.5) * (2.0 * std::numbers::sqrt3);
    };
    const std::uint64_t main = hash_keys(effects, index);
    sum.main[0] += main_scale * component(main & 0xFFFFFFFF, 0x1p32);
    sum.main[1] += main_scale * component(main >> 32, 0x1p32);
    if (spec.latent_weight == 0) return;
    for (std::size_t p = 0; p < propensities; ++p) {
      const std::uint64_t latent = hash_keys(effects, index, p);
      for (std::size_t k = 0; k < latent_dims; ++k) {
        sum.latent[p][k] += latent_scale * component((latent >> (16 * k)) & 0xFFFF, 0x1p16);
      }
    }
  }
};

World::World(const SynthOptions& options)
    : profile_(profile_with_rates(options)),
      seed_(options.seed),
      users_(options.users),
      selection_bias_(options.selection_bias) {
  double counted_square = 0;  // mean of the squared value of a counted id
  for (int count = 0; count <= max_count; ++count) {
    values_.push_back(count_value(count));
    const double share = count == 0 ? 0 : at_least(count) - at_least(count + 1);
    counted_square += share * values_.back() * values_.back();
  }
  const double growth = std::pow(static_cast<double>(options.rows) / full_rows, profile_.vocabulary_growth);
  for (std::size_t f = 0; f < field_count; ++f) {
    const FieldSpec& spec = profile_.fields[f];
    double vocabulary = spec.vocabulary;
    if (vocabulary > small_vocabulary) vocabulary = std::max(small_vocabulary, vocabulary * std::min(1.0, growth));
    const double mean_square = 1 - spec.counted + spec.counted * counted_square;
    fields_.emplace_back(spec, std::floor(vocabulary), hash_keys(seed_, Stream::effect, f), mean_square);
  }
  allot_rows(options.rows);
  calibrate(sample_scores());
}

World::~World() = default;

std::uint64_t World::person(int half, std::uint64_t user) const {
  const bool newcomer = half == 1 && user % 2 == 1;
  return newcomer ? users_ + user : user;
}

// One impression for every user; the others in proportion to log-normal weights, by rounding their running sum.
void World::allot_rows(std::uint64_t rows) {
  for (int half = 0; half < halves; ++half) {
    std::vector<double> running(users_ + 1, 0.0);
    for (std::uint64_t u = 0; u < users_; ++u) {
      running[u + 1] = running[u] + std::exp(row_spread * normal(hash_keys(seed_, Stream::rows, person(half, u))));
    }
    std::vector<std::uint64_t>& first = first_row_[static_cast<std::size_t>(half)];
    for (std::uint64_t u = 0; u <= users_; ++u) {
      const double share = running[u] / running[users_];
      first.push_back(u + static_cast<std::uint64_t>(share * static_cast<double>(rows - users_)));
    }
  }
}

void World::common_row(int half, std::uint64_t user_row, Row& out) const {
  out.features.clear();
  const std::uint64_t who = person(half, user_row);
  Random random(hash_keys(seed_, Stream::demographics, who));
  if (!random.bernoulli(fields_[user].spec.missing)) {
    out.features.push_back({static_cast<std::uint32_t>(who), user, 0});
  }
  const double spread = profile_.activity_spread;
  const double activity = std::exp(spread * normal(hash_keys(seed_, Stream::activity, who)) - spread * spread / 2);
  for (int f = first_bag; f < first_demographic; ++f) draw_bag(half, who, f, activity, out.features);

  const double known = random.uniform();  // one draw: the demographic fields that are missing equally often are
                                          // missing together
  for (int f = first_demographic; f < field_count; ++f) {
    const Field& field = fields_[static_cast<std::size_t>(f)];
    const std::uint32_t index = field.draw(random);
    if (known >= field.spec.missing) out.features.push_back({index, static_cast<std::uint16_t>(f), 0});
  }
  out.contribution = contribution(out.features);
}

void World::draw_bag(int half, std::uint64_t who, int f, double activity, std::vector<Feature>& out) const {
  const Field& field = fields_[static_cast<std::size_t>(f)];
  const std::uint64_t key = hash_keys(seed_, Stream::bag, who, f);
  Random random(key);
  if (random.bernoulli(field.spec.missing)) return;
  const double spread = profile_.bag_spread;
  const double mean = field.spec.mean_ids * activity * std::exp(spread * normal(random.next()) - spread * spread / 2);
  const std::uint32_t length = std::clamp(round_randomly(mean, random), 1U, std::max(1U, field.vocabulary / 4));
  const std::size_t first = out.size();
  for (std::uint64_t slot = 0; out.size() < first + length; ++slot) {
    const std::uint64_t place = hash_keys(key, slot);
    const bool renewed = half == 1 && uniform(place) < renewed_share;
    Random draw(hash_keys(place, renewed));
    const std::uint32_t index = field.draw(draw);
    append_distinct(out, first, {index, static_cast<std::uint16_t>(f), draw_count(field.spec.counted, draw)});
  }
}

void World::sample_row(int half, std::uint64_t user_row, std::uint64_t row, Row& out) const {
  out.features.clear();
  Random random(hash_keys(seed_, Stream::sample, half, row));
  const std::uint32_t shown = fields_[item].draw(random);
  out.features.push_back({shown, item, 0});
  std::array<std::size_t, first_combination + 1> begin{};  // of each item field's features
  for (int f = category; f < first_combination; ++f) {
    begin[static_cast<std::size_t>(f)] = out.features.size();
    draw_attribute(shown, f, out.features);
  }
  begin[first_combination] = out.features.size();

  const std::uint64_t segment = hash_keys(seed_, Stream::segment, person(half, user_row)) % segments;
  for (std::size_t c = 0; c < combined_with.size(); ++c) {
    const auto with = static_cast<std::size_t>(combined_with[c]);
    const std::vector<Feature> attribute(out.features.begin() + static_cast<std::ptrdiff_t>(begin[with]),
                                         out.features.begin() + static_cast<std::ptrdiff_t>(begin[with + 1]));
    draw_combination(segment, first_combination + static_cast<int>(c), attribute, random, out.features);
  }
  out.features.push_back({fields_[context].draw(random), context, 0});
  out.contribution = contribution(out.features);
}

// An item's category, shop, brand and nodes never change.
void World::draw_attribute(std::uint64_t shown, int f, std::vector<Feature>& out) const {
  const Field& field = fields_[static_cast<std::size_t>(f)];
  Random random(hash_keys(seed_, Stream::attribute, shown, f));
  if (random.bernoulli(field.spec.missing)) return;
  const double others = 2 * (field.spec.mean_ids - 1) * random.uniform();  // uniform, with the wanted mean
  const std::uint32_t length = 1 + round_randomly(others, random);
  const std::size_t first = out.size();
  while (out.size() < first + length) {
    const std::uint32_t index = field.draw(random);
    append_distinct(out, first, {index, static_cast<std::uint16_t>(f), draw_count(field.spec.counted, random)});
  }
}

// Of an item attribute that the combination covers, the first id is always in, the others with equal probability.
void World::draw_combination(std::uint64_t segment, int f, std::span<const Feature> attribute, Random& random,
                             std::vector<Feature>& out) const {
  const Field& field = fields_[static_cast<std::size_t>(f)];
  const FieldSpec& with = fields_[attribute.empty() ? 0 : attribute.front().field].spec;
  if (attribute.empty() || !random.bernoulli((1 - field.spec.missing) / (1 - with.missing))) return;
  const double further = with.mean_ids > 1 ? (field.spec.mean_ids - 1) / (with.mean_ids - 1) : 0;
  const std::size_t first = out.size();
  for (const Feature& feature : attribute) {
    if (out.size() > first && !random.bernoulli(further)) continue;
    const auto index = static_cast<std::uint32_t>((feature.index * segments + segment) % field.vocabulary);
    append_distinct(out, first, {index, static_cast<std::uint16_t>(f), draw_count(field.spec.counted, random)});
  }
}

Contribution World::contribution(std::span<const Feature> features) const {
  Contribution sum;
  for (const Feature& feature : features) {
    fields_[feature.field].add_effect(feature.index, values_[feature.count], sum);
  }
  return sum;
}

World::Scores World::scores(const Contribution& common, const Contribution& sample) const {
  Scores out;
  for (std::size_t p = 0; p < propensities; ++p) {
    double product = 0;
    for (std::size_t k = 0; k < latent_dims; ++k) product += common.latent[p][k] * sample.latent[p][k];
    out[p] = common.main[p] + sample.main[p] + std::sqrt(profile_.interaction_weight / latent_dims) * product;
  }
  return out;
}

// Of impressions spread evenly over the train half.
std::vector<World::Scores> World::sample_scores() const {
  const std::uint64_t rows = first_row_[0].back();
  const std::uint64_t count = std::min<std::uint64_t>(rows, calibration_rows);
  std::vector<Scores> sample;
  Row common, impression;
  std::uint64_t user_row = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t row = i * rows / count;
    const bool next_user = row >= first_row(0, user_row + 1);
    while (row >= first_row(0, user_row + 1)) ++user_row;
    if (i == 0 || next_user) common_row(0, user_row, common);
    sample_row(0, user_row, row, impression);
    sample.push_back(scores(common.contribution, impression.contribution));
  }
  return sample;
}

// Standardises the two propensities, removes the second's chance correlation with the first, and sets the two biases.
void World::calibrate(std::vector<Scores> sample) {
  const auto count = static_cast<double>(sample.size());
  Scores sum{}, squares{};
  double products = 0;
  for (const Scores& s : sample) {
    for (std::size_t p = 0; p < propensities; ++p) sum[p] += s[p];
  }
  for (std::size_t p = 0; p < propensities; ++p) mean_[p] = sum[p] / count;
  for (const Scores& s : sample) {
    for (std::size_t p = 0; p < propensities; ++p) squares[p] += (s[p] - mean_[p]) * (s[p] - mean_[p]);
    products += (s[0] - mean_[0]) * (s[1] - mean_[1]);
  }
  shared_ = products / std::max(squares[0], 1e-300);
  scale_[0] = std::sqrt(squares[0] / count);
  scale_[1] = std::sqrt(std::max(0.0, squares[1] - shared_ * products) / count);
  for (double& scale : scale_) scale = scale > 0 ? scale : 1;  // a sample of one impression

  click_bias_ = conversion_bias_ = 0;
  for (Scores& s : sample) s = logits(s);
  click_bias_ = solve(
      [&](double bias) {
        double clicks = 0;
        for (const Scores& s : sample) clicks += sigmoid(bias + s[0]);
        return clicks / count;
      },
      profile_.click_rate);
  conversion_bias_ = solve(
      [&](double bias) {
        double clicks = 0, conversions = 0;
        for (const Scores& s : sample) {
          const double pctr = sigmoid(click_bias_ + s[0]);
          clicks += pctr;
          conversions += pctr * sigmoid(bias + s[1]);
        }
        return conversions / clicks;
      },
      profile_.conversions_per_click);
}

World::Scores World::logits(const Scores& score) const {
  const double first = score[0] - mean_[0];
  const double click = first / scale_[0];
  const double own = (score[1] - mean_[1] - shared_ * first) / scale_[1];
  const double rho = selection_bias_;
  const double conversion = rho * click + std::sqrt(1 - rho * rho) * own;
  return {click_bias_ + profile_.click_spread * click, conversion_bias_ + profile_.conversion_spread * conversion};
}

Truth World::truth(const Contribution& common, const Contribution& sample) const {
  const Scores logit = logits(scores(common, sample));
  return {sigmoid(logit[0]), sigmoid(logit[1])};
}

std::string World::common_key(int half, std::uint64_t user_row) const {
  const std::uint64_t high = hash_keys(seed_, Stream::key, half, user_row);
  return fmt::format("{:016x}{:016x}", high, splitmix(high));
}

Random World::labels(int half, std::uint64_t row) const {
  return Random(hash_keys(seed_, Stream::labels, half, row));
}

}  // namespace esmm::synth
