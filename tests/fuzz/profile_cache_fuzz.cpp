// An entry of the profile cache: any text. What is accepted must be written and read back as it was.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "os/linux/profile_cache.h"

namespace {

void require(bool holds) {
    if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace vitrine::linux_os;
    KernelImage image;
    image.text_va = vitrine::Gva{0xffff'ffff'9a00'0000};
    image.text_pa = vitrine::Gpa{0x1a00'0000};
    const auto profile = parse_profile({reinterpret_cast<const char*>(data), size}, image);
    if (!profile) return 0;
    require(profile->kernel.layout.missing_required().empty());
    const auto again = parse_profile(write_profile(profile->kernel, profile->tables_hash, profile->btf_hash), image);
    require(again.has_value());
    require(again->tables_hash == profile->tables_hash && again->btf_hash == profile->btf_hash);
    require(again->kernel.kallsyms.num_syms == profile->kernel.kallsyms.num_syms);
    for (const FieldNeed& need : field_needs()) {
        const FieldSlot& a = profile->kernel.layout.slot(need.id);
        const FieldSlot& b = again->kernel.layout.slot(need.id);
        require(a.present == b.present && a.offset == b.offset && a.size == b.size && a.alternative == b.alternative);
    }
    return 0;
}
