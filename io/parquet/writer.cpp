#include <arrow/api.h>
#include <arrow/io/interfaces.h>
#include <parquet/arrow/writer.h>

#include <algorithm>
#include <exception>
#include <new>
#include <span>

#include "io/parquet.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

/// A staged file for Arrow to write. What the system refuses is kept, to be thrown once Arrow has returned.
class StagedOutput final : public arrow::io::OutputStream {
 public:
  explicit StagedOutput(StagedFile& file) : file_(file) {}

  arrow::Status Write(const void* data, std::int64_t size) override {
    try {
      file_.append({static_cast<const std::byte*>(data), static_cast<std::size_t>(size)});
    } catch (...) {
      failure_ = std::current_exception();
      return arrow::Status::IOError("not written");
    }
    written_ += size;
    return arrow::Status::OK();
  }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  arrow::Result<std::int64_t> Tell() const override { return written_; }
  bool closed() const override { return closed_; }

  void check(const arrow::Status& status) const {
    if (status.ok()) return;
    if (failure_) std::rethrow_exception(failure_);
    if (status.IsOutOfMemory()) throw std::bad_alloc();
    throw internal_error("writing Parquet: {}", status.message());
  }

 private:
  StagedFile& file_;
  std::int64_t written_ = 0;
  bool closed_ = false;
  std::exception_ptr failure_;
};

template <class Array, class T>
std::shared_ptr<arrow::Array> view_of(const std::vector<T>& values) {
  return std::make_shared<Array>(static_cast<std::int64_t>(values.size()), arrow::Buffer::Wrap(values));
}

struct ToArrow {
  arrow::Status& status;

  std::shared_ptr<arrow::Array> operator()(const std::vector<std::int64_t>& values) const {
    return view_of<arrow::Int64Array>(values);
  }
  std::shared_ptr<arrow::Array> operator()(const std::vector<float>& values) const {
    return view_of<arrow::FloatArray>(values);
  }
  std::shared_ptr<arrow::Array> operator()(const StringColumn& values) const {
    arrow::StringBuilder builder;
    std::shared_ptr<arrow::Array> array;
    for (std::size_t i = 0; i < values.size() && status.ok(); ++i) status = builder.Append(values[i]);
    if (status.ok()) status = builder.Finish(&array);
    return array;
  }
};

}  // namespace

struct ParquetWriter::Impl {
  std::shared_ptr<StagedOutput> out;
  std::unique_ptr<parquet::arrow::FileWriter> writer;  // once the columns are known
};

ParquetWriter::ParquetWriter(StagedFile& out) : impl_(new Impl{std::make_shared<StagedOutput>(out), nullptr}) {}
ParquetWriter::~ParquetWriter() = default;

void ParquetWriter::write_row_group(const std::vector<ParquetColumn>& columns) {
  const StagedOutput& out = *impl_->out;
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  for (const ParquetColumn& column : columns) {
    arrow::Status status;
    arrays.push_back(std::visit(ToArrow{status}, column.values));
    out.check(status);
    fields.push_back(arrow::field(column.name, arrays.back()->type(), /*nullable=*/false));
  }
  const auto table = arrow::Table::Make(arrow::schema(fields), arrays);
  if (!impl_->writer) {
    const auto properties = parquet::WriterProperties::Builder().compression(parquet::Compression::SNAPPY)->build();
    auto writer =
        parquet::arrow::FileWriter::Open(*table->schema(), arrow::system_memory_pool(), impl_->out, properties);
    out.check(writer.status());
    impl_->writer = *std::move(writer);
  }
  out.check(impl_->writer->WriteTable(*table, std::max<std::int64_t>(1, table->num_rows())));
}

void ParquetWriter::finish() {
  impl_->out->check(impl_->writer->Close());
}

}  // namespace esmm
