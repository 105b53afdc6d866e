// The types of a program (a kernel and its modules), whatever they were read from: BTF, DWARF; later PDB. One
// representation: flat arrays, indices checked when the catalog was built, so that looking things up cannot leave them.
//
//   const TypeCatalog& types = ...;
//   auto task = VITRINE_TRY(types.find("task_struct"));         // struct/union/enum/typedef/int by name
//   auto field = VITRINE_TRY(types.field(task, "cred"));        // anonymous members are looked through; "a.b.c" descends
//
// Immutable after building; safe to read from several threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vitrine/base/bytes.h"
#include "vitrine/base/result.h"

namespace vitrine {

enum class TypeKind : std::uint8_t {
    void_,
    integer,
    pointer,
    array,
    structure,
    union_,
    enumeration,
    forward,
    typedef_,
    volatile_,
    const_,
    restrict_,
    function,
    function_prototype,
    variable,
    section,
    floating,
    declaration_tag,
    type_tag,
};
[[nodiscard]] std::string_view to_string(TypeKind);

using TypeId = std::uint32_t;  // 0 is void

struct Type {
    TypeKind kind = TypeKind::void_;
    bool is_signed = false;  // integers, enums
    bool forward_is_union = false;
    std::uint32_t name = 0;  // offset into the string arena
    std::uint64_t size = 0;  // bytes: integer, structure, union, enumeration, floating, section
    TypeId target =
        0;  // pointer, array element, typedef and modifiers, function (its prototype), prototype (its return type), variable
    std::uint32_t first = 0;  // first member / enumerator / parameter / section entry
    std::uint32_t count = 0;  // how many; for arrays: number of elements
};

struct Member {  // of structures and unions; parameters of prototypes (offset 0); entries of sections
    std::uint32_t name = 0;
    TypeId type = 0;
    std::uint64_t bit_offset = 0;  // sections: byte offset * 8
    std::uint32_t bit_size = 0;    // 0: not a bit-field; sections: byte size
};

struct Enumerator {
    std::uint32_t name = 0;
    // Unsigned 64-bit enumerators keep their bit pattern. BTF made before Linux 6.0 does not say whether an enumeration
    // is signed: -1 is 4294967295 there.
    std::int64_t value = 0;
};

// A resolved member path.
struct Field {
    std::uint64_t bit_offset = 0;
    std::uint32_t bit_size = 0;  // 0: not a bit-field
    TypeId type = 0;
    std::uint64_t size = 0;  // bytes of the type; 0 for flexible arrays
    [[nodiscard]] std::uint64_t offset() const { return bit_offset / 8; }
};

class TypeCatalog {
public:
    // One past the last id; those of the base are counted.
    [[nodiscard]] std::size_t size() const { return base_end_ + types_.size(); }
    [[nodiscard]] const Type* type(TypeId id) const {
        const TypeId own = id - base_end_;  // of a base's id: too large
        if (own < types_.size()) return &types_[own];
        return base_ ? base_->type(id) : nullptr;
    }
    [[nodiscard]] std::string_view name(std::uint32_t name_offset) const;
    [[nodiscard]] std::string_view type_name(TypeId id) const;
    [[nodiscard]] std::span<const Member> members(const Type& type) const;
    [[nodiscard]] std::span<const Enumerator> enumerators(const Type& type) const;

    // A complete type by name; "struct x", "union x", "enum x" restrict the kind. Without a keyword: structure, union,
    // enumeration, typedef, integer, floating, in that order. ambiguous when several *different* definitions share the name and kind (the
    // first of equal ones is taken). Functions and variables are not types.
    Result<TypeId> find(std::string_view name) const;
    // Every type that find() would consider, in the order of ids (at most the first kMaxSameName).
    [[nodiscard]] std::vector<TypeId> find_all(std::string_view name) const;
    // All complete types of exactly this name, of whatever kind, in the order of ids; their number is bounded by the catalog's size only.
    [[nodiscard]] std::vector<TypeId> all_named(std::string_view name) const;
    static constexpr std::size_t kMaxSameName = 4096;

    // Follows typedefs and modifiers (const, volatile, restrict, type tags); bounded, cycles give id 0 (void).
    [[nodiscard]] TypeId strip(TypeId id) const;
    // Size in bytes after stripping; pointers are pointer_size(). nullopt for void, functions, forward declarations.
    [[nodiscard]] std::optional<std::uint64_t> size_of(TypeId id) const;

