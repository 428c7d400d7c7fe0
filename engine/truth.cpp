#include "engine/truth.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string_view>

#include "kernels/error.hpp"

namespace esmm {

namespace {

constexpr std::string_view kHeader = "sample_id,pctr,pcvr,conversion_if_clicked";

/// Takes the text up to the next comma off the front of `line`.
std::string_view next_cell(std::string_view& line) {
  const std::size_t comma = line.find(',');
  const std::string_view cell = line.substr(0, comma);
  line.remove_prefix(comma == std::string_view::npos ? line.size() : comma + 1);
  return cell;
}

bool parse_probability(std::string_view cell, float& out) {
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), out);
  return error == std::errc{} && end == cell.data() + cell.size() && out >= 0.0F && out <= 1.0F;
}

}  // namespace

Truth load_truth(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw io_error("{}: cannot be read: {}.", path, std::strerror(errno));
  std::string line;
  if (!std::getline(in, line) || line != kHeader) {
    throw data_error("{}:1: is not a truth file: its header must be \"{}\".", path, kHeader);
  }
  Truth truth;
  for (std::uint64_t number = 2; std::getline(in, line); ++number) {
    std::string_view rest = line;
    std::string id(next_cell(rest));
    TruthRow row;
    const bool good = parse_probability(next_cell(rest), row.pctr) && parse_probability(next_cell(rest), row.pcvr);
    const std::string_view label = rest;
    if (!good || (label != "0" && label != "1")) {
      throw data_error("{}:{}: needs two probabilities and a 0 or 1 after the sample id: \"{}\".", path, number, line);
    }
    row.conversion_if_clicked = label == "1";
    truth.emplace(std::move(id), row);
  }
  return truth;
}

}  // namespace esmm
