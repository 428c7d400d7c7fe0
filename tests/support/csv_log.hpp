#pragma once
#include <string>

namespace esmm::test {

/// A CSV log with columns click, purchase, user, item, price, click_copy, price_paid: clicks depend weakly on
/// the item; click_copy is 7 where there is a click and 8 elsewhere; price_paid is 0.5 except for conversions.
/// `leaky` false leaves the last two columns out.
[[nodiscard]] std::string csv_log(int rows, bool leaky = false);

}  // namespace esmm::test
