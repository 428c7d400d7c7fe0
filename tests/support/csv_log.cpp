#include "tests/support/csv_log.hpp"

#include <fmt/format.h>

#include <random>

namespace esmm::test {

std::string csv_log(int rows, bool leaky) {
  std::mt19937 random(7);
  const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  std::string text = "click,purchase,user,item,price";
  text += leaky ? ",click_copy,price_paid\n" : "\n";
  for (int r = 0; r < rows; ++r) {
    const unsigned item = below(20);
    const bool click = below(100) < 20 + item;
    const bool purchase = click && below(100) < 30;
    text += fmt::format("{},{},{},{},{}.5", click ? 1 : 0, purchase ? 1 : 0, below(50), item, below(90));
    text += leaky ? fmt::format(",{},{}.5\n", click ? 7 : 8, purchase ? 10 + below(90) : 0) : "\n";
  }
  return text;
}

}  // namespace esmm::test
