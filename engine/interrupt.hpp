#pragma once

namespace esmm {

/// Installs handlers for SIGINT and SIGTERM that only set a flag; a second signal ends the program at once.
void install_interrupt_handlers();
/// Whether one of them has arrived.
[[nodiscard]] bool interrupted() noexcept;
/// For tests: as if the signal had come (or had not).
void set_interrupted(bool value) noexcept;

}  // namespace esmm
