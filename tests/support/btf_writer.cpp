#include "support/btf_writer.h"

#include <cstring>

namespace vitrine::test {

std::uint32_t BtfWriter::text(std::string_view s) {
    if (s.empty()) return 0;
    const auto at = string_base_ + static_cast<std::uint32_t>(strings_.size());
    strings_.append(s).push_back('\0');
    return at;
}

std::uint32_t BtfWriter::record(std::string_view name, std::uint32_t kind, std::uint32_t vlen, bool flag,
                                std::uint32_t size_or_type) {
    record_offsets_.push_back(types_.size());
    word(text(name));
    word(kind << 24 | vlen | (flag ? 1u << 31 : 0));
    word(size_or_type);
    return next_id_++;
}

void BtfWriter::word(std::uint32_t value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    types_.insert(types_.end(), bytes, bytes + sizeof value);
}

std::uint32_t BtfWriter::integer(std::string_view name, std::uint32_t size, bool is_signed, std::uint32_t bits,
                                 std::uint32_t offset) {
    const auto id = record(name, INT, 0, false, size);
    word((is_signed ? 1u << 24 : 0) | offset << 16 | (bits == 0 ? size * 8 : bits));
    return id;
}

std::uint32_t BtfWriter::array(std::uint32_t element, std::uint32_t count) {
    const auto id = record("", ARRAY, 0, false, 0);
    word(element);
    word(0);
    word(count);
    return id;
}

std::uint32_t BtfWriter::aggregate(Kind kind, std::string_view name, std::uint32_t size,
                                   const std::vector<Member>& members) {
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

std::uint32_t BtfWriter::structure(std::string_view name, std::uint32_t size, const std::vector<Member>& members) {
    return aggregate(STRUCT, name, size, members);
}

std::uint32_t BtfWriter::union_(std::string_view name, std::uint32_t size, const std::vector<Member>& members) {
    return aggregate(UNION, name, size, members);
}

std::uint32_t BtfWriter::enumeration(std::string_view name, bool is_signed, const std::vector<Value>& values) {
    const auto id = record(name, ENUM, static_cast<std::uint32_t>(values.size()), is_signed, 4);
    for (const Value& v : values) {
        word(text(v.name));
        word(static_cast<std::uint32_t>(v.value));
    }
    return id;
}

std::uint32_t BtfWriter::enumeration64(std::string_view name, bool is_signed, const std::vector<Value>& values) {
    const auto id = record(name, ENUM64, static_cast<std::uint32_t>(values.size()), is_signed, 8);
    for (const Value& v : values) {
        word(text(v.name));
        word(static_cast<std::uint32_t>(v.value));
        word(static_cast<std::uint32_t>(static_cast<std::uint64_t>(v.value) >> 32));
    }
    return id;
}

std::uint32_t BtfWriter::reference(Kind kind, std::string_view name, std::uint32_t target) {
    return record(name, kind, 0, false, target);
}

std::uint32_t BtfWriter::type_definition(std::string_view name, std::uint32_t target) {
    return reference(TYPEDEF, name, target);
}

std::uint32_t BtfWriter::prototype(std::uint32_t returns, const std::vector<Member>& parameters) {
    const auto id = record("", FUNC_PROTO, static_cast<std::uint32_t>(parameters.size()), false, returns);
    for (const Member& p : parameters) {
        word(text(p.name));
        word(p.type);
    }
    return id;
}

std::vector<std::size_t> BtfWriter::record_offsets(std::uint32_t header_length) const {
    std::vector<std::size_t> offsets;
    for (const std::size_t at : record_offsets_) offsets.push_back(at + header_length);
    return offsets;
}

std::vector<std::byte> BtfWriter::blob(std::uint32_t header_length) const {
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

}  // namespace vitrine::test
