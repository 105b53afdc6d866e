// Object::member() by path: one name or index after the other, through pointers.
#include <fmt/format.h>

#include <charconv>

#include "vitrine/types/object.h"

namespace vitrine {
namespace {

constexpr std::size_t kMaxPath = 1024;

Error bad_path(std::string_view path, std::string_view why) {
    return Error::with_text(Errc::usage, Origin::types, fmt::format("member path '{}': {}", path, why));
}

// What went wrong, and how far the path had been followed. Keeps code and address.
Error at_part(std::string_view followed, Error error) {
    if (followed.empty()) return error;
    const bool has_address = error.has_address;
    error.has_address = false;
    Error named = Error::with_text(error.code, error.origin, fmt::format("{}: {}", followed, error.to_string()));
    named.has_address = has_address;
    named.address = error.address;
    return named;
}

class Path {
public:
    explicit Path(std::string_view text) : text_(text), rest_(text) {}

    [[nodiscard]] bool at_end() const { return rest_.empty(); }
    // Up to where it has been read.
    [[nodiscard]] std::string_view followed() const { return text_.substr(0, text_.size() - rest_.size()); }

    [[nodiscard]] bool is_index() const { return rest_.starts_with('['); }
    Result<std::uint64_t> index() {  // precondition: is_index()
        std::uint64_t number = 0;
        const char* const last = rest_.data() + rest_.size();
        const auto [end, error] = std::from_chars(rest_.data() + 1, last, number);
        if (error != std::errc() || end == last || *end != ']')
            return bad_path(text_, "an index is a decimal number in brackets");
        rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()) + 1);
        return number;
    }
    // A name, with the '.' or '->' in front of it unless it is the first.
    Result<std::string_view> name() {
        if (rest_.size() != text_.size()) {
            const std::size_t length = rest_.starts_with("->") ? 2 : rest_.starts_with('.') ? 1 : 0;
            if (length == 0) return bad_path(text_, "expected '.', '->' or '['");
            rest_.remove_prefix(length);
        }
        const std::string_view found = rest_.substr(0, std::min(rest_.find_first_of(".["), rest_.find("->")));
        if (found.empty()) return bad_path(text_, "empty member name");
        rest_.remove_prefix(found.size());
        return found;
    }

private:
    std::string_view text_;
    std::string_view rest_;
};

}  // namespace

Result<Object> Object::step(std::string_view name) const {
    if (is_pointer()) return VITRINE_TRY(deref()).step(name);
    if (types_ == nullptr || indirections_ > 0) return failed(Errc::usage, "an object of no type has no members");
    const Field field = VITRINE_TRY(types_->field(type_, name));
    return moved(field.bit_offset, field.bit_size, field.type);
}

Result<Object> Object::member(std::string_view text) const {
    if (text.empty() || text.size() > kMaxPath) return bad_path(text.substr(0, 64), "empty or too long");
    Path path(text);
    Object at = *this;
    while (!path.at_end()) {
        const std::string_view before = path.followed();
        Result<Object> next = path.is_index() ? at.at(VITRINE_TRY(path.index())) : at.step(VITRINE_TRY(path.name()));
        if (!next) return at_part(before, std::move(next).error());
        at = std::move(*next);
    }
    return at;
}

}  // namespace vitrine
