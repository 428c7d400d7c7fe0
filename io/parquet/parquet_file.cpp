#include "io/parquet/parquet_file.hpp"

#include <arrow/io/interfaces.h>
#include <parquet/arrow/schema.h>

#include <algorithm>
#include <exception>
#include <new>
#include <span>

#include "io/file.hpp"
#include "io/parquet/cells.hpp"
#include "kernels/error.hpp"

namespace esmm {

/// A file of ours for Arrow to read. What the system refuses is kept, to be thrown once Arrow has returned.
class ParquetFile::Input final : public arrow::io::RandomAccessFile {
 public:
  explicit Input(const std::string& path) : file_(File::open(path)), size_(static_cast<std::int64_t>(file_.size())) {}

  arrow::Result<std::int64_t> Read(std::int64_t size, void* out) override {
    const std::int64_t available = std::clamp<std::int64_t>(size_ - position_, 0, size);
    try {
      file_.read_at(static_cast<std::uint64_t>(position_),
                    {static_cast<std::byte*>(out), static_cast<std::size_t>(available)});
    } catch (...) {
      failure_ = std::current_exception();
      return arrow::Status::IOError("not read");
    }
    position_ += available;
    return available;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(std::int64_t size) override {
    const std::int64_t available = std::clamp<std::int64_t>(size_ - position_, 0, size);
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> buffer,
                          arrow::AllocateBuffer(available, arrow::system_memory_pool()));
    ARROW_RETURN_NOT_OK(Read(available, buffer->mutable_data()));
    return buffer;
  }
  arrow::Status Seek(std::int64_t position) override {
    if (position < 0) return arrow::Status::Invalid("an offset below zero");
    position_ = position;
    return arrow::Status::OK();
  }
  arrow::Result<std::int64_t> Tell() const override { return position_; }
  arrow::Result<std::int64_t> GetSize() override { return size_; }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }

  [[nodiscard]] std::exception_ptr failure() const { return failure_; }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  File file_;
  std::int64_t size_;
  std::int64_t position_ = 0;
  bool closed_ = false;
  std::exception_ptr failure_;
};

namespace {

Error damaged(const std::string& path, std::string_view what) {
  what = what.substr(0, what.find('\n'));
  while (what.ends_with('.')) what.remove_suffix(1);
  return data_error("{}: not a Parquet file, or damaged: {}. Write it again.", path, what);
}

const char* name_of(ColumnRole role) {
  switch (role) {
    case ColumnRole::none:
      return "the common key";
    case ColumnRole::click:
    case ColumnRole::conversion:
      return "a label";
    case ColumnRole::sample_id:
      return "the sample id";
    case ColumnRole::dense:
      return "dense";
    case ColumnRole::sample:
    case ColumnRole::common:
      break;
  }
  return "an id column";
}

void check_type(const std::string& path, const TableColumn& column, const arrow::DataType& type) {
  const bool takes_lists =
      !column.is_common_key && (column.role == ColumnRole::sample || column.role == ColumnRole::common);
  if (!kind_of(type)) {
    throw data_error(
        "{}: column {} has the type {}, which is neither numbers nor text nor a list of them. Write it as one of "
        "these, or leave it out of a --schema FILE.toml.",
        path, in_quotes(column.name), type.ToString());
  }
  if (is_list(type) && !takes_lists) {
    throw data_error(
        "{}: column {} has the type {}, which cannot be {}. Name it under sample or common in a --schema FILE.toml, or "
        "leave it out there.",
        path, in_quotes(column.name), type.ToString(), name_of(column.is_common_key ? ColumnRole::none : column.role));
  }
}

/// The columns that the file has for a field: more than one where it is nested.
void append_leaves(const parquet::arrow::SchemaField& field, std::vector<int>& leaves) {
  if (field.is_leaf()) leaves.push_back(field.column_index);
  for (const parquet::arrow::SchemaField& child : field.children) append_leaves(child, leaves);
}

}  // namespace

ParquetFile::ParquetFile(std::string path, std::size_t batch_rows)
    : path_(std::move(path)), input_(std::make_shared<Input>(path_)) {
  parquet::ReaderProperties reading(arrow::system_memory_pool());
  reading.enable_buffered_stream();  // pages are read as they are decoded, not whole column chunks
  reading.set_buffer_size(std::int64_t{1} << 18U);
  parquet::ArrowReaderProperties decoding(/*use_threads=*/false);
  decoding.set_batch_size(static_cast<std::int64_t>(batch_rows));
  decoding.set_pre_buffer(false);
  try {
    parquet::arrow::FileReaderBuilder builder;
    check(builder.Open(input_, reading));
    check(builder.memory_pool(arrow::system_memory_pool())->properties(decoding)->Build(&reader_));
    check(reader_->GetSchema(&schema_));
    rows_ = static_cast<std::uint64_t>(reader_->parquet_reader()->metadata()->num_rows());
  } catch (const parquet::ParquetException& error) {
    throw damaged(path_, error.what());
  }
}

ParquetFile::~ParquetFile() = default;

void ParquetFile::check(const arrow::Status& status) const {
  if (status.ok()) return;
  if (input_->failure()) std::rethrow_exception(input_->failure());
  if (status.IsOutOfMemory()) throw std::bad_alloc();
  throw damaged(path_, status.message());
}

void ParquetFile::select(const std::vector<TableColumn>& columns) {
  leaves_.clear();
  for (const TableColumn& column : columns) {
    if (!column.used()) continue;
    const int index = schema_->GetFieldIndex(column.name);
    if (index < 0) {
      throw data_error("{}: there is not one column {}, as in the files before. Give files with the same columns.",
                       path_, in_quotes(column.name));
    }
    check_type(path_, column, *schema_->field(index)->type());
    append_leaves(reader_->manifest().schema_fields[static_cast<std::size_t>(index)], leaves_);
  }
}

bool ParquetFile::next_row_group() {
  if (++row_group_ == reader_->num_row_groups()) return false;
  auto batches = reader_->GetRecordBatchReader({row_group_}, leaves_);
  check(batches.status());
  batches_ = *std::move(batches);
  return true;
}

bool ParquetFile::next(ParquetBatch& batch) {
  batch.rows.reset();
  try {
    while (!batch.rows || batch.rows->num_rows() == 0) {
      if (!batches_ && !next_row_group()) break;
      check(batches_->ReadNext(&batch.rows));
      if (!batch.rows) batches_.reset();
    }
    if (batch.rows) check(batch.rows->Validate());
  } catch (const parquet::ParquetException& error) {
    throw damaged(path_, error.what());
  }
  const std::uint64_t read = rows_read_ + (batch.rows ? static_cast<std::uint64_t>(batch.rows->num_rows()) : 0);
  if (read > rows_ || (!batch.rows && read != rows_)) throw damaged(path_, "its columns and its footer disagree");
  if (!batch.rows) return false;
  const auto bytes_until = [&](std::uint64_t row) {
    return static_cast<std::uint64_t>(static_cast<double>(input_->size()) *
                                      (static_cast<double>(row) / static_cast<double>(rows_)));
  };
  batch.file = path_;
  batch.row_group = row_group_;
  batch.first_row = rows_read_ + 1;
  batch.bytes = bytes_until(read) - bytes_until(rows_read_);
  rows_read_ = read;
  return true;
}

}  // namespace esmm
