// Writes BTF blobs for tests: records in order, ids from 1 on.
//
//   BtfWriter w;
//   const auto u32 = w.integer("unsigned int", 4);
//   w.structure("pair", 8, {{"a", u32, 0}, {"b", u32, 32}});
//   auto blob = w.blob();
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::test {

class BtfWriter {
public:
    struct Member {
        std::string_view name;
        std::uint32_t type = 0;
        std::uint32_t bit_offset = 0;
        std::uint32_t bit_size = 0;
    };
    struct Value {
        std::string_view name;
        std::int64_t value = 0;
    };
    enum Kind : std::uint32_t {
        INT = 1,
        PTR,
        ARRAY,
        STRUCT,
        UNION,
        ENUM,
        FWD,
        TYPEDEF,
        VOLATILE,
        CONST,
        RESTRICT,
        FUNC,
        FUNC_PROTO,
        VAR,
        DATASEC,
        FLOAT,
        DECL_TAG,
        TYPE_TAG,
        ENUM64,
    };

    BtfWriter() { strings_.push_back('\0'); }
    // A split blob: ids and string offsets go on from a base's.
    BtfWriter(std::uint32_t first_id, std::uint32_t string_base) : next_id_(first_id), string_base_(string_base) {}

    std::uint32_t text(std::string_view s);
    // A record as the format has it: the rest is up to the caller, by word().
    std::uint32_t record(std::string_view name, std::uint32_t kind, std::uint32_t vlen, bool flag,
                         std::uint32_t size_or_type);
    void word(std::uint32_t value);

    std::uint32_t integer(std::string_view name, std::uint32_t size, bool is_signed = false, std::uint32_t bits = 0,
                          std::uint32_t offset = 0);
    std::uint32_t pointer(std::uint32_t to) { return record("", PTR, 0, false, to); }
    std::uint32_t array(std::uint32_t element, std::uint32_t count);
    std::uint32_t aggregate(Kind kind, std::string_view name, std::uint32_t size, const std::vector<Member>& members);
    std::uint32_t structure(std::string_view name, std::uint32_t size, const std::vector<Member>& members);
    std::uint32_t union_(std::string_view name, std::uint32_t size, const std::vector<Member>& members);
    std::uint32_t enumeration(std::string_view name, bool is_signed, const std::vector<Value>& values);
    std::uint32_t enumeration64(std::string_view name, bool is_signed, const std::vector<Value>& values);
    std::uint32_t reference(Kind kind, std::string_view name, std::uint32_t target);
    std::uint32_t type_definition(std::string_view name, std::uint32_t target);
    std::uint32_t forward(std::string_view name, bool is_union) { return record(name, FWD, 0, is_union, 0); }
    std::uint32_t prototype(std::uint32_t returns, const std::vector<Member>& parameters);

    [[nodiscard]] std::uint32_t next_id() const { return next_id_; }
    [[nodiscard]] std::uint32_t string_bytes() const { return static_cast<std::uint32_t>(strings_.size()); }
    // Where each record begins, from the start of the blob.
    [[nodiscard]] std::vector<std::size_t> record_offsets(std::uint32_t header_length = 24) const;

    // header_length > 24: the fields after the known ones are zero.
    [[nodiscard]] std::vector<std::byte> blob(std::uint32_t header_length = 24) const;

private:
    std::uint32_t next_id_ = 1;
    std::uint32_t string_base_ = 0;
    std::vector<std::byte> types_;
    std::string strings_;
    std::vector<std::size_t> record_offsets_;
};

}  // namespace vitrine::test
