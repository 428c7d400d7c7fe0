#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "kernels/copy.hpp"
#include "kernels/cuda/make_backend.hpp"
#include "tests/simt/simt.hpp"
#include "tests/support/on_backend.hpp"

// Machines with more than one GPU: a run uses the one that it was given and no other.
namespace esmm::test {
namespace {

/// On a new thread, which like every new thread has device 0.
template <class Work>
void with_devices(int count, const Work& work) {
  ::simt::set_devices(count);
  std::thread(work).join();
  ::simt::set_devices(1);
}

TEST(CudaDevices, AreCountedWithoutUsingAny) {
  with_devices(3, [] {
    EXPECT_EQ(simt::device_count(), 3);
    EXPECT_EQ(::simt::used_devices(), std::set<int>{});
  });
}

TEST(CudaDevices, ABackendAndItsMemoryUseOneWhateverThreadAllocates) {
  with_devices(3, [] {
    const auto backend = simt::make_backend({.device = 1});
    std::pmr::memory_resource& memory = backend->host_memory();
    void* bytes = nullptr;
    std::thread([&] { bytes = memory.allocate(100); }).join();
    EXPECT_NE(bytes, nullptr);
    std::thread([&] { memory.deallocate(bytes, 100); }).join();
    EXPECT_GT(simt::free_memory(1), 0);
    const Buffer<float> from = upload(*backend, std::vector<float>{1.0F, 2.0F, 3.0F}), to(backend->memory(), 3);
    copy_matrix(*backend, {from.data(), 1, 3}, {to.data(), 1, 3});
    EXPECT_EQ(download(to), (std::vector<float>{1.0F, 2.0F, 3.0F}));
    EXPECT_EQ(::simt::used_devices(), std::set<int>{1});
  });
}

}  // namespace
}  // namespace esmm::test
