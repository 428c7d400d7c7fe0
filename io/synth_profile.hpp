#pragma once
#include <array>
#include <span>
#include <string_view>

#include "io/synth.hpp"

/// The constants of `synth`'s worlds: how often ids occur and how much they matter.
namespace esmm::synth {

/// Places of the fields in a profile: the order of ali_ccp_schema().
enum : int {
  item,
  category,
  shop,
  nodes,
  brand,
  first_combination,  // with category, shop, brand, nodes
  context = first_combination + 4,
  user,
  first_bag,
  first_demographic = first_bag + 4,
  field_count = first_demographic + 8
};
inline constexpr std::array<int, 4> combined_with = {category, shop, brand, nodes};

/// How one field is drawn, and how much it matters.
struct FieldSpec {
  std::string_view name;
  double vocabulary;     // ids that exist
  double zipf;           // frequency of the id of rank r falls as r^-zipf; not 1
  double mean_ids;       // of a row that has the field
  double missing;        // share of rows without the field
  double counted;        // share of ids whose value is ln(1 + count); the others have value 1
  double weight;         // share of the propensities' variance
  double latent_weight;  // share of its side's latent factor
};

/// One profile's constants.
struct Profile {
  std::span<const FieldSpec> fields;  // sample fields first, as ali_ccp_schema()
  double interaction_weight;          // share of the propensities' variance: user factor · item factor
  double click_rate, conversions_per_click;
  double click_spread, conversion_spread;  // standard deviations of the two logits
  double activity_spread, bag_spread;      // of the log of a bag's length: shared by a user's bags, and of each bag
  double vocabulary_growth;                // large vocabularies grow as rows^growth up to their full size; 0: fixed
};
[[nodiscard]] const Profile& profile(SynthProfile which);

}  // namespace esmm::synth
