#include "engine/interrupt.hpp"

#include <csignal>
#include <cstdlib>

namespace esmm {

namespace {
volatile std::sig_atomic_t flag = 0;  // the one global that a signal handler may touch

extern "C" void on_signal(int) {
  if (flag != 0) std::_Exit(130);
  flag = 1;
}
}  // namespace

void install_interrupt_handlers() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}
bool interrupted() noexcept {
  return flag != 0;
}
void set_interrupted(bool value) noexcept {
  flag = value ? 1 : 0;
}

}  // namespace esmm
