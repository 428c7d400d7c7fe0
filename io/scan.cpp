#include "io/scan.hpp"

#include <charconv>
#include <cmath>
#include <system_error>

namespace esmm {

Scan scan_float(std::string_view text, float& value) {
  const char* const end = text.data() + text.size();
  float parsed = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, parsed);
  if (stop != end || error == std::errc::invalid_argument) return Scan::not_a_number;
  if (error == std::errc::result_out_of_range) {
    double wider = 0;
    if (std::from_chars(text.data(), end, wider).ec != std::errc{} || std::abs(wider) > 1) return Scan::out_of_range;
    parsed = 0;
  }
  if (text.find_first_of("nN") != std::string_view::npos) return Scan::not_a_number;  // inf, nan
  value = parsed;
  return Scan::ok;
}

Scan scan_id(std::string_view text, std::uint64_t& id) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, id);
  if (stop != end || error == std::errc::invalid_argument) return Scan::not_a_number;
  return error == std::errc{} && id < 1ULL << 63U ? Scan::ok : Scan::out_of_range;
}

}  // namespace esmm
