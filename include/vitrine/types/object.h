// A guest's object with its C type: members, elements and what pointers lead to by name, as a debugger has them.
//
//   Object task = VITRINE_TRY(guest.object("task_struct", address));
//   auto pid = VITRINE_TRY(task.get<std::int32_t>("pid"));
//   Object file = VITRINE_TRY(task.member("mm.exe_file.f_path.dentry.d_name.name"));     // pointers are followed
//   GuestString name = VITRINE_TRY(file.as_string(64));
//
// A regular value. Guest bytes are read when a number, a text, or what lies behind a pointer is asked for, each time anew: snapshot() reads
// once and answers from the copy. The address space and the catalog must outlive every object; a Guest owns both.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/base/result.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/types/catalog.h"

namespace vitrine {

// What get() and as() give: integers, bool, double (of float too), Gva, texts.
template <class T>
concept ObjectValue = (std::integral<T> && !std::same_as<T, char>) || std::same_as<T, double> ||
                      std::same_as<T, std::string> || std::same_as<T, Gva>;

class Object {
public:
    Object() = default;  // of type void, nowhere
    // In guest memory. type is an id of the catalog.
    Object(const AddressSpace& space, const TypeCatalog& types, TypeId type, Gva address);
    // A number, enumerator or address that lies nowhere; the low bytes of `value` are the object's.
    static Object of_value(const AddressSpace& space, const TypeCatalog& types, TypeId type, std::uint64_t value);

    [[nodiscard]] const TypeCatalog* catalog() const { return types_; }
    // The type in the catalog, and how many times the object is a pointer to it: address_of() and cast() make pointers for which
    // the catalog need not have a type.
    [[nodiscard]] TypeId type() const { return type_; }
    [[nodiscard]] unsigned indirections() const { return indirections_; }
    [[nodiscard]] TypeKind kind() const;                                // without typedefs and modifiers
    [[nodiscard]] std::string type_name() const;                        // C text, any bytes: "struct mm_struct *"
    [[nodiscard]] std::optional<std::uint64_t> size() const;            // bytes; nullopt for void and functions
    [[nodiscard]] std::optional<Gva> address() const;                   // nullopt for values and for bit-fields
    [[nodiscard]] std::uint32_t bit_size() const { return bit_size_; }  // 0: not a bit-field

    // By path: "comm", "se.load.weight", "mem[1].base", "mm.pgd". Where a path (or this object) is a pointer, it is
    // followed; "->" means the same as ".". Indices as at(). not_found names the part that is missing, or the pointer
    // that is NULL.
    Result<Object> member(std::string_view path) const;
    Result<Object> member(const Field& field) const;  // of TypeCatalog::field(), resolved once
    // What a pointer leads to. not_found: it is NULL.
    Result<Object> deref() const;
    // Element of an array (out_of_range past its end; flexible arrays have none), or of what a pointer points to.
    Result<Object> at(std::uint64_t index) const;
    // The structure that this object is the member `path` of; a pointer stands for what it points to.
    Result<Object> container_of(std::string_view type, std::string_view path) const;
    // As another type: "struct sock", "u32", "struct page *". Numbers and pointers keep their value as C converts it, everything
    // else its place.
    Result<Object> cast(std::string_view type) const;
    // The pointer to this object. usage: it is a bit-field, or lies nowhere.
    Result<Object> address_of() const;
    // A copy of the bytes, read in one go. limit: more than max. What is beyond the type's size (flexible arrays) is not in it.
    Result<Object> snapshot(std::size_t max = kMaxSnapshot) const;
    static constexpr std::size_t kMaxSnapshot = std::size_t{1} << 20;

    // A value as a C++ type: that of a member, or this object's own. Integers: out_of_range for what T cannot hold
    // (bool: all but 0 is true). Texts: any bytes, up to a NUL; limit for what is longer than kMaxText. Everything else
    // as the functions below have it.
    template <ObjectValue T>
    Result<T> get(std::string_view path) const;
    template <ObjectValue T>
    Result<T> as() const;
    static constexpr std::size_t kMaxText = 4096;

    // Integers, booleans, enumerations and pointers of at most 8 bytes; usage for everything else.
    Result<std::uint64_t> as_unsigned() const;  // the bits, as they are
    Result<std::int64_t> as_signed() const;     // by the type's sign; out_of_range for what does not fit
    Result<bool> as_boolean() const;            // is it not zero?
    Result<Gva> as_address() const;             // of pointers and integers of their size
    Result<double> as_real() const;             // of float and double
    // Of an enumeration: the first enumerator of this value; nullopt when none has it.
    Result<std::optional<std::string_view>> as_enumerator() const;
    // Of an array of characters, or of what a pointer to them points to, up to its NUL: any bytes. truncated: neither
    // NUL nor the array's end was within max bytes.
    Result<GuestString> as_string(std::size_t max) const;
    // The bytes themselves: exactly out.size() of them from the object's first on.
    Result<void> read(std::span<std::byte> out) const;

private:
    enum class Place : std::uint8_t { nowhere, guest, copy, value };
    using Bytes = std::vector<std::byte>;

    [[nodiscard]] Object with_type(TypeId type, unsigned indirections) const;
    [[nodiscard]] bool is_pointer() const { return kind() == TypeKind::pointer; }
    [[nodiscard]] const Type& stripped() const;
    [[nodiscard]] Object target() const;  // of a pointer: type only
    Result<Object> moved(std::uint64_t bit_offset, std::uint32_t bit_size, TypeId type) const;
    Result<std::uint64_t> bits() const;
    Result<Object> step(std::string_view name) const;
    [[nodiscard]] Error failed(Errc code, std::string text) const;
    [[nodiscard]] bool holds_signed() const { return indirections_ == 0 && stripped().is_signed; }
    Result<std::string> as_text() const;
    // `number` is what a signed or unsigned type holds.
    template <class T, class Number>
    Result<T> narrowed(Number number) const;
    Result<Object> cast_to(TypeId type, unsigned indirections) const;
    Result<GuestString> string_in_copy(std::size_t size) const;

    const AddressSpace* space_ = nullptr;
    const TypeCatalog* types_ = nullptr;
    TypeId type_ = 0;
    std::uint8_t indirections_ = 0;
    Place place_ = Place::nowhere;
    std::uint8_t bit_shift_ = 0;  // of a bit-field, in the byte at address_
    std::uint32_t bit_size_ = 0;
    Gva address_;  // of copies as well: where it was
    std::uint64_t value_ = 0;
    std::shared_ptr<const Bytes> copy_;
    std::uint64_t copy_offset_ = 0;
};

template <class T, class Number>
Result<T> Object::narrowed(Number number) const {
    if (std::in_range<T>(number)) return static_cast<T>(number);
    return failed(Errc::out_of_range, std::to_string(number) + " does not fit into the type asked for");
}

template <ObjectValue T>
Result<T> Object::as() const {
    if constexpr (std::same_as<T, bool>) {
        return as_boolean();
    } else if constexpr (std::same_as<T, double>) {
        return as_real();
    } else if constexpr (std::same_as<T, std::string>) {
        return as_text();
    } else if constexpr (std::same_as<T, Gva>) {
        return as_address();
    } else {
        if (holds_signed()) return narrowed<T>(VITRINE_TRY(as_signed()));
        return narrowed<T>(VITRINE_TRY(as_unsigned()));
    }
}

template <ObjectValue T>
Result<T> Object::get(std::string_view path) const {
    return VITRINE_TRY(member(path)).template as<T>();
}

}  // namespace vitrine
