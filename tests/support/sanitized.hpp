#pragma once

namespace esmm::test {

/// Whether this is a build with sanitizers, ten times as slow: tests of many like cases then try fewer of them. The
/// release build tries all.
#if defined(ESMM_SANITIZED)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace esmm::test
