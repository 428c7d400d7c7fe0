#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <vector>

namespace simt::test {
namespace {

__global__ void reverse_kernel(const int* in, int* out) {
  int* shared = static_cast<int*>(shared_memory());
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  shared[threadIdx.x] = in[i];
  __syncthreads();
  out[i] = shared[blockDim.x - 1 - threadIdx.x];
}

TEST(Barrier, OrdersWritesBeforeReads) {
  static_assert(kernel_name<reverse_kernel>() == "reverse_kernel");
  std::vector<int> in(1024), out(1024);
  for (int i = 0; i < 1024; ++i) in[static_cast<std::size_t>(i)] = i;
  int *device_in, *device_out;
  ASSERT_EQ(cudaMalloc(&device_in, 4096), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&device_out, 4096), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(device_in, in.data(), 4096, cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(launch<reverse_kernel>(4, 256, 1024, nullptr, device_in, device_out), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(out.data(), device_out, 4096, cudaMemcpyDeviceToHost), cudaSuccess);
  for (int i = 0; i < 1024; ++i) ASSERT_EQ(out[static_cast<std::size_t>(i)], i / 256 * 256 + 255 - i % 256);
  cudaFree(device_in);
  cudaFree(device_out);
}

}  // namespace
}  // namespace simt::test
