// Ranges as a profiler sees them: this program brings the tool that NVTX looks for when the first range opens.
#include "kernels/nvtx.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#if defined(ESMM_NVTX)
#include <nvtx3/nvToolsExt.h>
#endif

namespace esmm {
namespace {

TEST(NvtxRange, NestsOnEveryThread) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 1000; ++i) {
        const NvtxRange outer("outer");
        const NvtxRange inner("inner");
      }
    });
  }
}

#if defined(ESMM_NVTX)

std::string domain_name;                       // of the last domain made; the domain is represented by its address
thread_local std::vector<std::string> events;  // of this thread
thread_local bool recording = false;

nvtxDomainHandle_t create_domain(const char* name) {
  domain_name = name;
  return reinterpret_cast<nvtxDomainHandle_t>(&domain_name);
}

int push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
  if (!recording || domain != reinterpret_cast<nvtxDomainHandle_t>(&domain_name)) return 0;
  events.push_back(event->messageType == NVTX_MESSAGE_TYPE_ASCII ? event->message.ascii : "not text");
  return 0;
}

int pop(nvtxDomainHandle_t domain) {
  if (recording && domain == reinterpret_cast<nvtxDomainHandle_t>(&domain_name)) events.push_back("end");
  return 0;
}

int attach(NvtxGetExportTableFunc_t get_table) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (callbacks == nullptr || callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) == 0) return 0;
  *table[NVTX_CBID_CORE2_DomainCreateA] = reinterpret_cast<NvtxFunctionPointer>(&create_domain);
  *table[NVTX_CBID_CORE2_DomainRangePushEx] = reinterpret_cast<NvtxFunctionPointer>(&push);
  *table[NVTX_CBID_CORE2_DomainRangePop] = reinterpret_cast<NvtxFunctionPointer>(&pop);
  return 1;
}

/// NVTX calls this weak pointer when the first range opens, which is after the initialisation of statics.
const bool announced = (InitializeInjectionNvtx2_fnptr = &attach, true);

TEST(NvtxRange, ReachesTheProfilerWithItsNameInTheDomainOfTheProject) {
  ASSERT_TRUE(announced);
  recording = true;
  {
    const NvtxRange outer("outer");
    const NvtxRange inner("inner");
  }
  recording = false;
  EXPECT_EQ(domain_name, "esmm");
  EXPECT_EQ(events, (std::vector<std::string>{"outer", "inner", "end", "end"}));
}

#endif

}  // namespace
}  // namespace esmm
