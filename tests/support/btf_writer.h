// Writes BTF blobs for tests: records in order, ids from 1 on.
//
//   BtfWriter w;
//   const auto u32 = w.integer("unsigned int", 4);
//   w.structure("pair", 8, {{"a", u32, 0}, {"b", u32, 32}});
//   auto blob = w.blob();
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
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

    std::uint32_t text(std::string_view s) {
        if (s.empty()) return 0;
        const auto at = string_base_ + static_cast<std::uint32_t>(strings_.size());
        strings_.append(s).push_back('\0');
        return at;
    }
    // A record as the format has it: the rest is up to the caller, by word().
    std::uint32_t record(std::string_view name, std::uint32_t kind, std::uint32_t vlen, bool flag,
                         std::uint32_t size_or_type) {
        record_offsets_.push_back(types_.size());
        word(text(name));
        word(kind << 24 | vlen | (flag ? 1u << 31 : 0));
        word(size_or_type);
        return next_id_++;
    }
    void word(std::uint32_t value) {
        const auto* bytes = reinterpret_cast<const std::byte*>(&value);
        types_.insert(types_.end(), bytes, bytes + sizeof value);
    }

    std::uint32_t integer(std::string_view name, std::uint32_t size, bool is_signed = false, std::uint32_t bits = 0,
                          std::uint32_t offset = 0) {
        const auto id = record(name, INT, 0, false, size);
        word((is_signed ? 1u << 24 : 0) | offset << 16 | (bits == 0 ? size * 8 : bits));
        return id;
    }
    std::uint32_t pointer(std::uint32_t to) { return record("", PTR, 0, false, to); }
    std::uint32_t array(std::uint32_t element, std::uint32_t count) {
        const auto id = record("", ARRAY, 0, false, 0);
        word(element);
        word(0);
        word(count);
        return id;
    }
    std::uint32_t aggregate(Kind kind, std::string_view name, std::uint32_t size, const std::vector<Member>& members) {
        bool flag = false;
        for (const Member& m : members) flag = flag || m.bit_size != 0;
        const auto id = record(name, kind, static_cast<std::uint32_t>(members.size()), flag, size);
        for (const Member& m : members) {
            word(text(m.name));
            word(m.type);
            word(m.bit_size << 24 | m.bit_offset);
        }
        return id;
    }
    std::uint32_t structure(std::string_view name, std::uint32_t size, const std::vector<Member>& members) {
        return aggregate(STRUCT, name, size, members);
    }
    std::uint32_t union_(std::string_view name, std::uint32_t size, const std::vector<Member>& members) {
        return aggregate(UNION, name, size, members);
    }
    std::uint32_t enumeration(std::string_view name, bool is_signed, const std::vector<Value>& values) {
        const auto id = record(name, ENUM, static_cast<std::uint32_t>(values.size()), is_signed, 4);
        for (const Value& v : values) {
            word(text(v.name));
            word(static_cast<std::uint32_t>(v.value));
        }
        return id;
    }
    std::uint32_t enumeration64(std::string_view name, bool is_signed, const std::vector<Value>& values) {
        const auto id = record(name, ENUM64, static_cast<std::uint32_t>(values.size()), is_signed, 8);
        for (const Value& v : values) {
            word(text(v.name));
            word(static_cast<std::uint32_t>(v.value));
            word(static_cast<std::uint32_t>(static_cast<std::uint64_t>(v.value) >> 32));
        }
        return id;
    }
    std::uint32_t reference(Kind kind, std::string_view name, std::uint32_t target) {
        return record(name, kind, 0, false, target);
    }
    std::uint32_t type_definition(std::string_view name, std::uint32_t target) {
        return reference(TYPEDEF, name, target);
    }
    std::uint32_t forward(std::string_view name, bool is_union) { return record(name, FWD, 0, is_union, 0); }
    std::uint32_t prototype(std::uint32_t returns, const std::vector<Member>& parameters) {
        const auto id = record("", FUNC_PROTO, static_cast<std::uint32_t>(parameters.size()), false, returns);
        for (const Member& p : parameters) {
            word(text(p.name));
            word(p.type);
        }
        return id;
    }

    [[nodiscard]] std::uint32_t next_id() const { return next_id_; }
    [[nodiscard]] std::uint32_t string_bytes() const { return static_cast<std::uint32_t>(strings_.size()); }
    // Where each record begins, from the start of the blob.
    [[nodiscard]] std::vector<std::size_t> record_offsets(std::uint32_t header_length = 24) const {
        std::vector<std::size_t> offsets;
        for (const std::size_t at : record_offsets_) offsets.push_back(at + header_length);
        return offsets;
    }

    // header_length > 24: the fields after the known ones are zero.
    [[nodiscard]] std::vector<std::byte> blob(std::uint32_t header_length = 24) const {
        std::vector<std::byte> out(header_length);
        const std::uint32_t fields[] = {0x0001eb9f,
                                        header_length,
                                        0,
                                        static_cast<std::uint32_t>(types_.size()),
                                        static_cast<std::uint32_t>(types_.size()),
                                        static_cast<std::uint32_t>(strings_.size())};
        std::memcpy(out.data(), fields, sizeof fields);
        out.insert(out.end(), types_.begin(), types_.end());
        const auto* chars = reinterpret_cast<const std::byte*>(strings_.data());
        out.insert(out.end(), chars, chars + strings_.size());
        return out;
    }

private:
    std::uint32_t next_id_ = 1;
    std::uint32_t string_base_ = 0;
    std::vector<std::byte> types_;
    std::string strings_;
    std::vector<std::size_t> record_offsets_;
};

}  // namespace vitrine::test
