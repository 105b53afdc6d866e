#include "vitrine/types/object.h"

#include <fmt/format.h>

#include <cstring>
#include <limits>

namespace vitrine {
namespace {

const Type kVoid{};
constexpr unsigned kMaxIndirections = 8;

std::uint64_t mask_of(std::uint64_t bits) { return bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1; }

}  // namespace

Object::Object(const AddressSpace& space, const TypeCatalog& types, TypeId type, Gva address)
    : space_(&space), types_(&types), type_(type), place_(Place::guest), address_(address) {}

Object Object::of_value(const AddressSpace& space, const TypeCatalog& types, TypeId type, std::uint64_t value) {
    Object object;
    object.space_ = &space;
    object.types_ = &types;
    object.type_ = type;
    object.place_ = Place::value;
    object.value_ = value;
    return object;
}

const Type& Object::stripped() const {
    const Type* type = types_ == nullptr ? nullptr : types_->type(types_->strip(type_));
    return type == nullptr ? kVoid : *type;
}

TypeKind Object::kind() const { return indirections_ > 0 ? TypeKind::pointer : stripped().kind; }

std::string Object::type_name() const {
    if (types_ == nullptr) return "void";
    std::string declarator(indirections_, '*');
    TypeId id = type_;
    for (const Type* type = types_->type(id); indirections_ > 0 && type != nullptr; type = types_->type(id)) {
        if (type->kind == TypeKind::array || type->kind == TypeKind::function_prototype)
            declarator = "(" + declarator + ")";
        if (type->kind != TypeKind::const_ && type->kind != TypeKind::volatile_) break;
        if (type->target == id) break;
        id = type->target;
    }
    return types_->declaration(type_, declarator);
}

std::optional<std::uint64_t> Object::size() const {
    if (types_ == nullptr) return std::nullopt;
    return indirections_ > 0 ? types_->pointer_size() : types_->size_of(type_);
}

std::optional<Gva> Object::address() const {
    if ((place_ != Place::guest && place_ != Place::copy) || bit_size_ != 0) return std::nullopt;
    return address_;
}

Error Object::failed(Errc code, std::string text) const {
    Error error = Error::with_text(code, Origin::types, std::move(text));
    error.has_address = place_ == Place::guest || place_ == Place::copy;
    error.address = address_.value;
    return error;
}

Object Object::with_type(TypeId type, unsigned indirections) const {
    Object other = *this;
    other.type_ = type;
    other.indirections_ = static_cast<std::uint8_t>(indirections);
    other.bit_size_ = 0;
    other.bit_shift_ = 0;
    return other;
}

Object Object::target() const {
    if (indirections_ > 0) return with_type(type_, indirections_ - 1u);
    return with_type(stripped().target, 0);
}

// The part of this object that begins so many bits from its start.
Result<Object> Object::moved(std::uint64_t bit_offset, std::uint32_t bit_size, TypeId type) const {
    if (place_ != Place::guest && place_ != Place::copy) {
        return failed(Errc::usage, fmt::format("a value of type '{}' has no members", type_name()));
    }
    Object part = with_type(type, 0);
    const std::uint64_t bytes = bit_offset / 8;
    const auto address = address_.plus(bytes);
    if (!address || __builtin_add_overflow(copy_offset_, bytes, &part.copy_offset_)) {
        return failed(Errc::out_of_range, fmt::format("what lies {} bytes on is beyond the last address", bytes));
    }
    part.address_ = *address;
    part.bit_size_ = bit_size;
    part.bit_shift_ = static_cast<std::uint8_t>(bit_size == 0 ? 0 : bit_offset % 8);
    return part;
}

Result<Object> Object::member(const Field& field) const {
    if (is_pointer()) return VITRINE_TRY(deref()).member(field);
    return moved(field.bit_offset, field.bit_size, field.type);
}

Result<Object> Object::deref() const {
    if (!is_pointer()) return failed(Errc::usage, fmt::format("'{}' is no pointer to follow", type_name()));
    const std::uint64_t to = VITRINE_TRY(bits());
    if (to == 0) return failed(Errc::not_found, fmt::format("the pointer '{}' is NULL", type_name()));
    Object object = target();
    object.place_ = Place::guest;
    object.address_ = Gva{to};
    object.copy_.reset();
    object.copy_offset_ = 0;
    return object;
}

Result<Object> Object::at(std::uint64_t index) const {
    const bool pointer = is_pointer();
    if (!pointer && kind() != TypeKind::array) {
        return failed(Errc::usage, fmt::format("'{}' is neither array nor pointer: it has no elements", type_name()));
    }
    if (!pointer && stripped().count != 0 && index >= stripped().count) {
        return failed(Errc::out_of_range, fmt::format("element {} of '{}'", index, type_name()));
    }
    const Object element = target();
    const auto size = element.size();
    std::uint64_t bytes = 0;
    if (!size || *size == 0 || __builtin_mul_overflow(*size, index, &bytes) ||
        bytes > std::numeric_limits<std::uint64_t>::max() / 8) {
        return failed(Errc::out_of_range, fmt::format("element {} of '{}' has no place", index, type_name()));
    }
    const Object from = pointer ? VITRINE_TRY(deref()) : *this;
    const Object place = VITRINE_TRY(from.moved(bytes * 8, 0, element.type_));
    return place.with_type(element.type_, element.indirections_);
}

Result<Object> Object::container_of(std::string_view type, std::string_view path) const {
    if (types_ == nullptr) return failed(Errc::usage, "an object of no type is no member");
    const TypeId outer = VITRINE_TRY(types_->find(type));
    const Field field = VITRINE_TRY(types_->field(outer, path));
    if (field.bit_size != 0) return failed(Errc::usage, fmt::format("'{}' of '{}' is a bit-field", path, type));
    Gva inner;
    if (is_pointer()) {
        inner = Gva{VITRINE_TRY(bits())};
    } else {
        const auto where = address();
        if (!where) return failed(Errc::usage, fmt::format("a value of type '{}' lies in no structure", type_name()));
        inner = *where;
    }
    if (inner.value < field.offset()) {
        return failed(Errc::out_of_range,
                      fmt::format("{:#x} cannot be the member '{}' of '{}'", inner.value, path, type));
    }
    return Object(*space_, *types_, outer, inner.wrap_minus(field.offset()));
}

Result<Object> Object::address_of() const {
    const auto where = address();
    if (!where || indirections_ >= kMaxIndirections) {
        return failed(Errc::usage, fmt::format("a {} of type '{}' has no address",
                                               bit_size_ != 0 ? "bit-field" : "value", type_name()));
    }
    Object pointer = with_type(type_, indirections_ + 1u);
    pointer.place_ = Place::value;
    pointer.value_ = where->value;
    pointer.address_ = Gva{};
    pointer.copy_.reset();
    pointer.copy_offset_ = 0;
    return pointer;
}

Result<Object> Object::snapshot(std::size_t max) const {
    const auto bytes = size();
    if (!bytes) return failed(Errc::usage, fmt::format("'{}' has no size to copy", type_name()));
    if (place_ == Place::value) return *this;
    if (bit_size_ != 0) {
        Object value = *this;
        value.value_ = VITRINE_TRY(bits());
        value.bit_shift_ = 0;
        value.place_ = Place::value;
        return value;
    }
    if (*bytes > max) return failed(Errc::limit, fmt::format("'{}' has {} bytes", type_name(), *bytes));
    auto copy = std::make_shared<Bytes>(static_cast<std::size_t>(*bytes));
    VITRINE_CHECK(read(*copy));
    Object object = *this;
    object.place_ = Place::copy;
    object.copy_ = std::move(copy);
    object.copy_offset_ = 0;
    return object;
}

Result<Object> Object::cast(std::string_view text) const {
    if (types_ == nullptr) return failed(Errc::usage, "an object of no type cannot be taken as another");
    std::string_view name = text;
    unsigned indirections = 0;
    while (!name.empty() && (name.back() == '*' || name.back() == ' ')) {
        if (name.back() == '*') ++indirections;
        name.remove_suffix(1);
    }
    if (indirections > kMaxIndirections) return failed(Errc::usage, fmt::format("'{}' is too indirect", text));
    if (name == "void" && indirections > 0) return cast_to(0, indirections);
    return cast_to(VITRINE_TRY(types_->find(name)), indirections);
}

Result<Object> Object::cast_to(TypeId type, unsigned indirections) const {
    Object other = with_type(type, indirections);
    const auto is_number = [](TypeKind kind) {
        return kind == TypeKind::integer || kind == TypeKind::enumeration || kind == TypeKind::pointer;
    };
    if (!is_number(other.kind()) || !is_number(kind())) {
        if (!address())
            return failed(Errc::usage, fmt::format("a value of type '{}' is no '{}'", type_name(), other.type_name()));
        return other;
    }
    const bool keeps_sign = kind() != TypeKind::pointer && stripped().is_signed;
    other.value_ = keeps_sign ? static_cast<std::uint64_t>(VITRINE_TRY(as_signed())) : VITRINE_TRY(bits());
    other.value_ &= mask_of(other.size().value_or(8) * 8);
    const std::string_view name = indirections == 0 ? types_->name(other.stripped().name) : std::string_view();
    if (name == "_Bool" || name == "bool") other.value_ = VITRINE_TRY(bits()) != 0 ? 1 : 0;
    other.place_ = Place::value;
    other.address_ = Gva{};
    other.copy_.reset();
    other.copy_offset_ = 0;
    return other;
}

}  // namespace vitrine