    // A member of a structure or union by path: "mm", "thread_info.flags", "mem[0].base" (constant array index). Anonymous
    // structures and unions are looked through. not_found names the part that is missing.
    Result<Field> field(TypeId structure, std::string_view path) const;
    // enumeration "": looked for in every enumeration (anonymous ones have no name); ambiguous when values differ.
    Result<std::int64_t> enumerator(std::string_view enumeration, std::string_view name) const;

    // C declaration text: type_text(id) -> "struct task_struct *", declaration(id, "x") -> "int (*x)(void)";
    // definition(id) -> the whole struct/union/enum with offsets as comments, as pahole prints it. Both are cut ("...") at a
    // bounded depth and length. Names are the source's bytes: clean the text before showing it (base/text.h).
    [[nodiscard]] std::string declaration(TypeId id, std::string_view declarator) const;
    [[nodiscard]] std::string definition(TypeId id) const;

    // Of a split catalog: the first id that is not the base's; 0 of any other.
    [[nodiscard]] TypeId first_own() const { return base_end_; }
    // All names, each ended by NUL; of a split catalog those of its own, which the base's offsets come before.
    [[nodiscard]] std::span<const char> own_names() const { return strings_; }
    // Memory of its own tables: a base's is not counted.
    [[nodiscard]] std::size_t own_bytes() const;

    [[nodiscard]] std::uint32_t pointer_size() const { return pointer_size_; }
    // What the types were read from: "BTF of the kernel", "DWARF of FILE".
    [[nodiscard]] const std::string& origin() const { return origin_; }

private:
    friend class CatalogBuilder;
    struct NameQuery;
    [[nodiscard]] std::vector<TypeId> candidates(const NameQuery& query) const;
    void add_candidates(const NameQuery& query, std::size_t& looked, std::vector<TypeId>& found) const;
    void add_named(std::string_view name, std::vector<TypeId>& found) const;
    // Where a base's tables end and this catalog's own begin; all 0 without a base.
    struct Bases {
        std::uint32_t members = 0;
        std::uint32_t enumerators = 0;
        std::uint32_t strings = 0;
    };
    Result<TypeId> choose(const NameQuery& query, std::span<const TypeId> found) const;
    [[nodiscard]] bool same_definition(const Type& a, const Type& b) const;

    // The tables hold only what is its own. Numbers (ids, first, name) go on from the base's, so they mean the same in both.
    std::shared_ptr<const TypeCatalog> base_;  // of a split catalog; never one that is split itself
    Bases bases_;
    std::vector<Type> types_;
    std::vector<Member> members_;
    std::vector<Enumerator> enumerators_;
    std::vector<char> strings_;                              // NUL-terminated names; begins with NUL
    std::vector<std::pair<std::uint64_t, TypeId>> by_name_;  // (hash of name, id), sorted
    TypeId base_end_ = 0;  // ids below belong to the base of a split catalog; 0: not split
    std::uint32_t pointer_size_ = 8;
    std::string origin_;
};

// Parses a BTF blob (as in /sys/kernel/btf/vmlinux). The blob is hostile: every id, offset and count is checked; the
// catalog is valid or an Error names the record. Kernel: include/uapi/linux/btf.h, kernel/bpf/btf.c.
Result<std::shared_ptr<const TypeCatalog>> parse_btf(std::span<const std::byte> blob, std::string origin);

// The split BTF of a module over its base, which came of parse_btf(): ids and string offsets go on from the base's. The
// result shares the base and answers for both (same ids); it costs time and memory by the size of its own blob only.
// find() prefers the base's definition of a name (modules of 6.16 and later re-declare core structures).
Result<std::shared_ptr<const TypeCatalog>> parse_split_btf(std::shared_ptr<const TypeCatalog> base,
                                                           std::span<const std::byte> split_blob, std::string origin);
// The same over a base that is parsed for it alone.
Result<std::shared_ptr<const TypeCatalog>> parse_split_btf(std::span<const std::byte> base_blob,
                                                           std::span<const std::byte> split_blob, std::string origin);

// Header facts without parsing everything: total blob size = header + sections, or malformed.
struct BtfExtent {
    std::uint64_t size = 0;  // bytes from the magic to the end of the string section
    std::uint32_t type_bytes = 0;
    std::uint32_t string_bytes = 0;
};
Result<BtfExtent> btf_extent(std::span<const std::byte> header_bytes);

// Types from the DWARF of an ELF file the operator gives (vmlinux); from its BTF when it has no DWARF. Symbols are not read:
// they are in the guest's memory. Parsed in a child process with limits, because libdw is not meant for untrusted files.
// build_id: hex, "" if the file has none.
struct DwarfImport {
    std::shared_ptr<const TypeCatalog> types;
    std::string build_id;
};
Result<DwarfImport> import_dwarf(const std::string& path);

}  // namespace vitrine
