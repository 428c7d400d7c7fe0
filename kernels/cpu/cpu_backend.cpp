#include "kernels/cpu/cpu_backend.hpp"

#include <cstring>
#include <new>

#include "kernels/error.hpp"

namespace esmm::cpu {

namespace {
constexpr std::align_val_t kAlignment{64};  // a cache line, and one AVX-512 register
}

void* CpuMemory::allocate(std::size_t bytes) {
  void* pointer = ::operator new(bytes == 0 ? 1 : bytes, kAlignment, std::nothrow);
  if (pointer == nullptr) {
    throw device_error("out of memory: {} MB more could not be had. Lower --batch-size or --dim, or raise --min-count.",
                       bytes >> 20);
  }
  return pointer;
}
void CpuMemory::release(void* pointer) noexcept {
  ::operator delete(pointer, kAlignment);
}
void CpuMemory::copy_from_host(void* to, const void* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}
void CpuMemory::copy_to_host(void* to, const void* from, std::size_t bytes) const {
  std::memcpy(to, from, bytes);
}
void CpuMemory::zero(void* to, std::size_t bytes) {
  std::memset(to, 0, bytes);
}

CpuBackend::CpuBackend(int threads) : pool_(threads) {}
CpuBackend::~CpuBackend() = default;

void CpuBackend::copy_matrix(MatrixView<const float> from, MatrixView<float> to) {
    for (std::int64_t r = 0; r < from.rows; ++r) {
        std::memcpy(to.row(r), from.row(r), static_cast<std::size_t>(from.cols) * sizeof(float));
    }
}

}  // namespace esmm::cpu

namespace esmm {
std::unique_ptr<Backend> make_cpu_backend(int threads) {
  return std::make_unique<cpu::CpuBackend>(threads);
}
}  // namespace esmm
