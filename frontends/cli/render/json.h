// A small streaming JSON writer: nothing is kept but the nesting.
//
//   JsonWriter json(output, 2);          // indented by 2; 0: on one line
//   json.begin_object(); json.key("pid"); json.integer(1); json.end_object();
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "render/output.h"
#include "render/structure.h"
#include "vitrine/query/table.h"

namespace vitrine::cli {

// With quotes. Any bytes: what is not UTF-8 becomes U+FFFD; control characters and characters that reorder text are
// escaped, so that JSON too may be shown on a terminal.
[[nodiscard]] std::string json_string(std::string_view bytes);
// One value as JSON: addresses as "0x..." strings, NULL and numbers that JSON lacks as null.
[[nodiscard]] std::string json_value(const Value& value);

class JsonWriter final : public StructureWriter {
public:
    JsonWriter(Output& output, std::size_t indent) : output_(output), indent_(indent) {}

    void begin_object() override { open('{'); }
    void end_object() override { close('}'); }
    void begin_array() override { open('['); }
    void end_array() override { close(']'); }
    void key(std::string_view name) override;
    void value(const Value& value) override { raw(json_value(value)); }
    void boolean(bool truth) override { raw(truth ? "true" : "false"); }
    void unsigned_integer(std::uint64_t number) override { raw(std::to_string(number)); }

private:
    void raw(std::string_view token);
    void open(char bracket);
    void close(char bracket);
    void separate();
    void line();

    Output& output_;
    std::size_t indent_;
    std::vector<bool> empty_;  // one per open bracket: nothing in it yet
    bool after_key_ = false;
};

}  // namespace vitrine::cli
