#include "kernels/nvtx.hpp"

#if defined(ESMM_NVTX)
#include <nvtx3/nvToolsExt.h>
#endif

namespace esmm {

#if defined(ESMM_NVTX)

namespace {

// Made by the first range of the process, whatever its thread: NVTX looks for a profiler then, and only then.
nvtxDomainHandle_t domain() noexcept {
  static const nvtxDomainHandle_t handle = nvtxDomainCreateA("esmm");
  return handle;
}

}  // namespace

NvtxRange::NvtxRange(const char* name) noexcept {
  nvtxEventAttributes_t event{};
  event.version = NVTX_VERSION;
  event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  event.messageType = NVTX_MESSAGE_TYPE_ASCII;
  event.message.ascii = name;
  nvtxDomainRangePushEx(domain(), &event);
}

NvtxRange::~NvtxRange() {
  nvtxDomainRangePop(domain());
}

#else

NvtxRange::NvtxRange(const char* /*name*/) noexcept {}
NvtxRange::~NvtxRange() = default;

#endif

}  // namespace esmm
