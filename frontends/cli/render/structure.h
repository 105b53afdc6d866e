// What is no list of equal rows: objects in objects. Written as JSON (json.h), or as rows of a path and its value.
//
//   write.begin_object(); write.key("pid"); write.integer(1); write.end_object();
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "render/row_writer.h"
#include "vitrine/query/table.h"

namespace vitrine::cli {

class StructureWriter {
public:
    StructureWriter() = default;
    StructureWriter(const StructureWriter&) = delete;
    StructureWriter& operator=(const StructureWriter&) = delete;
    virtual ~StructureWriter() = default;

    virtual void begin_object() = 0;
    virtual void end_object() = 0;
    virtual void begin_array() = 0;
    virtual void end_array() = 0;
    virtual void key(std::string_view name) = 0;
    virtual void value(const Value& value) = 0;
    virtual void boolean(bool truth) = 0;
    virtual void unsigned_integer(std::uint64_t number) = 0;

    void text(std::string_view text) { value(Value(std::string(text))); }
    void text_or_null(std::string_view text) { value(text.empty() ? Value() : Value(std::string(text))); }
    void integer(std::int64_t number) { value(Value(number)); }
    void address(std::uint64_t address) { value(Value(AddressValue{address})); }
    void null() { value(Value()); }
};

// Rows "machine.extents.0.size", 536870912: one for each value, in the order of writing.
class FlatWriter final : public StructureWriter {
public:
    FlatWriter(Output& output, const Style& style);

    void begin_object() override { open(false); }
    void end_object() override { levels_.pop_back(); }
    void begin_array() override { open(true); }
    void end_array() override { levels_.pop_back(); }
    void key(std::string_view name) override { levels_.back().name = name; }
    void value(const Value& value) override;
    void boolean(bool truth) override { text(truth ? "true" : "false"); }
    void unsigned_integer(std::uint64_t number) override { text(std::to_string(number)); }
    void finish() { rows_->finish(); }

private:
    struct Level {
        bool is_array = false;
        std::size_t count = 0;
        std::string name;  // of the member that comes next
    };
    void open(bool is_array);
    void count_element();

    std::unique_ptr<RowWriter> rows_;
    std::vector<Level> levels_;
};

}  // namespace vitrine::cli
