#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/random.hpp"
#include "io/synth.hpp"
#include "io/synth_profile.hpp"

/// The hidden world behind `synth`: who exists, what is shown to whom, and how likely it is clicked and bought.
/// docs/synth.md has the equations. Everything is a pure function of the seed and of positions, safe from any thread.
namespace esmm::synth {

inline constexpr int halves = 2;  // 0 train, 1 test

/// One id of a row. `index` is its rank by frequency within the field.
struct Feature {
  std::uint32_t index;
  std::uint16_t field;
  std::uint16_t count;  // 0: the value is 1
};
inline constexpr int max_count = 1000;

/// The number that stands for a feature in the log: distinct between fields, up to 3.4e9, in no order of frequency.
[[nodiscard]] constexpr std::uint32_t feature_number(Feature feature) {
  constexpr std::uint32_t mask = (1U << 27) - 1;
  return ((feature.field + 2U) << 27) | ((feature.index * 61'803'399U) & mask);
}
/// The value as written, with five decimals.
[[nodiscard]] double count_value(int count);

/// Index 0: the click propensity. Index 1: what else drives conversions.
inline constexpr int propensities = 2;
inline constexpr int latent_dims = 4;  // per propensity

/// What the features of one side of an impression contribute to its propensities.
struct Contribution {
  std::array<double, propensities> main{};
  std::array<std::array<double, latent_dims>, propensities> latent{};
};

struct Row {
  std::vector<Feature> features;  // fields in order, ids of a field distinct
  Contribution contribution;
};

/// The Bayes-optimal prediction of one impression.
struct Truth {
  double pctr, pcvr;
};

class World {
 public:
  explicit World(const SynthOptions& options);  // users and rows resolved
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] std::uint64_t users() const { return users_; }
  /// Impressions [first_row(half, user), first_row(half, user + 1)) of the half are the user's.
  [[nodiscard]] std::uint64_t first_row(int half, std::uint64_t user) const {
    return first_row_[static_cast<std::size_t>(half)][user];
  }

  /// Every second user of the test half was in the train half too, with some of the behaviour renewed.
  void common_row(int half, std::uint64_t user, Row& out) const;
  /// The sample side of an impression; it depends on its user through the combination fields only.
  void sample_row(int half, std::uint64_t user, std::uint64_t row, Row& out) const;
  [[nodiscard]] Truth truth(const Contribution& common, const Contribution& sample) const;

  /// 32 hexadecimal digits, different for every user and half.
  [[nodiscard]] std::string common_key(int half, std::uint64_t user) const;
  /// The randomness of an impression's labels.
  [[nodiscard]] Random labels(int half, std::uint64_t row) const;

 private:
  struct Field;
  using Scores = std::array<double, propensities>;

  [[nodiscard]] std::uint64_t person(int half, std::uint64_t user) const;
  void allot_rows(std::uint64_t rows);
  void draw_bag(int half, std::uint64_t who, int field, double activity, std::vector<Feature>& out) const;
  void draw_attribute(std::uint64_t shown, int field, std::vector<Feature>& out) const;
  void draw_combination(std::uint64_t segment, int field, std::span<const Feature> attribute, Random& random,
                        std::vector<Feature>& out) const;
  [[nodiscard]] Contribution contribution(std::span<const Feature> features) const;
  [[nodiscard]] Scores scores(const Contribution& common, const Contribution& sample) const;
  /// Logits of click and conversion.
  [[nodiscard]] Scores logits(const Scores& score) const;
  [[nodiscard]] std::vector<Scores> sample_scores() const;
  void calibrate(std::vector<Scores> sample);

  Profile profile_;  // with the rates that were asked for
  std::uint64_t seed_, users_;
  double selection_bias_;
  std::vector<Field> fields_;
  std::vector<double> values_;  // [max_count + 1] value by count
  std::array<std::vector<std::uint64_t>, halves> first_row_;

  // Set by calibrate().
  Scores mean_{}, scale_{1, 1};
  double shared_ = 0;  // regression of propensity 1 on propensity 0
  double click_bias_ = 0, conversion_bias_ = 0;
};

}  // namespace esmm::synth
