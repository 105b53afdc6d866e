#include "types/dwarf/wire.h"

#include <cstring>
#include <optional>

namespace vitrine::dwarf {
namespace {

constexpr std::uint32_t kTypesMessage = 0x50595456;  // "VTYP"
constexpr std::uint32_t kErrorMessage = 0x52455456;  // "VTER"
constexpr std::uint32_t kMaxBuildId = 256;

class Encoder {
public:
    template <GuestScalar T>
    void put(T value) {
        const auto* bytes = reinterpret_cast<const std::byte*>(&value);
        out_.insert(out_.end(), bytes, bytes + sizeof value);
    }
    void text(std::string_view s) { bytes(std::as_bytes(std::span(s.data(), s.size()))); }
    void bytes(std::span<const std::byte> s) {
        put(static_cast<std::uint32_t>(s.size()));
        out_.insert(out_.end(), s.begin(), s.end());
    }
    std::vector<std::byte> take() { return std::move(out_); }

private:
    std::vector<std::byte> out_;
};

void encode_tables(Encoder& out, const TypeTables& tables) {
    out.put(static_cast<std::uint32_t>(tables.types.size()));
    for (const Type& t : tables.types) {
        out.put(static_cast<std::uint8_t>(t.kind));
        out.put(static_cast<std::uint8_t>((t.is_signed ? 1 : 0) | (t.forward_is_union ? 2 : 0)));
        out.put(t.name);
        out.put(t.size);
        out.put(t.target);
        out.put(t.first);
        out.put(t.count);
    }
    out.put(static_cast<std::uint32_t>(tables.members.size()));
    for (const Member& m : tables.members) {
        out.put(m.name);
        out.put(m.type);
        out.put(m.bit_offset);
        out.put(m.bit_size);
    }
    out.put(static_cast<std::uint32_t>(tables.enumerators.size()));
    for (const Enumerator& e : tables.enumerators) {
        out.put(e.name);
        out.put(e.value);
    }
    out.text({tables.strings.data(), tables.strings.size()});
}

// Reads past the end set failed() and give zeros.
class Decoder {
public:
    explicit Decoder(std::span<const std::byte> bytes) : view_(bytes) {}

    template <GuestScalar T>
    T get() {
        const std::optional<T> value = view_.get<T>(at_);
        failed_ = failed_ || !value;
        at_ += sizeof(T);
        return value.value_or(T{});
    }
    std::span<const std::byte> bytes() {
        const auto size = get<std::uint32_t>();
        const auto part = view_.sub(at_, size);
        failed_ = failed_ || !part;
        if (!part) return {};
        at_ += size;
        return part->span();
    }
    std::string text() {
        const auto part = bytes();
        return {reinterpret_cast<const char*>(part.data()), part.size()};
    }
    // A count of records of `record` bytes each, all of which are there.
    std::uint32_t count(std::size_t record) {
        const auto n = get<std::uint32_t>();
        if (failed_ || at_ > view_.size() || n > (view_.size() - at_) / record) failed_ = true;
        return failed_ ? 0 : n;
    }
    [[nodiscard]] bool failed() const { return failed_; }
    [[nodiscard]] bool at_end() const { return !failed_ && at_ == view_.size(); }

private:
    ByteView view_;
    std::uint64_t at_ = 0;
    bool failed_ = false;
};

constexpr std::size_t kTypeRecord = 26;
constexpr std::size_t kMemberRecord = 20;
constexpr std::size_t kEnumeratorRecord = 12;

bool decode_types(Decoder& in, std::vector<Type>& types) {
    const std::uint32_t count = in.count(kTypeRecord);
    types.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto kind = in.get<std::uint8_t>();
        const auto flags = in.get<std::uint8_t>();
        if (kind > static_cast<std::uint8_t>(TypeKind::type_tag) || flags > 3) return false;
        Type t;
        t.kind = static_cast<TypeKind>(kind);
        t.is_signed = (flags & 1) != 0;
        t.forward_is_union = (flags & 2) != 0;
        t.name = in.get<std::uint32_t>();
        t.size = in.get<std::uint64_t>();
        t.target = in.get<std::uint32_t>();
        t.first = in.get<std::uint32_t>();
        t.count = in.get<std::uint32_t>();
        types.push_back(t);
    }
    return true;
}

bool decode_tables(Decoder& in, TypeTables& tables) {
    if (!decode_types(in, tables.types)) return false;
    const std::uint32_t members = in.count(kMemberRecord);
    tables.members.reserve(members);
    for (std::uint32_t i = 0; i < members; ++i) {
        Member m;
        m.name = in.get<std::uint32_t>();
        m.type = in.get<std::uint32_t>();
        m.bit_offset = in.get<std::uint64_t>();
        m.bit_size = in.get<std::uint32_t>();
        tables.members.push_back(m);
    }
    const std::uint32_t enumerators = in.count(kEnumeratorRecord);
    tables.enumerators.reserve(enumerators);
    for (std::uint32_t i = 0; i < enumerators; ++i) {
        Enumerator e;
        e.name = in.get<std::uint32_t>();
        e.value = in.get<std::int64_t>();
        tables.enumerators.push_back(e);
    }
    const auto strings = in.bytes();
    const auto* chars = reinterpret_cast<const char*>(strings.data());
    tables.strings.assign(chars, chars + strings.size());
    return true;
}

}  // namespace

std::vector<std::byte> encode(const Result<Imported>& outcome) {
    Encoder out;
    if (!outcome) {
        out.put(kErrorMessage);
        out.put(static_cast<std::uint8_t>(outcome.error().code));
        out.text(outcome.error().to_string());
        out.text(outcome.error().hint());
        return out.take();
    }
    out.put(kTypesMessage);
    out.text(outcome->build_id);
    out.bytes(outcome->btf);
    encode_tables(out, outcome->tables);
    return out.take();
}

Result<Imported> decode(std::span<const std::byte> message) {
    const Error garbled = Error::with_text(Errc::malformed, Origin::types,
                                           "the debug information's reader sent garbage");
    Decoder in(message);
    const auto tag = in.get<std::uint32_t>();
    if (tag == kErrorMessage) {
        const auto code = in.get<std::uint8_t>();
        std::string text = in.text();
        std::string hint = in.text();
        if (!in.at_end() || code > static_cast<std::uint8_t>(Errc::usage)) return garbled;
        return Error::with_text(static_cast<Errc>(code), Origin::types, std::move(text), std::move(hint));
    }
    if (tag != kTypesMessage) return garbled;
    Imported imported;
    imported.build_id = in.text();
    const auto btf = in.bytes();
    imported.btf.assign(btf.begin(), btf.end());
    if (imported.build_id.size() > kMaxBuildId || !decode_tables(in, imported.tables) || !in.at_end()) return garbled;
    return imported;
}

}  // namespace vitrine::dwarf
