#include "tests/reference/loss.hpp"

#include <cmath>

namespace esmm::reference {

LossRow two_task_loss(double a, double b, bool click, bool conversion) {
  // Probabilities and their complements, each computed without subtracting from 1.
  const long double ea = std::exp(-static_cast<long double>(a)), eb = std::exp(-static_cast<long double>(b));
  const long double pctr = 1 / (1 + ea), not_ctr = ea / (1 + ea);
  const long double pcvr = 1 / (1 + eb), not_cvr = eb / (1 + eb);
  const long double p = pctr * pcvr, not_p = (ea + eb + ea * eb) / ((1 + ea) * (1 + eb));

  LossRow row{};
  row.ctr = static_cast<double>(click ? std::log1p(ea) : static_cast<long double>(a) + std::log1p(ea));
  row.ctr_da = static_cast<double>(click ? -not_ctr : pctr);
  if (click && conversion) {
    row.ctcvr = static_cast<double>(std::log1p(ea) + std::log1p(eb));
    row.ctcvr_da = static_cast<double>(-not_ctr);
    row.ctcvr_db = static_cast<double>(-not_cvr);
  } else {
    row.ctcvr = static_cast<double>(p < 0.5L ? -std::log1p(-p) : -std::log(not_p));
    row.ctcvr_da = static_cast<double>(p * not_ctr / not_p);
    row.ctcvr_db = static_cast<double>(p * not_cvr / not_p);
  }
  return row;
}

}  // namespace esmm::reference
