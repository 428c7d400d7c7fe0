#include "engine/batch_feed.hpp"

#include <algorithm>
#include <bit>
#include <span>

#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

ReplayKey replay_key(const BatchView& batch) {
  return {batch.rows(), batch.common_rows(), batch.sample.ids(), batch.common.ids()};
}

std::int64_t padded_size(std::int64_t size) {
  constexpr std::int64_t kSmallest = 16;
  if (size == 0) return 0;
  if (size <= kSmallest) return kSmallest;
  const std::int64_t step = std::int64_t{1} << (std::bit_width(static_cast<std::uint64_t>(size - 1)) - 4);
  return (size + step - 1) / step * step;
}

namespace {

/// Cuts consecutive arrays from one piece of memory; with a null base it only counts.
class BatchCarver {
 public:
  explicit BatchCarver(std::byte* base) : base_(base) {}
  template <class T>
  std::span<T> take(std::int64_t size) {
    constexpr std::size_t kAlignment = 256;  // what device loads like best
    T* first = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (static_cast<std::size_t>(size) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return {first, static_cast<std::size_t>(size)};
  }
  [[nodiscard]] std::size_t used() const { return used_; }

 private:
  std::byte* base_;
  std::size_t used_ = 0;
};

}  // namespace

/// The arrays of a batch of one shape at `base`: where they lie depends on the shape alone.
struct BatchFeed::Arrays {
  Arrays(const Shape& shape, std::byte* base_)
      : base(base_), sample_fields(shape.sample_fields), common_fields(shape.common_fields) {
    BatchCarver carver(base);
    sample_offsets = carver.take<std::uint32_t>(shape.rows * shape.sample_fields + 1);
    common_offsets = carver.take<std::uint32_t>(shape.common_rows * shape.common_fields + 1);
    common_begin = carver.take<std::uint32_t>(shape.common_rows + 1);
    dense = carver.take<float>(shape.rows * shape.dense_columns);
    click = carver.take<std::uint8_t>(shape.rows);
    conversion = carver.take<std::uint8_t>(shape.rows);
    sample_places = carver.take<std::uint32_t>(shape.sample_fields > 0 && shape.resident ? shape.rows : 0);
    common_places = carver.take<std::uint32_t>(shape.common_fields > 0 && shape.resident ? shape.common_rows : 0);
    bytes_with_padding = carver.used();
    sample_rows = carver.take<std::uint32_t>(shape.sample_ids);
    common_rows = carver.take<std::uint32_t>(shape.common_ids);
    sample_weights = carver.take<float>(shape.sample_weighted ? shape.sample_ids : 0);
    common_weights = carver.take<float>(shape.common_weighted ? shape.common_ids : 0);
    bytes = carver.used();
    bytes_to_upload = shape.resident ? bytes_with_padding : bytes;
  }

  [[nodiscard]] BatchView view(const Shape& shape, std::int64_t impressions) const {
    BatchView view;
    view.sample = {sample_offsets, sample_rows, sample_weights, shape.sample_fields};
    view.common = {common_offsets, common_rows, common_weights, shape.common_fields};
    view.common_begin = common_begin;
    view.dense = {dense.data(), shape.rows, shape.dense_columns};
    view.click = click;
    view.conversion = conversion;
    view.impressions = impressions;
    return view;
  }

