#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/simt/race_shadow.hpp"
#include "tests/simt/watch.hpp"

namespace simt {

struct Thread;

/// Sees every access of instrumented device code: finds races, reads of bytes that nobody wrote, and addresses that a
/// kernel must not touch. Faults end the kernel like all others.
class RaceDetector final : public Watch {
 public:
  RaceDetector();
  ~RaceDetector() override;
  RaceDetector(const RaceDetector&) = delete;
  RaceDetector& operator=(const RaceDetector&) = delete;

  void allocated(const void* from, std::size_t bytes, bool shared) override;
  void released(const void* from, std::size_t bytes) override;
  void written(const void* to, std::size_t bytes) override;
  std::string check_read(const void* from, std::size_t bytes) override;
  void copied(const void* from, void* to, std::size_t bytes) override;
  void kernel_begins(const void* arguments, std::size_t argument_bytes) override;
  void block_begins() override;
  void barrier() override { ++epoch_; }
  void warp_synchronised(unsigned warp, unsigned lanes) override;
  void accessed(const void* address, std::size_t bytes, Access access, const void* caller) override;

 private:
  enum class State : std::uint8_t { none, unwritten, written };
  struct Range {
    const std::byte* begin = nullptr;
    const std::byte* end = nullptr;
    [[nodiscard]] bool contains(const void* address) const { return address >= begin && address < end; }
  };

  void check_access(const void* address, std::size_t bytes, Access access, const void* caller);
  void check_state(const std::byte* address, std::size_t bytes, Access access, State* state, const void* caller);
  void check_race(std::size_t offset, std::size_t bytes, Access access, Cell* cells, const Now& now,
                  const std::byte* address);
  void check_elsewhere(const void* address, const void* caller);
  void find_program_memory();
  [[noreturn]] void report(const Race& race, Access access, const Now& now, const std::byte* address);
  [[nodiscard]] std::string describe(const void* address) const;
  [[nodiscard]] static std::uint32_t pack(const void* caller);
  [[nodiscard]] static std::string place(std::uint32_t caller);

  // Of device memory: reserved like it, in use where it is.
  const std::byte* device_ = nullptr;
  std::size_t device_bytes_ = 0;
  State* device_state_ = nullptr;
  Cell* device_cells_ = nullptr;
  // Of the running block's shared memory.
  Range shared_;
  std::vector<State> shared_state_;
  std::vector<Cell> shared_cells_;
  CellHistory history_;

  std::uint32_t epoch_ = 0, kernel_epoch_ = 0, block_epoch_ = 0;  // now; of the kernel's and the block's beginning
  struct StartedBlock {
    std::uint32_t epoch;
    cuda::uint3 index;
  };
  std::vector<StartedBlock> blocks_;  // of the running kernel
  std::vector<WarpClocks> clocks_;
  Range arguments_;
  std::vector<Range> program_;  // static memory
};

/// From now on a RaceDetector watches. May be called more than once.
void install_race_detector();

}  // namespace simt
