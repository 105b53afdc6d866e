#include "os/linux/mapping_name.h"

#include <array>

#include <fmt/format.h>

#include "os/linux/member_reader.h"
#include "os/linux/vma_members.h"

namespace vitrine::linux_os {
namespace {

using namespace mapping;

constexpr std::uint64_t kMayShare = 0x80;  // VM_MAYSHARE
constexpr std::uint64_t kBacking =
    3u << 24;  // FMODE_BACKING, include/linux/fs.h: bit 25, later 24; the other one means something else
constexpr std::size_t kAnonymousNameMax = 80;  // ANON_VMA_NAME_MAX_LEN
constexpr std::size_t kSpecialNameMax = 64;
constexpr std::uint32_t kNoVsyscalls = 2;  // enum NONE of vsyscall_mode
constexpr std::uint64_t kHasVsyscall = 2;  // MM_CONTEXT_HAS_VSYSCALL, arch/x86/include/asm/mmu.h
constexpr unsigned kFlagCount = 64;

// include/linux/mm.h: what the lower bits have meant in all kernels; bits 11 and 24 changed.
constexpr std::array<std::string_view, 32> kFlagNames = {
    "READ",      "WRITE",     "EXEC",         "SHARED",   "MAYREAD",    "MAYWRITE",    "MAYEXEC",
    "MAYSHARE",  "GROWSDOWN", "UFFD_MISSING", "PFNMAP",   "",           "UFFD_WP",     "LOCKED",
    "IO",        "SEQ_READ",  "RAND_READ",    "DONTCOPY", "DONTEXPAND", "LOCKONFAULT", "ACCOUNT",
    "NORESERVE", "HUGETLB",   "SYNC",         "",         "WIPEONFORK", "DONTDUMP",    "SOFTDIRTY",
    "MIXEDMAP",  "HUGEPAGE",  "NOHUGEPAGE",   "MERGEABLE"};

}  // namespace

MappingNames::MappingNames(LinuxGuest& guest, const Members& members)
    : guest_(guest), members_(members), paths_(guest.space(), guest.layout()) {
    constexpr auto kNames = std::to_array<std::string_view>({"special_mapping_name", "gate_vma", "vsyscall_mode"});
    const auto found = guest.find_symbols(kNames);
    if (!found) return;
    special_mapping_name_ = (*found)[0];
    const auto mode = (*found)[2] ? guest.space().read_value<std::uint32_t>(*(*found)[2]) : Result<std::uint32_t>(0);
    if (mode && *mode != kNoVsyscalls) gate_vma_ = (*found)[1];
}

void MappingNames::begin(Gva mm) {
    mm_ = mm;
    places_.reset();
    last_file_ = {};
}

MappingNames::LastFile& MappingNames::last_file(Gva file) {
    if (last_file_.file != file) last_file_ = {file, {}, {}};
    return last_file_;
}

// Of a file that another file system reads for it (overlayfs): the path that was opened.
std::optional<Gva> MappingNames::user_path(Gva file) const {
    const MemberReader read(guest_.space(), members_);
    const Layout& layout = guest_.layout();
    const auto mount_super = layout.offset(FieldId::vfsmount_sb);
    const auto entry_super = layout.offset(FieldId::dentry_sb);
    if (!read.has(kBackingPath) || !mount_super || !entry_super) return std::nullopt;
    if ((read.number(file, kFileMode).value_or(0) & kBacking) == 0) return std::nullopt;
    // Behind any other file lies no path. Mount and entry of a path are of one superblock.
    const Gva path = read.address(file, kBackingPath);
    const auto mount = guest_.space().read_pointer(path.wrap_plus(layout.at(FieldId::path_mnt)));
    const auto entry = read.target(path, kPathDentry);
    if (!mount || mount->is_null() || !entry) return std::nullopt;
    const auto of_mount = guest_.space().read_pointer(mount->wrap_plus(*mount_super));
    const auto of_entry = guest_.space().read_pointer(entry->wrap_plus(*entry_super));
    if (!of_mount || !of_entry || of_mount->is_null() || *of_mount != *of_entry) return std::nullopt;
    return path;
}

Result<std::string> MappingNames::path_of(Gva file) const {
    const auto user = user_path(file);
    FilePath path = VITRINE_TRY(user ? paths_.of_path(*user) : paths_.of_file(file));
    if (path.deleted) path.text += " (deleted)";
    return std::move(path.text);
}

std::optional<MappedFile> MappingNames::file(const Vma& vma) {
    LastFile& of = last_file(vma.file);
    if (!of.facts) of.facts = read_file(vma.file);
    return *of.facts;
}

std::optional<MappedFile> MappingNames::read_file(Gva file) const {
    const MemberReader read(guest_.space(), members_);
    auto inode = read.target(file, kFileInode);
    if (const auto path = user_path(file)) {
        const auto dentry = read.target(*path, kPathDentry);
        inode = dentry ? read.target(*dentry, kDentryInode) : std::nullopt;
    }
    if (!inode) return std::nullopt;
    const auto number = read.number(*inode, kInodeNumber);
    const auto superblock = read.target(*inode, kInodeSuperblock);
    const auto device = superblock ? read.number(*superblock, kDevice) : std::nullopt;
    if (!number || !device) return std::nullopt;
    return MappedFile{static_cast<std::uint32_t>(*device), *number};
}

Result<std::string> MappingNames::anonymous(const Vma& vma, std::string_view prefix) const {
    if (!members_.has(kAnonymousText)) return Error::make(Errc::not_found, Origin::types, "struct anon_vma_name.name");
    const auto text = VITRINE_TRY(
        guest_.space().read_c_string(vma.anonymous_name.wrap_plus(members_.at(kAnonymousText)), kAnonymousNameMax));
    return fmt::format("[{}:{}]", prefix, text.bytes);
}

// What vm_operations_struct.name answers; "" where there is no such function.
Result<std::string> MappingNames::special(const Vma& vma) const {
    const MemberReader read(guest_.space(), members_);
    if (vma.operations.is_null() || !members_.has(kOperationsName)) return std::string();
    const auto function = read.pointer(vma.operations, kOperationsName);
    if (!function) return Error::make_at(Errc::fault, Origin::guest, vma.operations.value, "vm_operations_struct");
    if (function->is_null()) return std::string();
    if (special_mapping_name_ != function) {
        return Error::make_at(Errc::unsupported, Origin::guest, function->value,
                              "a name that only a function of the kernel can tell");
    }
    const auto text = read.target(vma.private_data, kSpecialName);
    if (!text) return Error::make_at(Errc::fault, Origin::guest, vma.private_data.value, "vm_special_mapping");
    return VITRINE_TRY(guest_.space().read_c_string(*text, kSpecialNameMax)).bytes;
}

std::optional<MappingNames::Places> MappingNames::read_places() const {
    const MemberReader read(guest_.space(), members_);
    const auto heap = read.number(mm_, kStartBrk), heap_end = read.number(mm_, kBrk);
    const auto stack = read.number(mm_, kStartStack);
    if (!heap || !heap_end || !stack) return std::nullopt;
    return Places{*heap, *heap_end, *stack};
}

Result<std::string_view> MappingNames::name(const Vma& vma) {
    if (!vma.file.is_null() && vma.anonymous_name.is_null()) {
        LastFile& of = last_file(vma.file);
        if (!of.path) of.path = VITRINE_TRY(path_of(vma.file));
        return std::string_view(*of.path);
    }
    text_.clear();
    if (!vma.file.is_null()) {
        text_ = VITRINE_TRY(anonymous(vma, "anon_shmem"));
        return std::string_view(text_);
    }
    if (vma.address == gate_vma_) return std::string_view("[vsyscall]");
    text_ = VITRINE_TRY(special(vma));
    if (!text_.empty()) return std::string_view(text_);
    if (!places_) places_ = read_places();
    if (!places_) return Error::make_at(Errc::fault, Origin::guest, mm_.value, "mm_struct");
    // vma_is_initial_heap() of include/linux/mm.h. Older kernels (5.10, 6.1) call a mapping so that only touches the heap, too: nothing in
    // memory tells which kernel does.
    if (vma.start < places_->heap_end && vma.end > places_->heap) return std::string_view("[heap]");
    if (vma.start <= places_->stack && vma.end >= places_->stack) return std::string_view("[stack]");
    if (!vma.anonymous_name.is_null()) text_ = VITRINE_TRY(anonymous(vma, "anon"));
    return std::string_view(text_);
}

std::optional<Vma> MappingNames::vsyscall(Gva mm) const {
    if (!gate_vma_) return std::nullopt;
    const MemberReader read(guest_.space(), members_);
    // 32-bit programs have none (get_gate_vma()).
    if (const auto flags = read.number(mm, kContextFlags); flags && (*flags & kHasVsyscall) == 0) return std::nullopt;
    if (const auto compat = read.number(mm, kCompat); compat && *compat != 0) return std::nullopt;
    return read_vma(guest_.space(), members_, *gate_vma_);
}

std::string permissions(std::uint64_t flags) {
    std::string text = "---p";
    if ((flags & 1) != 0) text[0] = 'r';
    if ((flags & 2) != 0) text[1] = 'w';
    if ((flags & 4) != 0) text[2] = 'x';
    if ((flags & kMayShare) != 0) text[3] = 's';
    return text;
}

// 7.x declares them in an enumeration, VMA_READ_BIT = 0 and on; of several for one bit the first is this architecture's.
MappingFlags::MappingFlags(const TypeCatalog& types) {
    std::copy(kFlagNames.begin(), kFlagNames.end(), names_.begin());
    for (TypeId id = 1; id < types.size(); ++id) {
        const auto enumerators = types.enumerators(*types.type(id));
        if (enumerators.empty() || types.name(enumerators.front().name) != "VMA_READ_BIT") continue;
        names_ = {};
        for (const Enumerator& flag : enumerators) {
            std::string_view name = types.name(flag.name);
            if (flag.value < 0 || flag.value >= kFlagCount || !name.starts_with("VMA_") || !name.ends_with("_BIT"))
                continue;
            name.remove_prefix(4);
            name.remove_suffix(4);
            auto& known = names_[static_cast<std::size_t>(flag.value)];
            if (known.empty()) known = name;
        }
        return;
    }
}

std::string MappingFlags::text(std::uint64_t flags) const {
    std::string text;
    for (std::size_t bit = 0; bit < kFlagCount; ++bit) {
        const std::uint64_t mask = std::uint64_t{1} << bit;
        if ((flags & mask) == 0 || names_[bit].empty()) continue;
        text.append(text.empty() ? "" : " ").append(names_[bit]);
        flags &= ~mask;
    }
    if (flags != 0) text += fmt::format("{}{:#x}", text.empty() ? "" : " ", flags);
    return text;
}

}  // namespace vitrine::linux_os