  std::byte* base;
  std::int64_t sample_fields, common_fields;
  std::span<std::uint32_t> sample_offsets, common_offsets, common_begin, sample_rows, common_rows;
  std::span<std::uint32_t> sample_places, common_places;  // of resident ids
  std::span<float> dense, sample_weights, common_weights;
  std::span<std::uint8_t> click, conversion;
  std::size_t bytes_with_padding = 0;  // of the arrays whose padding has a meaning
  std::size_t bytes = 0;
  std::size_t bytes_to_upload = 0;  // the first ones; the rest is gathered
};

LoaderOptions BatchFeed::loader_options(Backend& backend, LoaderOptions options) {
  options.memory = &backend.host_memory();
  if (!backend.memory_is_host()) options.held = static_cast<int>(kSlots);
  return options;
}

BatchFeed::BatchFeed(Backend& backend, Loader& loader, const ResidentIds* resident)
    : backend_(backend), loader_(loader), resident_(resident) {
  if (backend.memory_is_host()) return;
  for (std::size_t i = 0; i < kSlots; ++i) {
    slots_.push_back({Buffer<std::byte>(backend.memory(), 0), std::pmr::vector<std::uint32_t>(&backend.host_memory()),
                      backend.make_fence(), backend.make_fence()});
  }
}

BatchFeed::~BatchFeed() {
  for (const Slot& slot : slots_) {
    try {
      slot.uploaded->wait();  // the loader's memory must not go while it is read
    } catch (...) {           // a device that failed reads nothing any more
    }
  }
}

void BatchFeed::start(std::int64_t epoch, std::int64_t first_batch) {
  ahead_.reset();
  for (const Slot& slot : slots_) slot.uploaded->wait();
  loader_.start(epoch, first_batch);
  started_ = false;
}

const BatchView* BatchFeed::next() {
  if (backend_.memory_is_host()) {
    current_ = loader_.next();
    if (current_ == nullptr) return nullptr;
    view_ = current_->view();
    return &view_;
  }
  if (!started_) ahead_ = upload_next();
  started_ = true;
  if (!ahead_) return nullptr;
  const Uploaded now = *ahead_;
  ahead_ = upload_next();  // before the work of this one

  const Arrays batch(now.shape, place(Arrays(now.shape, nullptr).bytes));
  backend_.wait(Queue::work, *now.slot->uploaded);
  backend_.copy(batch.base, now.slot->memory.data(), batch.bytes_to_upload);
  backend_.record(Queue::work, *now.slot->used);
  if (resident_ != nullptr) gather(batch);
  current_ = now.host;
  view_ = batch.view(now.shape, now.host->impressions());
  return &view_;
}

void BatchFeed::gather(const Arrays& batch) {
  const auto gather_side = [&](const StoredIds& from, std::span<const std::uint32_t> places, const EmptyBags& bags) {
    if (bags.fields > 0) gather_ids(backend_, from, places, bags);
  };
  gather_side(resident_->sample(), batch.sample_places,
              {batch.sample_offsets, batch.sample_fields, batch.sample_rows, batch.sample_weights});
  gather_side(resident_->common(), batch.common_places,
              {batch.common_offsets, batch.common_fields, batch.common_rows, batch.common_weights});
}

BatchFeed::Shape BatchFeed::shape_of(const HostBatch& batch) const {
  const auto ids = [](const auto& offsets, bool weighted) {
    return padded_size(std::int64_t{offsets.back()}) + (weighted ? 1 : 0);
  };
  Shape shape;
  shape.rows = loader_.batch_size();
  shape.common_rows = std::min(shape.rows, padded_size(static_cast<std::int64_t>(batch.common_begin.size()) - 1));
  shape.resident = resident_ != nullptr;
  shape.sample_weighted = shape.resident ? !resident_->sample().weights.empty() : !batch.sample_weights.empty();
  shape.common_weighted = shape.resident ? !resident_->common().weights.empty() : !batch.common_weights.empty();
  shape.sample_ids = ids(batch.sample_offsets, shape.sample_weighted);
  shape.common_ids = ids(batch.common_offsets, shape.common_weighted);
  shape.sample_fields = batch.sample_fields;
  shape.common_fields = batch.common_fields;
  shape.dense_columns = batch.dense_columns;
  return shape;
}

/// Enqueues the upload of the loader's next batch, if there is one.
std::optional<BatchFeed::Uploaded> BatchFeed::upload_next() {
  Slot& slot = slots_[next_slot_];
  slot.uploaded->wait();  // it held the batch that the loader is about to fill again
  const HostBatch* const batch = loader_.next();
  if (batch == nullptr) return std::nullopt;
  next_slot_ = (next_slot_ + 1) % kSlots;

  const Shape shape = shape_of(*batch);
  make_room(slot, Arrays(shape, nullptr).bytes_to_upload);
  backend_.wait(Queue::copy, *slot.used);
  upload(*batch, Arrays(shape, slot.memory.data()), slot);
  backend_.record(Queue::copy, *slot.uploaded);
  return Uploaded{batch, shape, &slot};
}

void BatchFeed::make_room(Slot& slot, std::size_t bytes) {
  if (static_cast<std::size_t>(slot.memory.size()) >= bytes) return;
  slot.used->wait();  // until the old memory has been read
  slot.memory.resize(static_cast<std::int64_t>(bytes + bytes / 4));
  backend_.record(Queue::work, *slot.used);  // until the new memory is zeroed
}

void BatchFeed::upload(const HostBatch& batch, const Arrays& to, Slot& slot) {
  const NvtxRange range("upload");
  slot.padding.resize(to.bytes_with_padding / sizeof(std::uint32_t));
  std::uint32_t* padding = slot.padding.data();
  const auto put = [&]<class T>(std::span<T> target, const std::pmr::vector<T>& from) {
    if (!from.empty()) backend_.upload(target.data(), from.data(), from.size() * sizeof(T));
  };
  const auto put_padded = [&]<class T>(std::span<T> target, const std::pmr::vector<T>& from, std::uint32_t fill) {
    put(target, from);
    const std::size_t rest = (target.size() - from.size()) * sizeof(T);
    if (rest == 0) return;
    std::uint32_t* const first = padding;
    padding = std::fill_n(first, (rest + sizeof fill - 1) / sizeof fill, fill);
    backend_.upload(target.data() + from.size(), first, rest);
  };
  put_padded(to.sample_offsets, batch.sample_offsets, batch.sample_offsets.back());  // empty bags
  put_padded(to.common_offsets, batch.common_offsets, batch.common_offsets.back());
  put_padded(to.common_begin, batch.common_begin, batch.common_begin.back());  // no impressions
  put_padded(to.dense, batch.dense, 0);
  put_padded(to.click, batch.click, 0);
  put_padded(to.conversion, batch.conversion, 0);
  put_padded(to.sample_places, batch.sample_places, 0);
  put_padded(to.common_places, batch.common_places, 0);
  put(to.sample_rows, batch.sample_rows);
  put(to.common_rows, batch.common_rows);
  put(to.sample_weights, batch.sample_weights);
  put(to.common_weights, batch.common_weights);
}

/// The first place that is large enough: places are only ever added, so equal sizes get equal places.
std::byte* BatchFeed::place(std::size_t bytes) {
  const auto size = static_cast<std::int64_t>(bytes);
  const auto fits = [&](const Buffer<std::byte>& each) { return each.size() >= size; };
  const auto found = std::find_if(places_.begin(), places_.end(), fits);
  if (found != places_.end()) return found->data();
  const std::int64_t twice_the_last = places_.empty() ? 0 : 2 * places_.back().size();
  places_.emplace_back(backend_.memory(), std::max(size + size / 4, twice_the_last));
  return places_.back().data();
}

}  // namespace esmm
